package sfu

import (
	"math"
	"slices"
	"time"

	"watershed/sfu/media"
)

// What a path of known limits is sent goes through a sluice, because a queue that overflows costs every picture until the next keyframe.
//
// Down: a full path has a queue that still brings the old layer's pictures. The smaller layer begins when some of it has drained, and its cached GOP follows
// no faster than the path carries. While the smaller layer cannot be shown (a camera's small stream has to be pulled, and its keyframe may be seconds
// away), the larger one goes on, slower than it comes: every picture of it is made from the last one, so none can be left out, but a picture every 150 ms is
// better than a broken one, and at a keyframe it catches up with the present.
//
// Up: the cached GOP of a larger layer may be more than a path can carry beside the present. The slot stays where it is until the larger layer's
// next keyframe.
//
// And a path that has not shown that it is wide keeps the camera's small stream at hand: it is pulled soon after the viewer came, until the viewer leaves, because
// when the path shrinks it is too late to wait for a keyframe. What shows it is the burst that began the stream: a path that takes 200 kB at 230 Mb/s and
// loses nothing does not shrink to a few hundred kb/s so often, and for such viewers cameras send what is watched and nothing else.

const (
	drainFirst = 250 * time.Millisecond // of silence after a fall: half of the stall that is allowed, if nothing was queued
	slowTick   = 5 * time.Millisecond   // paces those who are limited
	freshGOP   = 150 * time.Millisecond // of the path's capacity: a cached GOP so small needs no new keyframe
	uneasyAt   = 8                      // packets asked for again that show a limited path
	wideAt     = 200_000                // bytes at once that show a wide one
)

// limited is what the slot's path carries in bytes a second, 0 if no limit is known. The smallest layer is sent whatever the path is.
func (sl *Slot) limited(l *Layer) float64 {
	budget := sl.viewer.budget.Budget()
	if math.IsInf(budget, 1) {
		return 0
	}
	for _, other := range sl.viewer.Slots {
		if c := other.layer.Load(); other != sl && c != nil {
			_, _, rate, _ := c.Frames()
			budget -= rate
		}
	}
	if _, _, rate, _ := l.Frames(); !sl.slow {
		budget = max(budget, rate*headroom)
	}
	return max(budget, lowestSluice) / 8
}

// lowestSluice is the least that a slot is given, in bits a second: a small picture now and then.
const lowestSluice = 100e3

// portion is what a slot that begins with a layer may be sent at once. After a fall it is less than nothing.
func (sl *Slot) portion(l *Layer, fell bool) int {
	rate := sl.limited(l)
	sl.filled = time.Now()
	switch {
	case rate == 0:
		return catchupBurst
	case fell:
		return -int(rate * drainFirst.Seconds())
	}
	return int(rate * freshGOP.Seconds())
}

// refill the slot's allowance after a tick.
func (sl *Slot) refill(now time.Time) {
	rate := sl.limited(sl.tap.layer)
	if rate == 0 {
		sl.allowance = min(sl.allowance+catchupPace, catchupBurst)
		return
	}
	passed := min(now.Sub(sl.filled), 100*time.Millisecond)
	sl.filled = now
	sl.allowance = min(sl.allowance+int(rate*passed.Seconds()), int(rate*freshGOP.Seconds()))
}

// skip goes on at a keyframe that came while the slot was behind, if its path is limited: what is left of the old GOP would only delay it.
func (sl *Slot) skip() {
	t := sl.tap
	key, ok := t.layer.ring.Keyframe()
	if !ok || key <= sl.cursor || key >= t.next || sl.limited(t.layer) == 0 {
		return
	}
	first, last := t.layer.ring.At(key), t.layer.ring.At(t.next-1)
	if first == nil || last == nil {
		return
	}
	sl.start(first, last)
	sl.squeeze = sl.squeezeTo(last, t.next-key)
	sl.cursor = key
}

// regulate slows a slot that carries a layer above what it is granted, and lets it go when it is granted that again.
func (sl *Slot) regulate(granted float64) {
	if !sl.carries() {
		sl.slow = false
		return
	}
	_, _, rate, _ := sl.tap.layer.Frames()
	t, s := sl.tap, sl.viewer.shard
	sl.slow = rate > granted && sl.coming == nil
	if sl.slow && slices.Contains(t.slots, sl) {
		t.slots = without(t.slots, sl)
		sl.cursor, sl.allowance = t.next, sl.portion(t.layer, true)
		s.catching = append(s.catching, sl)
	}
}

// falls reports whether the layer is below the one that the slot carries.
func (sl *Slot) falls(l *Layer) bool {
	all := l.Track.Layers() // best first
	return sl.carries() && slices.Index(all, l) > slices.Index(all, sl.tap.layer)
}

// rises reports whether the slot should wait on its layer for a keyframe of a larger one.
func (sl *Slot) rises(l *Layer) bool {
	rate := sl.limited(l)
	if rate == 0 || sl.slow || !sl.carries() || sl.falls(l) {
		return false
	}
	key, ok := l.ring.Keyframe()
	if !ok {
		return true
	}
	size := 0
	for n := key; n < l.ring.Next(); n++ {
		if f := l.ring.At(n); f != nil {
			size += f.Size
		}
	}
	return float64(size) > rate*freshGOP.Seconds()
}

// await has the slot move to the layer at its next keyframe.
func (sl *Slot) await(l *Layer) {
	if sl.coming != nil {
		return
	}
	sl.coming = sl.viewer.shard.tapOf(l)
	sl.coming.coming = append(sl.coming.coming, sl)
	l.RequestKeyframe()
}

// stay ends the waiting.
func (sl *Slot) stay() {
	if t := sl.coming; t != nil {
		sl.coming = nil
		t.coming = without(t.coming, sl)
		t.drop()
	}
}

// welcome moves the slots that wait elsewhere for a keyframe of this layer. It is large: they get it as fast as their paths take it.
func (t *tap) welcome(key *media.Frame) {
	s := t.shard
	for _, sl := range t.coming {
		sl.coming = nil
		sl.finish()
		sl.lastSent = time.Now()
		sl.tap.remove(sl)
		sl.tap = t
		sl.start(key, key)
		sl.cursor, sl.allowance = key.Number, sl.portion(t.layer, false)
		s.catching = append(s.catching, sl)
		if s.advance(sl) {
			s.catching = without(s.catching, sl)
		}
	}
	clear(t.coming)
	t.coming = t.coming[:0]
}

// uneasy reports whether the viewer's path may have limits: it has shown them, or nothing else.
func (v *Viewer) uneasy(now time.Time) bool {
	if v.report.nacks.Load() >= uneasyAt || !math.IsInf(v.budget.Budget(), 1) || now.Sub(v.joined) > settleTime && v.swallowed < wideAt {
		v.strained = true
	}
	return v.strained
}
