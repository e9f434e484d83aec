package rtsp

import (
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"watershed/sfu"
	"watershed/sfu/media"
)

// track is one format of an SDP that is known here.
type track struct {
	media  *description.Media
	format format.Format
	config media.Config
	decode func(*rtp.Packet) ([][]byte, error) // an error means: not complete yet, or broken
	each   bool                                // decode gives several access units, not the parts of one
	step   int64                               // ticks from one to the next, if each
}

// tracksOf finds what can be carried: one video, one audio, the first of each.
func tracksOf(desc *description.Session) []*track {
	var found [3]*track
	var tracks []*track
	for _, m := range desc.Medias {
		if m.IsBackChannel {
			continue
		}
		for _, f := range m.Formats {
			t := trackOf(m, f)
			if t == nil {
				continue
			}
			if kind := t.config.Codec.Kind(); found[kind] == nil {
				found[kind] = t
				tracks = append(tracks, t)
				break
			}
		}
	}
	return tracks
}

func trackOf(m *description.Media, f format.Format) *track {
	t := &track{media: m, format: f, config: media.Config{ClockRate: f.ClockRate()}}
	var err error
	switch f := f.(type) {
	case *format.H264:
		t.config.Codec = media.H264
		t.config.SPS, t.config.PPS = f.SafeParams()
		d, e := f.CreateDecoder()
		t.decode, err = func(p *rtp.Packet) ([][]byte, error) { return d.Decode(p) }, e
	case *format.H265:
		t.config.Codec = media.H265
		t.config.VPS, t.config.SPS, t.config.PPS = f.SafeParams()
		d, e := f.CreateDecoder()
		t.decode, err = func(p *rtp.Packet) ([][]byte, error) { return d.Decode(p) }, e
	case *format.AV1:
		t.config.Codec = media.AV1
		d, e := f.CreateDecoder()
		t.decode, err = func(p *rtp.Packet) ([][]byte, error) { return d.Decode(p) }, e
	case *format.VP8:
		t.config.Codec = media.VP8
		d, e := f.CreateDecoder()
		t.decode, err = one(d.Decode), e
	case *format.VP9:
		t.config.Codec = media.VP9
		d, e := f.CreateDecoder()
		t.decode, err = one(d.Decode), e
	case *format.Opus:
		t.config.Codec, t.config.Channels = media.Opus, f.ChannelCount
		t.decode = func(p *rtp.Packet) ([][]byte, error) { return [][]byte{p.Payload}, nil }
	case *format.MPEG4Audio:
		if f.Config == nil {
			return nil
		}
		t.config.Codec, t.config.Channels = media.AAC, f.Config.ChannelCount
		t.config.ASC, err = f.Config.Marshal()
		if err != nil {
			return nil
		}
		d, e := f.CreateDecoder()
		t.decode, err = func(p *rtp.Packet) ([][]byte, error) { return d.Decode(p) }, e
		t.each, t.step = true, 1024 // samples of an AAC-LC frame
	case *format.G711:
		if f.SampleRate != 8000 || f.ChannelCount != 1 {
			return nil
		}
		t.config.Codec, t.config.Channels = media.PCMA, 1
		if f.MULaw {
			t.config.Codec = media.PCMU
		}
		t.decode = func(p *rtp.Packet) ([][]byte, error) { return [][]byte{p.Payload}, nil }
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	return t
}

func one(decode func(*rtp.Packet) ([]byte, error)) func(*rtp.Packet) ([][]byte, error) {
	return func(p *rtp.Packet) ([][]byte, error) {
		frame, err := decode(p)
		if err != nil {
			return nil, err
		}
		return [][]byte{frame}, nil
	}
}

func specs(tracks []*track) []sfu.TrackSpec {
	var s []sfu.TrackSpec
	for _, t := range tracks {
		s = append(s, sfu.TrackSpec{Config: t.config})
	}
	return s
}

func codecsOf(desc *description.Session) string {
	var names []string
	for _, m := range desc.Medias {
		for _, f := range m.Formats {
			names = append(names, f.Codec())
		}
	}
	return strings.Join(names, ", ")
}

// receiver turns one track's packets into access units.
type receiver struct {
	track  *track
	writer *sfu.Writer
	lost   bool
}

// receive takes a packet with its presentation time in ticks, and the camera's clock if its sender reports told it.
func (r *receiver) receive(pkt *rtp.Packet, pts int64, capture, now time.Time) {
	parts, err := r.track.decode(pkt)
	if err != nil || len(parts) == 0 {
		return
	}
	u := sfu.Unit{Parts: parts, PTS: pts, Arrival: now, Capture: capture, Lost: r.lost}
	r.lost = false
	if !r.track.each {
		r.writer.Write(u) // fails when the session is over; its adapter has been told
		return
	}
	for i, p := range parts {
		u.Parts = [][]byte{p}
		u.PTS = pts + int64(i)*r.track.step
		r.writer.Write(u)
	}
}
