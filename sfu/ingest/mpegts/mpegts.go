// Package mpegts reads MPEG transport streams: what SRT carries.
package mpegts

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"watershed/sfu"
	"watershed/sfu/media"
)

// clockRate of PTS and DTS (ISO 13818-1 section 2.4.3.7).
const clockRate = 90000

// Read moves a transport stream's pictures and sound to the writers that begin returns, until r fails. begin is called once, when the tracks
// are known; an error of it ends the reading.
func Read(r io.Reader, begin func([]sfu.TrackSpec) ([]*sfu.Writer, error)) error {
	ts := &mpegts.Reader{R: r}
	if err := ts.Initialize(); err != nil {
		return fmt.Errorf("MPEG-TS: %w", err)
	}
	d := &demux{ts: ts}
	ts.OnDecodeError(func(error) { d.lost = true })
	specs := d.specs()
	if len(specs) == 0 {
		return &sfu.SourceError{Reason: sfu.ReasonCodec, Err: fmt.Errorf(
			"no codec in this MPEG-TS is known here (%s): send H264 or H265, and AAC or Opus", d.names())}
	}
	writers, err := begin(specs)
	if err != nil {
		return err
	}
	for i, s := range d.streams {
		s.writer = writers[i]
	}
	for {
		if err := ts.Read(); err != nil {
			return err
		}
	}
}

// demux is one transport stream. One goroutine uses it.
type demux struct {
	ts      *mpegts.Reader
	streams []*stream
	clock   clock
	lost    bool
}

// stream is an elementary stream that is carried.
type stream struct {
	config media.Config
	writer *sfu.Writer // nil: not wanted
}

// specs takes the first video and the first audio that are known here.
func (d *demux) specs() []sfu.TrackSpec {
	var found [3]bool
	var specs []sfu.TrackSpec
	for _, t := range d.ts.Tracks() {
		c, ok := configOf(t)
		if !ok || found[c.Codec.Kind()] {
			continue
		}
		found[c.Codec.Kind()] = true
		s := &stream{config: c}
		d.streams = append(d.streams, s)
		d.attach(t, s)
		specs = append(specs, sfu.TrackSpec{Config: c})
	}
	return specs
}

func configOf(t *mpegts.Track) (media.Config, bool) {
	switch c := t.Codec.(type) {
	case *codecs.H264:
		return media.Config{Codec: media.H264, ClockRate: clockRate}, true
	case *codecs.H265:
		return media.Config{Codec: media.H265, ClockRate: clockRate}, true
	case *codecs.Opus:
		return media.Config{Codec: media.Opus, ClockRate: 48000, Channels: 2}, true
	case *codecs.MPEG4Audio:
		asc, err := c.Config.Marshal()
		return media.Config{Codec: media.AAC, ClockRate: c.SampleRate, Channels: media.AACChannels(c.ChannelConfig), ASC: asc}, err == nil
	}
	return media.Config{}, false
}

func (d *demux) names() string {
	var names []string
	for _, t := range d.ts.Tracks() {
		names = append(names, strings.TrimPrefix(fmt.Sprintf("%T", t.Codec), "*codecs."))
	}
	return strings.Join(names, ", ")
}

func (d *demux) attach(t *mpegts.Track, s *stream) {
	picture := func(pts, dts int64, au [][]byte) error {
		dts = d.clock.unwrap(dts)
		return d.write(s, sfu.Unit{Parts: au, PTS: d.clock.near(pts, dts), DTS: dts, HasDTS: true})
	}
	switch t.Codec.(type) {
	case *codecs.H264:
		d.ts.OnDataH264(t, picture)
	case *codecs.H265:
		d.ts.OnDataH265(t, picture)
	case *codecs.Opus:
		d.ts.OnDataOpus(t, func(pts int64, packets [][]byte) error {
			return d.sounds(s, pts, packets, func(p []byte) int64 { return opus.PacketDuration2(p) })
		})
	case *codecs.MPEG4Audio:
		d.ts.OnDataMPEG4Audio(t, func(pts int64, frames [][]byte) error {
			return d.sounds(s, pts, frames, func([]byte) int64 { return 1024 })
		})
	}
}

// sounds writes audio frames of one PES packet, whose time is the first's; duration is in samples.
func (d *demux) sounds(s *stream, pts int64, frames [][]byte, duration func([]byte) int64) error {
	at := d.clock.unwrap(pts) * int64(s.config.ClockRate) / clockRate
	for _, f := range frames {
		if err := d.write(s, sfu.Unit{Parts: [][]byte{f}, PTS: at}); err != nil {
			return err
		}
		at += duration(f)
	}
	return nil
}

func (d *demux) write(s *stream, u sfu.Unit) error {
	if s.writer == nil {
		return nil
	}
	u.Arrival, u.Lost = time.Now(), d.lost
	d.lost = false
	return s.writer.Write(u)
}

// clock makes one count of the 33 bits, which wrap after 26 hours. All streams share it.
type clock struct {
	set  bool
	last int64
}

// unwrap continues the count.
func (c *clock) unwrap(t int64) int64 {
	if !c.set {
		c.set, c.last = true, t&mask
	}
	c.last = c.near(t, c.last)
	return c.last
}

const mask = 1<<33 - 1

// near is the time with these 33 bits that is nearest to another.
func (c *clock) near(t, other int64) int64 {
	return other + (t-other)<<31>>31 // the difference of 33 bits, with its sign
}
