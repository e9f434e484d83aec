package sfu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"watershed/sfu/media"
)

// A conversion runs only while somebody needs it: a need says which configurations its owner can take, and when none of a
// track's own layers is one of them, the best of these is converted. Needs with the same target share one conversion.

// need is one reader's requirement.
type need struct {
	kind   media.Kind
	accept func(*media.Config) bool
	prefer media.Codec
}

// conversion makes layers from another: one, or the rungs of a ladder.
type conversion struct {
	from   *Layer
	to     []*Layer
	ladder bool
	cancel context.CancelFunc
}

// Require has the stream carry a layer of the kind that accept takes, converted to the preferred codec if the source has none, until
// release is called. The layer appears among the track's layers; Changed tells.
func (st *Stream) Require(k media.Kind, prefer media.Codec, accept func(*media.Config) bool) (release func()) {
	n := &need{kind: k, accept: accept, prefer: prefer}
	st.mu.Lock()
	st.needs[n] = struct{}{}
	st.mu.Unlock()
	st.convert()
	var once sync.Once
	return func() {
		once.Do(func() {
			st.mu.Lock()
			delete(st.needs, n)
			st.mu.Unlock()
			st.convert()
		})
	}
}

// CanServe reports whether a reader who takes these configurations can get the track: nil too when the stream is not there yet and
// nobody can tell.
func (st *Stream) CanServe(k media.Kind, prefer media.Codec, accept func(*media.Config) bool) error {
	t := st.Track(k)
	if t == nil || len(t.Layers()) == 0 {
		return nil
	}
	for _, l := range t.Layers() {
		if accept(l.Config()) {
			return nil
		}
	}
	return st.sfu.canConvert(t.Layers()[0].Config(), prefer)
}

func (s *SFU) canConvert(from *media.Config, to media.Codec) error {
	if s.cfg.Converter == nil {
		return fmt.Errorf("the source sends %v and this node cannot convert", from.Codec)
	}
	return s.cfg.Converter.CanConvert(from, to)
}

// convert starts the conversions that needs ask for and ends those that nobody needs. It is called whenever needs or layers change.
func (st *Stream) convert() {
	st.mu.Lock()
	keep := map[*conversion]bool{}
	var started []*conversion
	for n := range st.needs {
		from := st.convertibleLocked(n)
		if from == nil {
			continue
		}
		i := slices.IndexFunc(st.conversions, func(c *conversion) bool { return !c.ladder && c.from == from && c.to[0].Codec == n.prefer })
		if i < 0 {
			st.conversions = append(st.conversions, st.newConversionLocked(from, n.prefer))
			i = len(st.conversions) - 1
			started = append(started, st.conversions[i])
		}
		keep[st.conversions[i]] = true
	}
	if c, fresh := st.ladderLocked(); c != nil {
		keep[c] = true
		if fresh {
			started = append(started, c)
		}
	}
	var ended []*conversion
	st.conversions = slices.DeleteFunc(st.conversions, func(c *conversion) bool {
		if !keep[c] {
			ended = append(ended, c)
		}
		return !keep[c]
	})
	changed := len(ended) > 0
	for _, c := range ended {
		c.cancel()
		for _, l := range c.to {
			st.dropLayersLocked(l.Track.Kind, func(x *Layer) bool { return x == l })
		}
	}
	if changed {
		st.notifyLocked()
	}
	slots, none := st.slotsLocked(), len(st.conversions) == 0
	st.mu.Unlock()
	for _, c := range started {
		st.runConversion(c)
	}
	if none {
		st.converts()
	}
	if changed {
		for _, sl := range slots {
			sl.reselect()
		}
	}
}

// convertibleLocked finds the layer to convert for a need: nil if a source's own layer will do, or nothing can be done.
func (st *Stream) convertibleLocked(n *need) *Layer {
	t := st.tracks[n.kind]
	if t == nil {
		return nil
	}
	var best *Layer
	for _, l := range t.Layers() {
		switch {
		case l.Converted:
		case n.accept(l.Config()):
			return nil
		case best == nil:
			best = l
		}
	}
	if best == nil || st.sfu.canConvert(best.Config(), n.prefer) != nil {
		return nil
	}
	return best
}

func (st *Stream) newConversionLocked(from *Layer, codec media.Codec) *conversion {
	cfg := ConvertedConfig(from.Config(), codec)
	return &conversion{from: from, to: []*Layer{st.newLayer(from.Track, from.Label, &cfg, true)}, cancel: func() {}}
}

// Conversions that fail are tried again, ever slower; a source that no FFmpeg understands must not cost a core.
const (
	convertDelay   = 500 * time.Millisecond
	convertLongest = 30 * time.Second
	convertPark    = 6 // failures in a row before the stream says so
)

func (st *Stream) runConversion(c *conversion) {
	ctx, cancel := context.WithCancel(st.sfu.ctx)
	st.mu.Lock()
	c.cancel = cancel
	if !slices.Contains(st.conversions, c) { // ended meanwhile
		cancel()
	}
	st.mu.Unlock()
	log := st.sfu.cfg.Log.With("stream", st.Name, "from", c.from.Codec, "to", c)
	st.sfu.tasks.Go(func() {
		defer cancel()
		delay := convertDelay
		for failures := 1; ; failures++ {
			began := time.Now()
			err := c.run(ctx, st.sfu.cfg.Converter)
			if ctx.Err() != nil {
				return
			}
			if time.Since(began) > convertLongest {
				delay, failures = convertDelay, 1
			}
			if err == nil {
				err = errors.New("it ended by itself")
			}
			log.Warn("conversion failed", "error", err, "again", delay)
			if failures == convertPark && st.Status().State == Live {
				st.setState(Degraded, ReasonConvert, fmt.Sprintf("converting %v to %v fails: %v", c.from.Codec, c, err))
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(delay):
				delay = min(2*delay, convertLongest)
			}
		}
	})
}

// run converts until ctx ends or it fails.
func (c *conversion) run(ctx context.Context, by Converter) error {
	var to []*Writer
	for _, l := range c.to {
		to = append(to, newConvertedWriter(c.from, l))
	}
	if c.ladder {
		return by.Ladder(ctx, c.from, to)
	}
	return by.Convert(ctx, c.from, to[0])
}

// String is what the conversion makes, for people.
func (c *conversion) String() string {
	if !c.ladder {
		return c.to[0].Codec.String()
	}
	var labels []string
	for _, l := range c.to {
		labels = append(labels, l.Label)
	}
	return strings.Join(labels, ", ")
}

// showLayer adds a converted layer to its track with its first frame: before that nobody could use it.
func (st *Stream) showLayer(l *Layer) {
	st.mu.Lock()
	t := st.tracks[l.Track.Kind]
	wanted := slices.ContainsFunc(st.conversions, func(c *conversion) bool { return slices.Contains(c.to, l) })
	if t == nil || !wanted || slices.Contains(t.Layers(), l) {
		st.mu.Unlock()
		return
	}
	layers := arrange(append(slices.Clone(t.Layers()), l))
	t.layers.Store(&layers)
	st.notifyLocked()
	slots := st.slotsLocked()
	st.mu.Unlock()
	for _, sl := range slots {
		sl.reselect()
	}
	st.sfu.cfg.Changed(st)
}

// dropLayersLocked removes layers from a track, and the track with its last one.
func (st *Stream) dropLayersLocked(k media.Kind, gone func(*Layer) bool) {
	t := st.tracks[k]
	if t == nil {
		return
	}
	layers := slices.DeleteFunc(slices.Clone(t.Layers()), gone)
	t.layers.Store(&layers)
	if len(layers) == 0 {
		st.tracks[k] = nil
	}
}

// converts tells that a conversion has made its first frame, or that there is none any more: those that failed before are forgiven.
func (st *Stream) converts() {
	st.mu.Lock()
	failed := st.state == Degraded && st.reason == ReasonConvert
	st.mu.Unlock()
	if failed {
		st.setState(Live, NoReason, "")
	}
}

func (st *Stream) slotsLocked() []*Slot {
	slots := make([]*Slot, 0, len(st.slots))
	for sl := range st.slots {
		slots = append(slots, sl)
	}
	return slots
}
