package rtmp

import (
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/message"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"watershed/sfu"
	"watershed/sfu/media"
)

// patience is how long a source may leave open which tracks it has: onMetaData announces them, but not every sender
// sends that, nor keeps to it.
const patience = time.Second

// maxPending bounds what is kept until then.
const maxPending = 16 << 20

var errNoMedia = errors.New("the source sent media without saying which codec")

// demux makes access units of a connection's messages. One goroutine uses it.
type demux struct {
	begin func([]sfu.TrackSpec) ([]*sfu.Writer, error)

	announced    bool // by onMetaData: then has tells what will come
	has          [3]bool
	tracks       [3]*track // by kind
	begun        bool
	first        time.Time // arrival of the first frame
	pending      []pending
	pendingBytes int
	clock        clock
}

// track is one whose codec is known.
type track struct {
	config media.Config
	writer *sfu.Writer // nil until the session began
	sounds sampleClock
}

// pending is a frame that came before the session began.
type pending struct {
	track *track
	unit  sfu.Unit
}

// handle takes a message. What it returns ends the connection.
func (d *demux) handle(m message.Message, now time.Time) error {
	switch m := m.(type) {
	case *message.DataAMF0:
		d.metadata(m.Payload)
	case *message.Video:
		return d.video(m, now)
	case *message.VideoExSequenceStart:
		return d.videoStart(m)
	case *message.VideoExCodedFrames:
		return d.picture(m.Payload, m.DTS, m.PTSDelta, now)
	case *message.VideoExFramesX:
		return d.picture(m.Payload, m.DTS, 0, now)
	case *message.VideoExMultitrack:
		if m.TrackID == 0 { // the others are alternatives
			return d.handle(m.Wrapped, now)
		}
	case *message.Audio:
		return d.audio(m, now)
	case *message.AudioExSequenceStart:
		return d.audioStart(m)
	case *message.AudioExCodedFrames:
		return d.sound(m.Payload, m.DTS, now)
	case *message.AudioExMultitrack:
		if m.TrackID == 0 {
			return d.handle(m.Wrapped, now)
		}
	}
	return nil
}

// metadata reads onMetaData: a codec id for each kind that will come.
func (d *demux) metadata(data amf0.Data) {
	for i, v := range data {
		if s, ok := v.(string); !ok || s != "onMetaData" || i+1 >= len(data) {
			continue
		}
		var o amf0.Object
		switch v := data[i+1].(type) {
		case amf0.Object:
			o = v
		case amf0.ECMAArray:
			o = amf0.Object(v)
		}
		for k, key := range map[media.Kind]string{media.Video: "videocodecid", media.Audio: "audiocodecid"} {
			v, ok := o.Get(key)
			d.has[k] = ok && v != float64(0) && v != ""
		}
		d.announced = d.has[media.Video] || d.has[media.Audio]
		return
	}
}

func (d *demux) video(m *message.Video, now time.Time) error {
	switch {
	case m.Type == message.VideoTypeAU:
		return d.picture(m.AU, m.DTS, m.PTSDelta, now)
	case m.Type != message.VideoTypeConfig:
		return nil
	case m.AVCConfig != nil:
		if len(m.AVCConfig.SequenceParameterSets) == 0 || len(m.AVCConfig.PictureParameterSets) == 0 {
			return errors.New("the H264 configuration has no parameter sets")
		}
		return d.configure(media.Config{
			Codec: media.H264, ClockRate: 90000,
			SPS: m.AVCConfig.SequenceParameterSets[0].NALUnit, PPS: m.AVCConfig.PictureParameterSets[0].NALUnit,
		})
	case m.HEVCConfig != nil:
		c := media.Config{Codec: media.H265, ClockRate: 90000}
		for _, a := range m.HEVCConfig.NaluArrays {
			for _, n := range a.Nalus {
				keepParameters(&c, n.NALUnit)
			}
		}
		return d.configure(c)
	}
	return nil
}

func keepParameters(c *media.Config, nal []byte) {
	if len(nal) == 0 {
		return
	}
	switch h265.NALUType(nal[0] >> 1 & 0x3f) {
	case h265.NALUType_VPS_NUT:
		c.VPS = nal
	case h265.NALUType_SPS_NUT:
		c.SPS = nal
	case h265.NALUType_PPS_NUT:
		c.PPS = nal
	}
}

// videoStart is Enhanced RTMP's configuration; the boxes in it are those of the classic messages.
func (d *demux) videoStart(m *message.VideoExSequenceStart) error {
	switch m.FourCC {
	case message.FourCCAVC, message.FourCCHEVC:
		return d.video(&message.Video{Type: message.VideoTypeConfig, AVCConfig: m.AVCConfig, HEVCConfig: m.HEVCConfig}, time.Time{})
	case message.FourCCVP9:
		return d.configure(media.Config{Codec: media.VP9, ClockRate: 90000})
	case message.FourCCAV1:
		return d.configure(media.Config{Codec: media.AV1, ClockRate: 90000})
	}
	return fmt.Errorf("video codec %08x is not known here", uint32(m.FourCC))
}

func (d *demux) audio(m *message.Audio, now time.Time) error {
	switch m.Codec {
	case message.CodecMPEG4Audio:
		if m.AACType == message.AudioAACTypeAU {
			return d.sound(m.AU, m.DTS, now)
		}
		if m.AACConfig != nil {
			return d.aac(m.AACConfig)
		}
		return nil
	case message.CodecPCMA, message.CodecPCMU:
		c := media.Config{Codec: media.PCMA, ClockRate: 8000, Channels: 1}
		if m.Codec == message.CodecPCMU {
			c.Codec = media.PCMU
		}
		if m.IsStereo { // RTP carries one channel
			return nil
		}
		if d.tracks[media.Audio] == nil {
			if err := d.configure(c); err != nil {
				return err
			}
		}
		return d.sound(m.AU, m.DTS, now)
	}
	return nil // MP3 and LPCM: pictures go on without
}

func (d *demux) audioStart(m *message.AudioExSequenceStart) error {
	switch {
	case m.FourCC == message.FourCCOpus:
		c := media.Config{Codec: media.Opus, ClockRate: 48000, Channels: 2}
		if m.OpusConfig != nil && m.OpusConfig.ChannelCount == 1 {
			c.Channels = 1
		}
		return d.configure(c)
	case m.FourCC == message.FourCCMP4A && m.AACConfig != nil:
		return d.aac(m.AACConfig)
	}
	return nil
}

func (d *demux) aac(c *mpeg4audio.AudioSpecificConfig) error {
	asc, err := c.Marshal()
	if err != nil {
		return fmt.Errorf("AAC configuration: %w", err)
	}
	return d.configure(media.Config{Codec: media.AAC, ClockRate: c.SampleRate, Channels: media.AACChannels(c.ChannelConfig), ASC: asc})
}

// configure learns a track. A live one takes new parameters when the codec stays, which is what encoders do that change their resolution.
func (d *demux) configure(c media.Config) error {
	k := c.Codec.Kind()
	t := d.tracks[k]
	switch {
	case t == nil && d.begun:
		return nil // came too late
	case t == nil || !d.begun:
		d.tracks[k] = &track{config: c}
		return nil
	case t.config.Codec != c.Codec || t.config.ClockRate != c.ClockRate:
		return fmt.Errorf("the source changed from %v to %v: publish again", t.config.Codec, c.Codec)
	}
	var sets [][]byte
	for _, s := range [][]byte{c.VPS, c.SPS, c.PPS} {
		if s != nil {
			sets = append(sets, s)
		}
	}
	if sets == nil || t.writer == nil {
		return nil
	}
	return t.writer.Write(sfu.Unit{Parts: sets}) // without a picture: the writer only learns them
}

func (d *demux) picture(payload []byte, dts, delta time.Duration, now time.Time) error {
	t := d.tracks[media.Video]
	if t == nil {
		return d.deliver(nil, sfu.Unit{Arrival: now})
	}
	parts, err := split(t.config.Codec, payload)
	if err != nil || len(parts) == 0 {
		return err
	}
	ms := d.clock.unwrap(dts)
	return d.deliver(t, sfu.Unit{Parts: parts, PTS: (ms + composition(delta)) * 90, DTS: ms * 90, HasDTS: true, Arrival: now})
}

func split(c media.Codec, payload []byte) ([][]byte, error) {
	switch c {
	case media.H264, media.H265:
		var au h264.AVCC
		err := au.Unmarshal(payload)
		if errors.Is(err, h264.ErrAVCCNoNALUs) {
			return nil, nil
		}
		return au, err
	case media.AV1:
		var tu av1.Bitstream
		err := tu.Unmarshal(payload)
		return tu, err
	}
	return [][]byte{payload}, nil
}

// composition is the offset of PTS from DTS: 24 bits with a sign (FLV specification section E.4.3.2), which the library reads without.
func composition(delta time.Duration) int64 {
	return int64(int32(delta.Milliseconds()<<8)) >> 8
}

func (d *demux) sound(payload []byte, dts time.Duration, now time.Time) error {
	t := d.tracks[media.Audio]
	if t == nil || len(payload) == 0 {
		return d.deliver(nil, sfu.Unit{Arrival: now})
	}
	pts := d.clock.unwrap(dts) * int64(t.config.ClockRate) / 1000
	if t.config.Codec == media.AAC {
		pts = t.sounds.smooth(pts, t.config.ClockRate)
	}
	return d.deliver(t, sfu.Unit{Parts: [][]byte{payload}, PTS: pts, Arrival: now})
}

// deliver writes a unit, or keeps it until it is known which tracks there are.
func (d *demux) deliver(t *track, u sfu.Unit) error {
	if d.first.IsZero() {
		d.first = u.Arrival
	}
	if !d.begun {
		if t != nil {
			d.pending = append(d.pending, pending{t, u})
			for _, p := range u.Parts {
				d.pendingBytes += len(p)
			}
		}
		if !d.complete(u.Arrival) {
			return nil
		}
		return d.start()
	}
	if t == nil || t.writer == nil {
		return nil
	}
	return t.writer.Write(u)
}

// complete reports whether all tracks are known, or not worth waiting for.
func (d *demux) complete(now time.Time) bool {
	missing := false
	for _, k := range []media.Kind{media.Video, media.Audio} {
		missing = missing || d.tracks[k] == nil && (d.has[k] || !d.announced)
	}
	return !missing || now.Sub(d.first) >= patience || d.pendingBytes > maxPending
}

func (d *demux) start() error {
	var specs []sfu.TrackSpec
	var known []*track
	for _, t := range d.tracks {
		if t != nil {
			specs, known = append(specs, sfu.TrackSpec{Config: t.config}), append(known, t)
		}
	}
	if len(known) == 0 {
		return &sfu.SourceError{Reason: sfu.ReasonCodec, Err: errNoMedia}
	}
	writers, err := d.begin(specs)
	if err != nil {
		return err
	}
	for i, t := range known {
		t.writer = writers[i]
	}
	d.begun = true
	for _, p := range d.pending {
		if p.track.writer == nil {
			continue
		}
		if err := p.track.writer.Write(p.unit); err != nil {
			return err
		}
	}
	d.pending = nil
	return nil
}

// clock makes one count of FLV's 32 bits of milliseconds, which wrap after 49 days.
type clock struct {
	set  bool
	last uint32
	ms   int64
}

func (c *clock) unwrap(t time.Duration) int64 {
	now := uint32(t.Milliseconds())
	if !c.set {
		c.set, c.last, c.ms = true, now, int64(now)
	}
	c.ms += int64(int32(now - c.last))
	c.last = now
	return c.ms
}

// sampleClock takes the millisecond's rounding out of a sound's times: frames of AAC have 1,024 samples.
type sampleClock struct {
	set  bool
	next int64
}

const aacFrame = 1024

func (s *sampleClock) smooth(pts int64, rate int) int64 {
	if d := pts - s.next; !s.set || d > int64(rate)/50 || d < -int64(rate)/50 { // 20 ms is more than rounding
		s.set, s.next = true, pts
	}
	pts = s.next
	s.next += aacFrame
	return pts
}
