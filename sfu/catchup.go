package sfu

import (
	"slices"
	"time"

	"watershed/sfu/media"
)

// A viewer who joins is shown the present at once: it is sent the frames since the last keyframe in small portions, with timestamps squeezed together
// so that its player shows the newest and does not stay a GOP behind. Squeezed steps are 1 ms: measured in
// Chromium, that beats original timestamps by 30 ms of delay at p95 (DESIGN section 5).

const (
	catchupBurst  = 48 * 1200 // bytes of a slot's first portion: a keyframe of 58 kB
	catchupPace   = 24 * 1200 // bytes a tick after that: 230 Mb/s at most, which a path's queue takes better than all at once
	squeezeMillis = 1         // between squeezed frames
)

// squeeze maps timestamps of frames before a live position.
type squeeze struct {
	until uint64 // first frame with its own timestamp
	end   uint32 // timestamp of the frame before it
	step  uint32
}

// join brings a slot onto a layer, which may be a fall from a larger one: pictures from the last keyframe if the ring has one, else at the next; sound at the next frame.
func (s *shard) join(sl *Slot, l *Layer, fell bool) {
	t := s.tapOf(l)
	sl.tap = t
	if l.Track.Kind == media.Audio { // the next frame will do
		t.waiting = append(t.waiting, sl)
		return
	}
	l.RequestKeyframe() // a no-op for cameras; others send a fresh picture sooner than the GOP ends
	key, ok := l.ring.Keyframe()
	if !ok || key >= t.next {
		t.waiting = append(t.waiting, sl)
		return
	}
	first, last := l.ring.At(key), l.ring.At(t.next-1)
	if first == nil || last == nil {
		t.waiting = append(t.waiting, sl)
		return
	}
	sl.start(first, last)
	sl.cursor = key
	sl.allowance = sl.portion(l, fell)
	sl.squeeze = sl.squeezeTo(last, t.next-key)
	s.catching = append(s.catching, sl)
	if s.advance(sl) {
		s.catching = without(s.catching, sl)
	}
}

// squeezeTo spreads n frames before and including last: 1 ms apart, or less if the slot sent something lately, because
// timestamps only grow.
func (sl *Slot) squeezeTo(last *media.Frame, n uint64) squeeze {
	end := uint32(last.PTS) + sl.tsOffset
	step := uint32(last.Config.ClockRate / 1000 * squeezeMillis)
	if sl.sentAny {
		room := int32(end - sl.lastTS)
		if room <= int32(n) { // it has the newest picture already, or nearly: squeeze into the time until the next
			end, room = sl.lastTS+uint32(n), int32(n)
		}
		step = min(step, max(1, uint32(room)/uint32(n+1)))
	}
	return squeeze{until: last.Number + 1, end: end, step: step}
}

// catchUp gives every slot that is behind its next portion.
func (s *shard) catchUp(now time.Time) {
	s.catching = slices.DeleteFunc(s.catching, func(sl *Slot) bool {
		sl.refill(now)
		return s.advance(sl)
	})
}

// advance sends a slot what its allowance permits; true when it needs no more catching up.
func (s *shard) advance(sl *Slot) (done bool) {
	t := sl.tap
	limited := sl.limited(t.layer) > 0
	for sl.cursor < t.next {
		if sl.allowance <= 0 {
			return false
		}
		if limited && sl.partly == nil {
			sl.skip()
		}
		f := t.layer.ring.At(sl.cursor)
		switch {
		case sl.partly != nil:
			if !sl.sendPart(s.batch, sl.partly) {
				return false
			}
		case f == nil: // a keyframe came and the old GOP went: begin again there, unless the viewer wants something else by then
			sl.tap = nil
			s.stats.Overruns.Add(1)
			s.mail.put(task{do: func() {
				sl.choose()
				t.drop()
			}})
			return true
		case limited:
			if !sl.sendPart(s.batch, f) {
				return false
			}
		default:
			sl.send(s.batch, []*media.Frame{f})
			sl.allowance -= f.Size
			sl.viewer.swallowed += f.Size
		}
		sl.cursor++
	}
	if sl.slow {
		return false
	}
	t.slots = append(t.slots, sl)
	return true
}
