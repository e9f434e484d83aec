package hlsbridge

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu"
	"watershed/sfu/media"
)

// packager makes one stream's generations.
type packager struct {
	cfg    *Config
	stream *sfu.Stream
	log    *slog.Logger

	gen   atomic.Pointer[generation]
	ready chan struct{} // closed with the first generation
	asked atomic.Int64  // Unix nanoseconds of the last request
	crowd *audience
	waits waits

	numbers *numbers
	past    past                     // of the stream; run alone touches it, and the next
	refused map[string]*media.Config // by rendition: the last one that could not be packaged, which was said
}

func newPackager(cfg *Config, st *sfu.Stream, n *numbers) *packager {
	p := &packager{cfg: cfg, stream: st, log: cfg.Log.With("stream", st.Name), ready: make(chan struct{}), numbers: n, refused: map[string]*media.Config{}, crowd: newAudience(), waits: waits{crowds: map[moment][]*waiter{}}}
	p.asked.Store(time.Now().UnixNano())
	return p
}

// Packaging goes on for so long after the last request.
const (
	lingerDemand = 30 * time.Second
	lingerAlways = 5 * time.Minute
)

// tick is how often a packager looks at the clock when no frame comes.
const tick = 100 * time.Millisecond

// idle reports whether nobody asked for long enough, and nothing is recorded.
func (p *packager) idle(now time.Time) bool {
	spec := p.stream.Spec()
	linger := lingerAlways
	switch {
	case p.gone():
		return true
	case spec.Record && p.cfg.Recordings != "":
		return false
	case spec.Demand:
		linger = lingerDemand
	}
	linger = min(linger, p.cfg.linger)
	return now.Sub(time.Unix(0, p.asked.Load())) > linger
}

// gone reports a stream that was removed.
func (p *packager) gone() bool {
	st, ok := p.cfg.SFU.Stream(p.stream.Name)
	return !ok || st != p.stream
}

var errTracks = errors.New("the stream's tracks changed")

// afterPanic is how long a stream whose packager failed answers with nothing new: what made it fail is likely to do so again.
const afterPanic = 10 * time.Second

// run packages until ctx ends or nobody asks any longer. A failure is this stream's, not the node's.
func (p *packager) run(ctx context.Context) {
	defer func() {
		if x := recover(); x != nil {
			p.log.Error("hls: packaging failed", "panic", x, "stack", string(debug.Stack()))
			p.waits.close()
			select {
			case <-time.After(afterPanic):
			case <-ctx.Done():
			}
		}
	}()
	defer p.stream.HoldFor("hls", func() int { return p.crowd.count(time.Now()) })()
	defer p.stream.Require(media.Video, media.H264, cmaf.Carries)()
	defer p.stream.Require(media.Audio, media.AAC, cmaf.Carries)()
	p.past = p.numbers.of(p.stream.Name)
	for ctx.Err() == nil && !p.idle(time.Now()) {
		e, layers := p.begin(ctx)
		if e == nil {
			return
		}
		err := p.follow(ctx, e, layers)
		p.remember(e, 1)
		if !errors.Is(err, errTracks) {
			return
		}
	}
}

// reserved numbers are more than an epoch can use before the clock's have left it behind, if it does not tell how many it used.
const reserved = 16

// remember leaves word of an epoch for the next: the numbers behind the open segment are free.
func (p *packager) remember(e *epoch, behind uint64) {
	p.past = past{e.msn + behind, e.cutsSoFar() + 1, e.plan.part, e.plan.target}
	p.numbers.leave(p.stream.Name, p.past)
}

// pick chooses the layers to publish: the best of each track that HLS carries. waiting says that a better choice is under way.
func pick(st *sfu.Stream) (layers []*sfu.Layer, waiting bool) {
	for _, k := range []media.Kind{media.Video, media.Audio} {
		t := st.Track(k)
		if t == nil || len(t.Layers()) == 0 {
			continue
		}
		i := slices.IndexFunc(t.Layers(), func(l *sfu.Layer) bool { return cmaf.Carries(l.Config()) })
		if i >= 0 {
			layers = append(layers, t.Layers()[i])
			if k == media.Video {
				rungs, missing := rungs(st, t)
				layers, waiting = append(layers, rungs...), waiting || missing
			}
			continue
		}
		prefer := media.H264
		if k == media.Audio {
			prefer = media.AAC
		}
		waiting = waiting || st.CanServe(k, prefer, cmaf.Carries) == nil
	}
	return layers, waiting
}

// rungs are the layers of a stream's ladder that are there; missing says that more are to come.
func rungs(st *sfu.Stream, t *sfu.Track) (layers []*sfu.Layer, missing bool) {
	spec := st.Spec()
	source := t.Layers()[0].Config()
	wanted := 0
	for _, label := range spec.Ladder {
		if lines, err := sfu.ParseRung(label); err == nil && lines < min(source.Width, source.Height) {
			wanted++
		}
	}
	for _, l := range t.Layers() {
		if l.Converted && slices.Contains(spec.Ladder, l.Label) && cmaf.Carries(l.Config()) {
			layers = append(layers, l)
		}
	}
	none := func(*media.Config) bool { return false }
	return layers, len(layers) < wanted && st.CanServe(media.Video, media.H264, none) == nil
}

// awaitConversion is how long a first playlist waits for a track that is being converted.
const awaitConversion = 5 * time.Second

// begin waits for something to publish and plans it. nil when ctx ended or nobody asks.
func (p *packager) begin(ctx context.Context) (*epoch, []*sfu.Layer) {
	began := time.Now()
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		changed := p.stream.Changed()
		layers, waiting := pick(p.stream)
		var wake <-chan struct{}
		if len(layers) > 0 && !(waiting && time.Since(began) < awaitConversion) {
			wake = layers[0].Ring().Wake()
			if e := p.open(layers, time.Now()); e != nil {
				return e, layers
			}
		}
		select {
		case <-changed:
		case <-wake:
		case <-timer.C:
			if p.idle(time.Now()) {
				return nil, nil
			}
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// open plans an epoch of these layers; nil as long as they show too little.
func (p *packager) open(layers []*sfu.Layer, now time.Time) *epoch {
	lead := layers[0].Ring()
	plan, ok := probe(lead, p.cfg.Part, p.cfg.Segment, now)
	if !ok {
		return nil
	}
	key, ok := lead.Keyframe()
	first, newest := lead.At(key), lead.Latest()
	if !ok || first == nil || newest == nil || now.Sub(time.Unix(0, newest.Server)) > plan.patience(p.cfg.away) {
		return nil // a source that is away shows the past: no playlist begins with it
	}
	plan = plan.after(p.past.plan())
	e := &epoch{name: epochName(now), plan: plan, window: plan.window(p.cfg.Window), patience: plan.patience(p.cfg.away), render: newRenderer(), seen: now}
	for i, l := range layers {
		cfg := l.Config()
		if i == 0 {
			cfg = first.Config
		}
		id := renditionID(l, i)
		r, err := newRendition(e.name, id, l.Ring(), cfg)
		if err != nil {
			if p.refused[id] != cfg {
				p.refused[id] = cfg
				p.log.Warn("hls: track left out", "track", l.Codec, "error", err)
			}
			if i == 0 {
				return nil
			}
			continue
		}
		frame := plan.frame
		if r.sound() && cfg.Codec == media.AAC {
			frame = audioFrame(cfg)
		}
		r.pace(frame, plan)
		r.absent = i > 0 && !r.sound()
		r.reader = l.Ring().ReadFrom(l.Ring().Tail())
		e.renditions = append(e.renditions, r)
	}
	e.lead().reader = lead.ReadFrom(key)
	base := max(firstNumber(now), p.past.Number)
	e.head, e.msn, e.cuts = base, base-1, max(firstCut(now), p.past.Cuts)
	e.pad(first)
	p.log.Info("hls: packaging", "epoch", e.name, "part", plan.part, "target", plan.target, "renditions", len(e.renditions), "msn", base)
	return e
}

// firstNumber of an epoch is the half seconds since the beginning of 2026. Segments last a second or more, so whatever epoch went before, on this node or on another,
// the clock has left its numbers behind soon after it began, those of the gaps that an epoch begins with included.
func firstNumber(now time.Time) uint64 {
	return uint64(max(0, now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).Milliseconds()/500))
}

// firstCut is the discontinuity sequence of a stream without a past: the hours since then. That is enough for most of what this node does not know of, and small:
// hls.js (1.7) keeps a list that is as long as the number is large, and walks through it with every playlist; twenty million of them take most of a second.
func firstCut(now time.Time) uint64 { return firstNumber(now) / 7200 }

func renditionID(l *sfu.Layer, i int) string {
	if l.Codec.Kind() == media.Audio {
		return "a0"
	}
	return "v" + string(rune('0'+i))
}

// follow publishes an epoch until its stream's tracks change (errTracks), ctx ends or nobody asks.
func (p *packager) follow(ctx context.Context, e *epoch, layers []*sfu.Layer) error {
	timer := time.NewTimer(tick)
	defer timer.Stop()
	changed, looked := p.stream.Changed(), time.Now()
	p.remember(e, reserved)
	for {
		wake := e.lead().ring.Wake()
		now := time.Now()
		if now.Sub(looked) >= p.cfg.look {
			if looked = now; p.idle(now) {
				p.end(e)
				return nil
			}
		}
		before := e.msn
		e.advance(now)
		if e.msn != before && e.cutsSoFar() >= p.past.Cuts {
			p.remember(e, reserved)
		}
		if e.changed() && e.long() {
			p.store(e.publish(false))
		}
		timer.Reset(tick)
		select {
		case <-wake:
		case <-timer.C:
		case <-changed:
			changed = p.stream.Changed()
			if now, waiting := pick(p.stream); !waiting && len(now) > 0 && !slices.Equal(now, layers) {
				return errTracks
			}
		case <-ctx.Done():
			p.end(e)
			return ctx.Err()
		}
	}
}

// end tells those who wait that nothing more comes, if that is so: after a pause, or on the node's restart, the stream goes on under the same addresses, and a
// player that has seen its end does not ask again.
func (p *packager) end(e *epoch) {
	if p.gen.Load() != nil && p.gone() {
		p.store(e.publish(true))
	}
}

// store publishes a generation and wakes those who wait for what it brings.
func (p *packager) store(g *generation) {
	old := p.gen.Swap(g)
	if old == nil {
		close(p.ready)
		return
	}
	for _, v := range old.views {
		if !slices.Contains(g.views, v) {
			close(v.next)
		}
	}
	p.waits.wake(g)
}
