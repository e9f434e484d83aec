package transcode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/media"
	"watershed/sfu/timeline"
	"watershed/sfu/transcode/nut"
)

// Converter makes layers of other codecs. It is a sfu.Converter.
type Converter struct {
	ffmpeg  *FFmpeg
	log     *slog.Logger
	choice  *choice
	silence time.Duration // of a child that gets media, which counts as failure
}

// NewConverter returns a converter that uses the FFmpeg that was found.
func NewConverter(f *FFmpeg, log *slog.Logger) *Converter {
	return &Converter{ffmpeg: f, log: log, choice: newChoice(f, log), silence: silence}
}

// CanConvert reports whether the conversion is possible on this node, and why not.
func (c *Converter) CanConvert(from *media.Config, to media.Codec) error {
	return c.ffmpeg.can(from, to)
}

// niceness of conversions: below the media that passes untouched, which must not suffer from them.
const niceness = 5

// silence is long enough for a slow machine to start a decoder of large pictures, and for the most patient one to see its first keyframe.
const silence = 10 * time.Second

var (
	errChanged = errors.New("the source changed")
	errSilent  = errors.New("FFmpeg makes nothing of the source's media")
)

// Convert reads the layer and writes the other until ctx ends or it fails. When the source changes, it goes on with another child.
func (c *Converter) Convert(ctx context.Context, from *sfu.Layer, to *sfu.Writer) error {
	if err := c.CanConvert(from.Config(), to.Layer().Codec); err != nil {
		return err
	}
	return c.run(ctx, from, []*sfu.Writer{to}, func(f *media.Frame, live time.Duration, e *encoder) []string {
		return c.ffmpeg.convertArgs(f.Config, to.Layer().Config(), live, e)
	})
}

// Ladder makes all rungs with one child that decodes once. All have keyframes at the same pictures, those of the source among them.
func (c *Converter) Ladder(ctx context.Context, from *sfu.Layer, to []*sfu.Writer) error {
	if err := c.CanConvert(from.Config(), media.H264); err != nil {
		return err
	}
	var rungs []int
	for _, w := range to {
		lines, err := sfu.ParseRung(w.Layer().Label)
		if err != nil {
			return err
		}
		rungs = append(rungs, lines)
	}
	return c.run(ctx, from, to, func(f *media.Frame, live time.Duration, e *encoder) []string {
		return c.ffmpeg.ladderArgs(f.Config, rungs, live, e)
	})
}

// arguments of a child whose input begins with a frame, and whose pictures are wanted from live after it.
type arguments func(first *media.Frame, live time.Duration, e *encoder) []string

// run has one child after the other convert. After one whose encoder is hardware, libx264 goes on without a pause; and if it can, it was not the source
// but the hardware that failed.
func (c *Converter) run(ctx context.Context, from *sfu.Layer, to []*sfu.Writer, args arguments) error {
	r := follow(from)
	stream := from.Track.Stream.Name
	failed := false // hardware, and nothing came from software since
	for brief := 0; ; {
		e := c.encoder(ctx, to[0].Layer().Codec, stream, failed)
		began := time.Now()
		err := c.stay(ctx, r, to, e, args, func() {
			if failed {
				c.choice.blame(stream, time.Now())
			}
			failed = false
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e.hard() && !errors.Is(err, errChanged) {
			c.log.Warn("hardware encoder failed", "stream", stream, "encoder", e, "error", err, "instead", software)
			failed, r = true, follow(from)
			continue
		}
		if time.Since(began) > time.Second {
			brief = 0
		} else {
			brief++
		}
		if !errors.Is(err, errChanged) || brief == maxBrief {
			return err
		}
	}
}

// encoder for the next child.
func (c *Converter) encoder(ctx context.Context, to media.Codec, stream id.Stream, failed bool) *encoder {
	switch {
	case to.Kind() == media.Audio:
		return &encoder{name: encoders[to]}
	case failed:
		return software
	}
	return c.choice.encoder(ctx, stream)
}

// maxBrief is how many children in a row may live for less than a second because their source changed: one that changes all the time, such as
// a file that is published faster than it plays, must not cost a process for each of its frames.
const maxBrief = 4

// stay is the life of one child: one configuration of the source, without a jump. It calls shown after the first frame that was made.
func (c *Converter) stay(ctx context.Context, r *follower, to []*sfu.Writer, e *encoder, args arguments, shown func()) error {
	first, err := r.next(ctx)
	if err != nil {
		return err
	}
	r.unread(first)
	live := timeline.Duration(r.newest().PTS-first.PTS, first.Config.ClockRate)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	child, err := c.ffmpeg.start(ctx, confinement{niceness: niceness, device: e.hard()}, args(first, max(0, live), e))
	if err != nil {
		return err
	}
	c.log.Info("converting", "stream", r.layer.Track.Stream.Name, "from", first.Config.Codec, "to", labels(to), "encoder", e, "process", child.cmd.Process.Pid)
	watch := time.AfterFunc(c.silence, func() { cancel(errSilent) })
	watch.Stop() // until something is fed
	s := &stay{child: child, reader: r, first: first, to: to, watch: watch, silence: c.silence, shown: shown}
	var feeding sync.WaitGroup
	var fed error
	feeding.Go(func() { fed = s.feed(ctx) })
	read := s.read()
	cancel(nil) // ends feeding, if the child ended by itself
	feeding.Wait()
	watch.Stop()
	exit := child.wait()
	switch cause := context.Cause(ctx); {
	case errors.Is(fed, errChanged):
		return errChanged
	case errors.Is(cause, errSilent):
		return fmt.Errorf("%w: %s", errSilent, child.stderr.String())
	case exit != nil:
		return exit
	case read != nil:
		return read
	}
	return errors.New("FFmpeg ended by itself")
}

// labels of layers, for the log.
func labels(to []*sfu.Writer) string {
	var all []string
	for _, w := range to {
		all = append(all, w.Layer().Codec.String()+" "+w.Layer().Label)
	}
	return strings.Join(all, ", ")
}

// stay is what the two goroutines of a child share.
type stay struct {
	child   *child
	reader  *follower
	first   *media.Frame
	to      []*sfu.Writer // by the child's streams
	watch   *time.Timer   // ends the child unless it shows something
	silence time.Duration
	shown   func() // is called after the first frame that was made

	mu    sync.Mutex // guards owing
	owing bool       // fed, and nothing came back yet
}

// feed writes the source's frames to the child until the source changes or ctx ends; then the child's input ends.
func (s *stay) feed(ctx context.Context) error {
	defer s.child.close()
	cfg := s.first.Config
	w, err := nut.NewWriter(s.child.in, source(cfg))
	if err != nil {
		return err
	}
	from := timeline.Ticks(lead, cfg.ClockRate) - s.first.PTS
	for last := s.first; ; {
		f, err := s.reader.next(ctx)
		if err != nil {
			return err
		}
		if f != s.first && changed(last, f) {
			s.reader.unread(f)
			s.owe(true) // its end
			return errChanged
		}
		s.owe(true)
		if err := w.Write(f.PTS+from, f.Keyframe, parts(f)...); err != nil {
			return err
		}
		last = f
	}
}

// owe arms the watch with the first frame fed after the child's last sign of life.
func (s *stay) owe(owing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owing == s.owing {
		return
	}
	if s.owing = owing; owing {
		s.watch.Reset(s.silence)
	} else {
		s.watch.Stop()
	}
}

// read writes what the child made to the new layers, with times of the stream's timeline, until the child ends.
func (s *stay) read() error {
	defer io.Copy(io.Discard, s.child.out) // or it would not end
	r, err := nut.NewReader(s.child.out)
	if err != nil {
		return err
	}
	streams := r.Streams()
	if len(streams) != len(s.to) {
		return fmt.Errorf("FFmpeg made %d streams, not %d", len(streams), len(s.to))
	}
	var outputs []*output
	for i, w := range s.to {
		outputs = append(outputs, newOutput(w, streams[i], s.first))
	}
	for {
		f, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			s.owe(false)
			err = outputs[f.Stream].write(f)
		}
		if err != nil {
			return err
		}
		if s.shown != nil {
			s.shown()
			s.shown = nil
		}
	}
}

// output is one of the child's streams on its way to a layer.
type output struct {
	to    *sfu.Writer
	info  nut.Stream
	rate  int
	start int64    // of the child's clock on the timeline, in ticks of the layer's
	last  int64    // PTS of what was written last
	sets  [][]byte // parameter sets that the container has and frames may lack
}

func newOutput(to *sfu.Writer, info nut.Stream, first *media.Frame) *output {
	o := &output{to: to, info: info, rate: to.Layer().Config().ClockRate, last: -1}
	o.start = timeline.Ticks(timeline.Duration(first.PTS, first.Config.ClockRate)-lead, o.rate)
	if f := to.Layer().Ring().Latest(); f != nil { // of the child before this one
		o.last = f.PTS
	}
	if to.Layer().Codec == media.H264 {
		o.sets = annexB(info.Extra)
	}
	return o
}

func (o *output) write(f nut.Frame) error {
	pts := o.start + scaled(f.PTS, o.info.Num, o.info.Den, o.rate)
	if pts <= o.last { // encoders look ahead: their first frame may lie before what the last child ended with
		return nil
	}
	o.last = pts
	return o.to.Write(sfu.Unit{Parts: o.units(f), PTS: pts, DTS: pts, HasDTS: true, Arrival: time.Now()})
}

func (o *output) units(f nut.Frame) [][]byte {
	if o.to.Layer().Codec != media.H264 {
		return [][]byte{f.Data}
	}
	units := annexB(f.Data)
	if f.Keyframe {
		units = append(o.sets[:len(o.sets):len(o.sets)], units...)
	}
	return units
}

func annexB(data []byte) [][]byte {
	var units h264.AnnexB
	if units.Unmarshal(data) != nil {
		return nil
	}
	return units
}

// parts of a frame as FFmpeg takes them in a container.
func parts(f *media.Frame) [][]byte {
	switch f.Config.Codec {
	case media.H264, media.H265:
		var p [][]byte
		for _, u := range f.Units {
			p = append(p, startCode, u)
		}
		return p
	case media.AV1:
		return [][]byte{temporalUnit(f.Units)}
	}
	return f.Units
}

var startCode = []byte{0, 0, 0, 1}

// temporalUnit writes OBUs with their sizes (AV1 specification section 5.3).
func temporalUnit(obus [][]byte) []byte {
	var out []byte
	for _, u := range obus {
		if len(u) == 0 {
			continue
		}
		const hasSize, hasExtension = 0x02, 0x04
		header := 1
		if u[0]&hasExtension != 0 && len(u) > 1 {
			header = 2
		}
		if u[0]&hasSize != 0 { // as the source sent it
			out = append(out, u...)
			continue
		}
		out = append(out, u[0]|hasSize)
		out = append(out, u[1:header]...)
		size := len(u) - header
		for ; size >= 0x80; size >>= 7 {
			out = append(out, byte(size)|0x80)
		}
		out = append(out, byte(size))
		out = append(out, u[header:]...)
	}
	return out
}

// longestGap is how much of a source may be missing before sound begins anew rather than being filled with silence.
const longestGap = time.Second

// changed reports whether a frame begins something that the child cannot follow: other parameters, another source, a jump.
func changed(last, f *media.Frame) bool {
	if f.Discontinuity || last.Config != f.Config && !same(last.Config, f.Config) {
		return true
	}
	gap := timeline.Duration(f.PTS-last.PTS, f.Config.ClockRate)
	return f.Config.Codec.Kind() == media.Audio && (gap > longestGap || gap < 0)
}

// same reports whether a decoder and an encoder that began with a can go on with b.
func same(a, b *media.Config) bool {
	return a.ClockRate == b.ClockRate && a.Channels == b.Channels && a.Width == b.Width && a.Height == b.Height &&
		bytes.Equal(a.SPS, b.SPS) && bytes.Equal(a.PPS, b.PPS) && bytes.Equal(a.VPS, b.VPS) && bytes.Equal(a.ASC, b.ASC)
}

var _ sfu.Converter = (*Converter)(nil)
