package sfu

import (
	"cmp"
	"math"
	"slices"
	"time"

	"watershed/sfu/bwe"
	"watershed/sfu/media"
)

// Each viewer's budget is shared among its videos by priority: all get their smallest layer, then the focused one grows first. A
// layer that was asked for by its label stays as it is; the rest is what the others may take.

// estimator guesses a viewer's budget from feedback.
type estimator interface {
	Feed(f bwe.Feedback) (full bool)
	Budget() float64
	Probe(now time.Time, want float64) float64
	Free()
}

var _ estimator = (*bwe.Estimator)(nil)

// Hint is what a client knows of its own screen.
type Hint struct {
	Height   int  // pixels of the element, 0 if unknown: nothing larger is sent than needed
	Hidden   bool // nobody looks: the smallest layer keeps the picture alive
	Priority int  // higher grows first
}

// Hint tells the slot what its viewer's client shows.
func (sl *Slot) Hint(h Hint) {
	sl.viewer.post(func() {
		sl.hint = h
		sl.viewer.allot(time.Now())
	})
}

// rung is a layer as a choice.
type rung struct {
	label string
	rate  float64 // bits a second
}

// unknownRate stands for layers that nobody has measured yet.
const (
	unknownRate = 2e6
	lowShare    = 1.0 / 6 // of the main layer, for a small stream that is not pulled yet: cameras' defaults are about that
)

// rungs lists what the slot could get, smallest first; one or none leaves nothing to choose.
func (sl *Slot) rungs() (all []rung) {
	t := sl.stream.Track(sl.Kind)
	if t == nil || sl.Kind != media.Video {
		return nil
	}
	now, hasLow := time.Now(), false
	for _, l := range sl.candidates(t, now) {
		_, _, rate, _ := l.Frames()
		all = append(all, rung{l.Label, cmp.Or(rate, unknownRate)})
		hasLow = hasLow || l.Label == LowLabel
		if h := l.Config().Height; sl.hint.Height > 0 && h >= sl.hint.Height { // larger ones have come before this
			all = all[len(all)-1:]
		}
	}
	if !hasLow && len(all) > 0 && sl.stream.HasLow() {
		all = append(all, rung{LowLabel, all[len(all)-1].rate * lowShare})
	}
	slices.Reverse(all)
	if sl.hint.Hidden && len(all) > 1 {
		all = all[:1]
	}
	return all
}

// candidates are the layers that the slot could get, best first: those that flow; if none does, the one that it has, so that its last picture stays, or
// the best.
func (sl *Slot) candidates(t *Track, now time.Time) []*Layer {
	var flowing, quiet []*Layer
	for _, l := range t.Layers() {
		switch {
		case !sl.accepts(l.Config()):
		case l.flows(now):
			flowing = append(flowing, l)
		case l == sl.layer.Load():
			quiet = slices.Insert(quiet, 0, l)
		default:
			quiet = append(quiet, l)
		}
	}
	if len(flowing) > 0 || len(quiet) == 0 {
		return flowing
	}
	return quiet[:1]
}

// adapt takes the newest feedback into account. It runs on the viewer's shard.
func (v *Viewer) adapt() {
	now := time.Now()
	passed := now.Sub(v.adapted)
	if passed < minAdapt {
		return
	}
	sent := v.octetsSent()
	f := bwe.Feedback{At: now, Loss: -1}
	if !v.adapted.IsZero() {
		f.Sent = float64(sent-v.sentBefore) * 8 / passed.Seconds()
	}
	if v.report.fresh.Swap(false) {
		f.Loss = float64(v.report.lost.Load()) / 256
	}
	if trip := v.report.trip.Swap(nil); trip != nil {
		f.RTT, f.Span = trip.rtt, trip.span
	}
	if now.UnixNano()-v.report.rembAt.Load() < int64(rembLife) {
		f.REMB = float64(v.report.remb.Load())
	}
	v.adapted, v.sentBefore = now, sent
	if tell := v.sfu.cfg.Feedback; tell != nil {
		tell(v, f)
	}
	if f.Sent > 0 && now.Sub(v.joined) > settleTime {
		v.budget.Feed(f)
	}
	v.allot(now)
}

const (
	minAdapt   = 200 * time.Millisecond // shorter spans say little about a rate
	rembLife   = 3 * time.Second        // receivers repeat it every second
	settleTime = 2 * time.Second        // the burst that begins a stream says nothing about its path
	freeAfter  = 10 * time.Second       // at the best layers without a limit in sight
	headroom   = 1.15                   // of a layer's rate: keyframes and repeats
)

func (v *Viewer) octetsSent() (n uint64) {
	for _, sl := range v.Slots {
		n += sl.octets.Load()
	}
	return n + v.repeated
}

// allot chooses each automatic slot's layer within the budget.
func (v *Viewer) allot(now time.Time) {
	budget := v.budget.Budget()
	var open []*choice
	for _, sl := range v.Slots {
		if sl.stream == nil {
			continue
		}
		c := choice{slot: sl, rungs: sl.rungs()}
		if sl.want != "" || len(c.rungs) < 2 {
			if l := sl.layer.Load(); l != nil {
				_, _, rate, _ := l.Frames()
				budget -= rate
			}
			if len(c.rungs) == 1 && sl.want == "" {
				sl.settle(c.rungs[0].label)
			}
			sl.slow = false
			continue
		}
		budget -= c.rungs[0].rate * headroom
		open = append(open, &c)
	}
	v.adaptive.Store(len(open) > 0)
	slices.SortStableFunc(open, func(a, b *choice) int { return cmp.Compare(b.slot.hint.Priority, a.slot.hint.Priority) })
	want := 0.0
	for _, c := range open {
		for c.level+1 < len(c.rungs) {
			more := (c.rungs[c.level+1].rate - c.rungs[c.level].rate) * headroom
			if more > budget {
				if want == 0 {
					want = more - budget
				}
				break
			}
			budget -= more
			c.level++
		}
		c.slot.settle(c.rungs[c.level].label)
		c.slot.regulate(c.rungs[c.level].rate + max(budget, 0))
	}
	v.grow(now, want)
}

// choice is an automatic slot's place among its rungs.
type choice struct {
	slot  *Slot
	rungs []rung
	level int
}

// settle makes the slot get this layer.
func (sl *Slot) settle(label string) {
	if sl.auto != label || sl.dropLow == nil && sl.stream.HasLow() && sl.viewer.uneasy(time.Now()) {
		sl.auto = label
		sl.choose()
	}
}

// grow probes for more when more is wanted, and lifts the limit when nothing has been for long.
func (v *Viewer) grow(now time.Time, want float64) {
	limit := v.budget.Budget()
	if math.IsInf(limit, 1) {
		return
	}
	if want > 0 {
		v.topSince = time.Time{}
		v.wanted = limit + want
		v.shard.probing[v] = struct{}{}
		return
	}
	v.wanted = 0
	if v.topSince.IsZero() {
		v.topSince = now
	}
	if now.Sub(v.topSince) > freeAfter {
		v.budget.Free()
		v.topSince = time.Time{}
	}
}

// probe fills a viewer's path up to the rate that its estimator asks for, with repeats of what it was sent lately.
func (s *shard) probe(v *Viewer, now time.Time, span time.Duration) {
	if v.leg.Dead.Load() || v.wanted == 0 {
		delete(s.probing, v)
		return
	}
	rate := v.budget.Probe(now, v.wanted)
	if rate == 0 {
		return
	}
	i := slices.IndexFunc(v.Slots, func(sl *Slot) bool {
		return sl.Kind == media.Video && sl.carries() && sl.rtxPT != 0 && slices.Contains(sl.tap.slots, sl)
	})
	if i < 0 {
		return
	}
	_, _, media, _ := v.Slots[i].tap.layer.Frames()
	v.Slots[i].repeat(int((rate - media) * span.Seconds() / 8))
}

// carries reports whether the slot has begun with the layer of its tap: a waiting one still has the numbering of the last.
func (sl *Slot) carries() bool { return sl.tap != nil && sl.tap.layer == sl.layer.Load() }

// repeat sends about n bytes of the newest packets once more.
func (sl *Slot) repeat(n int) {
	r := sl.tap.layer.ring
	if !sl.viewer.leg.Aim(sl.viewer.shard.batch) {
		return
	}
	for number := sl.tap.next - 1; n > 0; number-- {
		f := r.At(number)
		if f == nil || f.FirstSeq < sl.numbers.Since() {
			return
		}
		for i, p := range f.Packets {
			n -= sl.resendOne(f, p, uint16(sl.numbers.Out(f.FirstSeq+uint64(i))))
		}
	}
}
