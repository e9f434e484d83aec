// Package rtpfmt cuts access units into RTP payloads so that they can be sent in few system calls.
//
// The kernel sends a run of datagrams in one call (UDP GSO) when all but the last have the same size. So a
// picture of H.264 or H.265 is cut into fragments of equal size rather than into full packets and a rest.
package rtpfmt

import (
	"fmt"

	"github.com/pion/rtp/codecs"

	"watershed/sfu/media"
)

// MaxPayload is the largest RTP payload: with the RTP header 1,200 bytes, and with an SRTP tag and IPv6 and UDP headers still
// below the 1,280 bytes that every IPv6 path carries (RFC 8200 section 5).
const MaxPayload = 1200 - media.HeaderLen

// maxSound is the largest audio frame that is sent. It goes as one datagram, whatever the path makes of it: Opus has 1,275 bytes at most for 20 ms (RFC 6716
// section 3.2.1), cameras' G.711 comes in up to half a second. What is larger is none, but its publisher may say so.
const maxSound = 8 << 10

// Packetizer cuts the frames of one layer. The layer's writer owns it.
type Packetizer struct {
	codec media.Codec
	vp8   codecs.VP8Payloader
	vp9   codecs.VP9Payloader
	av1   codecs.AV1Payloader
}

// New returns a packetizer for a codec; it fails for those that WebRTC does not carry.
func New(c media.Codec) (*Packetizer, error) {
	if !c.WebRTC() {
		return nil, fmt.Errorf("packetize %v: WebRTC does not carry it", c)
	}
	return &Packetizer{codec: c, vp9: codecs.VP9Payloader{InitialPictureIDFn: func() uint16 { return 0 }}}, nil
}

// Packets cuts one access unit; the last packet has the marker bit (for audio, none has: RFC 3551 section 4.1 keeps it for
// talk spurts). The units are copied.
func (p *Packetizer) Packets(units [][]byte) []media.Packet {
	s := newSlab(units)
	switch p.codec {
	case media.H264:
		h264.cut(s, units)
	case media.H265:
		h265.cut(s, units)
	case media.VP8:
		s.addAll(p.vp8.Payload(MaxPayload, join(units)))
	case media.VP9:
		s.addAll(p.vp9.Payload(MaxPayload, join(units)))
	case media.AV1:
		s.addAll(p.av1.Payload(MaxPayload, obuStream(units)))
	default:
		for _, u := range units {
			if len(u) <= maxSound {
				s.add(u)
			}
		}
		return s.packets
	}
	if n := len(s.packets); n > 0 {
		s.packets[n-1][1] |= 0x80
	}
	return s.packets
}

// slab holds all packets of a frame in one allocation.
type slab struct {
	buf     []byte
	packets []media.Packet
}

func newSlab(units [][]byte) *slab {
	size, n := 0, 0
	for _, u := range units {
		size += len(u)
		n += 2 + len(u)/(MaxPayload-8)
	}
	return &slab{buf: make([]byte, 0, size+n*(media.HeaderLen+8)), packets: make([]media.Packet, 0, n)}
}

// add appends a packet whose payload is the given pieces in a row.
func (s *slab) add(pieces ...[]byte) {
	start := len(s.buf)
	s.buf = append(s.buf, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // RTP version 2, the rest is the sender's
	for _, p := range pieces {
		s.buf = append(s.buf, p...)
	}
	s.packets = append(s.packets, media.Packet(s.buf[start:len(s.buf):len(s.buf)]))
}

func (s *slab) addAll(payloads [][]byte) {
	for _, p := range payloads {
		s.add(p)
	}
}

func join(units [][]byte) []byte {
	if len(units) == 1 {
		return units[0]
	}
	var all []byte
	for _, u := range units {
		all = append(all, u...)
	}
	return all
}

// obuStream writes OBUs in the low-overhead format with sizes (AV1 specification section 5.3).
func obuStream(units [][]byte) []byte {
	var out []byte
	for _, u := range units {
		if len(u) == 0 {
			continue
		}
		const hasSize, hasExtension = 0x02, 0x04
		header := 1
		if u[0]&hasExtension != 0 && len(u) > 1 {
			header = 2
		}
		out = append(out, u[0]|hasSize)
		out = append(out, u[1:header]...)
		size := len(u) - header
		for ; size >= 0x80; size >>= 7 { // leb128
			out = append(out, byte(size)|0x80)
		}
		out = append(out, byte(size))
		out = append(out, u[header:]...)
	}
	return out
}
