// Package depacket makes access units of RTP packets, for every adapter whose source sends RTP.
package depacket

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"watershed/sfu"
	"watershed/sfu/media"
)

// Format is one RTP payload format whose media can be carried.
type Format struct {
	Config media.Config // what is known before the first packet

	reset  func() error                                    // forgets a half-read access unit
	decode func(p *rtp.Packet) (parts [][]byte, err error) // an error means: not complete yet, or broken
	each   bool                                            // decode gives several access units, not the parts of one
	step   int64                                           // ticks from one to the next, if each
}

// New finds how to read a format; nil when its codec is not carried here.
func New(f format.Format) *Format {
	t := &Format{Config: media.Config{ClockRate: f.ClockRate()}}
	switch f := f.(type) {
	case *format.H264:
		t.Config.Codec = media.H264
		t.Config.SPS, t.Config.PPS = f.SafeParams()
		t.reset = resetting(t, f.CreateDecoder, many)
	case *format.H265:
		t.Config.Codec = media.H265
		t.Config.VPS, t.Config.SPS, t.Config.PPS = f.SafeParams()
		t.reset = resetting(t, f.CreateDecoder, many)
	case *format.AV1:
		t.Config.Codec = media.AV1
		t.reset = resetting(t, f.CreateDecoder, many)
	case *format.VP8:
		t.Config.Codec = media.VP8
		t.reset = resetting(t, f.CreateDecoder, one)
	case *format.VP9:
		t.Config.Codec = media.VP9
		t.reset = resetting(t, f.CreateDecoder, one)
	case *format.Opus:
		t.Config.Codec, t.Config.Channels = media.Opus, f.ChannelCount
		t.reset = t.whole
	case *format.MPEG4Audio:
		if !t.aac(f) {
			return nil
		}
	case *format.G711:
		if f.SampleRate != 8000 || f.ChannelCount != 1 {
			return nil
		}
		t.Config.Codec, t.Config.Channels = media.PCMA, 1
		if f.MULaw {
			t.Config.Codec = media.PCMU
		}
		t.reset = t.whole
	default:
		return nil
	}
	if t.reset() != nil {
		return nil
	}
	return t
}

func (t *Format) aac(f *format.MPEG4Audio) bool {
	if f.Config == nil {
		return false
	}
	asc, err := f.Config.Marshal()
	if err != nil {
		return false
	}
	t.Config.Codec, t.Config.Channels, t.Config.ASC = media.AAC, media.AACChannels(f.Config.ChannelConfig), asc
	t.each, t.step = true, 1024 // samples of an AAC-LC frame
	t.reset = resetting(t, f.CreateDecoder, many)
	return true
}

// whole is the reset of formats whose every packet is an access unit.
func (t *Format) whole() error {
	t.decode = func(p *rtp.Packet) ([][]byte, error) { return [][]byte{p.Payload}, nil }
	return nil
}

// decoder is what the library's decoders have in common.
type decoder[T any] interface {
	Decode(*rtp.Packet) (T, error)
}

// resetting returns a reset that begins with a new decoder.
func resetting[T any, D decoder[T]](t *Format, create func() (D, error), parts func(T) [][]byte) func() error {
	return func() error {
		d, err := create()
		if err != nil {
			return err
		}
		t.decode = func(p *rtp.Packet) ([][]byte, error) {
			au, err := d.Decode(p)
			if err != nil {
				return nil, err
			}
			return parts(au), nil
		}
		return nil
	}
}

func many(units [][]byte) [][]byte { return units }
func one(unit []byte) [][]byte     { return [][]byte{unit} }

// Receiver turns one track's packets, in order, into access units. One goroutine uses it.
type Receiver struct {
	Format *Format
	Writer *sfu.Writer

	lost   bool
	now    int64 // PTS of the last packet
	before int64 // the PTS before that one
}

// Lose tells that packets before the next are missing: what was begun is dropped, so that parts of two pictures never mix.
func (r *Receiver) Lose() {
	r.lost = true
	r.Format.reset() // cannot fail: it did not in New
}

// Receive takes a packet with its presentation time in ticks, and the source's clock if its sender reports told it. The packet's payload is
// kept. It fails when the session is over, and when the packet broke a parser: then the adapter ends the session, because libraries call
// back on goroutines where a panic would end the process.
func (r *Receiver) Receive(pkt *rtp.Packet, pts int64, capture, now time.Time) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a packet broke the parser of %v: %v\n%s", r.Format.Config.Codec, p, debug.Stack())
		}
	}()
	if len(pkt.Payload) == 0 { // padding, sent to probe the network
		return nil
	}
	if pts != r.now {
		r.before, r.now = r.now, pts
	}
	parts, err := r.Format.decode(pkt)
	if err != nil || len(parts) == 0 {
		return nil
	}
	if !pkt.Marker && r.Format.Config.Codec.Kind() == media.Video {
		pts = r.before // without markers a new timestamp ends the picture before it
	}
	u := sfu.Unit{Parts: parts, PTS: pts, Arrival: now, Capture: capture, Lost: r.lost}
	r.lost = false
	if !r.Format.each {
		return r.Writer.Write(u)
	}
	for i, p := range parts {
		u.Parts = [][]byte{p}
		u.PTS = pts + int64(i)*r.Format.step
		if err := r.Writer.Write(u); err != nil {
			return err
		}
	}
	return nil
}
