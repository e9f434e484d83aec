// Package media says what a track carries: codecs, their configuration, and frames.
package media

import "fmt"

// Kind tells video from audio.
type Kind uint8

// The kinds of a track.
const (
	Video Kind = iota + 1
	Audio
)

// String names the kind as SDP does.
func (k Kind) String() string {
	switch k {
	case Video:
		return "video"
	case Audio:
		return "audio"
	}
	return "unknown"
}

// Codec is an encoding that Watershed carries.
type Codec uint8

// The codecs, video first.
const (
	H264 Codec = iota + 1
	H265
	VP8
	VP9
	AV1
	Opus
	AAC
	PCMU
	PCMA
)

var codecNames = [...]string{H264: "H264", H265: "H265", VP8: "VP8", VP9: "VP9", AV1: "AV1", Opus: "opus", AAC: "AAC", PCMU: "PCMU", PCMA: "PCMA"}

// String is the codec's encoding name in SDP (RFC 8866 section 6.6); AAC, which WebRTC does not carry, is "AAC".
func (c Codec) String() string {
	if int(c) < len(codecNames) && codecNames[c] != "" {
		return codecNames[c]
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// Kind of tracks that the codec encodes.
func (c Codec) Kind() Kind {
	if c >= Opus {
		return Audio
	}
	return Video
}

// AACChannels of a channelConfiguration (ISO/IEC 14496-3 table 1.19); 0 where the stream itself says.
func AACChannels(config uint8) int {
	if config == 7 {
		return 8
	}
	return int(config)
}

// WebRTC reports whether browsers can be offered the codec over RTP.
func (c Codec) WebRTC() bool { return c != AAC && c != 0 }

// Config describes one encoding of a track. It is immutable: a change in the
// source makes a new Config with the next Version.
type Config struct {
	Codec     Codec
	Version   uint32 // grows by one whenever anything below changes
	ClockRate int    // ticks a second of PTS and DTS: 90000 for video, the sampling rate for audio (48000 for Opus)

	VPS, SPS, PPS  []byte   // H.264 (SPS, PPS) and H.265 parameter sets, without start codes
	MorePPS        [][]byte // picture parameter sets of other ids than PPS, of a source that uses several
	SequenceHeader []byte   // AV1 sequence header OBU
	ASC            []byte   // AAC AudioSpecificConfig (ISO 14496-3 section 1.6.2.1)

	Width, Height int     // pixels, zero when unknown
	FPS           float64 // from the parameter sets, zero when unknown
	Channels      int     // audio
	BFrames       bool    // pictures leave in another order than they are shown
	Gradual       bool    // keyframes are recovery points of an intra refresh: the picture is whole some frames later
}

// ParameterSets of H.264 and H.265 that are known, in the order in which a decoder wants them.
func (c *Config) ParameterSets() (sets [][]byte) {
	for _, s := range [][]byte{c.VPS, c.SPS, c.PPS} {
		if len(s) > 0 {
			sets = append(sets, s)
		}
	}
	return append(sets, c.MorePPS...)
}

// Frame is one access unit of a layer: a picture with everything that belongs to it,
// or one audio frame. It is written once and never changed after it entered a ring;
// every reader shares it.
type Frame struct {
	Epoch  uint64 // of the placement that pulled it; fences an old puller
	Number uint64 // counts the layer's frames from 1, never reset
	PTS    int64  // presentation time on the stream's timeline, in Config.ClockRate ticks
	DTS    int64  // decoding time, same clock; equals PTS without B-frames

	Server  int64 // Unix nanoseconds: smoothed arrival at the node that pulls
	Capture int64 // Unix nanoseconds: the camera's own clock plus its tracked offset; zero when unknown

	Keyframe      bool // decoding can start here
	Discontinuity bool // the source was lost or changed before this frame
	Config        *Config

	// Units are the parts of the access unit: NAL units without start codes (H.264,
	// H.265; parameter sets precede every keyframe), OBUs (AV1), or one element.
	Units [][]byte
	Size  int // bytes in Units

	FirstSeq uint64   // extended RTP sequence number of Packets[0] in the layer's own numbering
	Packets  []Packet // nil for codecs that WebRTC does not carry
}

// Packet is one RTP packet of a frame as every viewer gets it, but for the
// fields that differ: a 12-byte header whose payload type, sequence number, timestamp and
// SSRC the sender fills in, then the payload.
type Packet []byte

// HeaderLen is the fixed RTP header (RFC 3550 section 5.1) at the start of a Packet.
const HeaderLen = 12

// Payload is the packet without its header.
func (p Packet) Payload() []byte { return p[HeaderLen:] }

// Marker reports the RTP marker bit: the last packet of a picture.
func (p Packet) Marker() bool { return p[1]&0x80 != 0 }

// LastSeq is the extended sequence number just after the frame's last packet.
func (f *Frame) LastSeq() uint64 { return f.FirstSeq + uint64(len(f.Packets)) }
