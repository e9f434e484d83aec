package hlsbridge

import (
	"time"

	"watershed/sfu/media"
	"watershed/sfu/timeline"
)

// How the other renditions of an epoch keep to the leading one: its segments are theirs, and what they have nothing for is silence, or a gap.

// Rungs of a ladder come later than the source, by what their encoder needs: the source waits for them, so that all are published together. It does
// not wait for a rung that is later than rungLate, or has sent nothing for rungDead.
const (
	rungLate = time.Second
	rungDead = 2 * time.Second
)

// reached reports whether the rungs have come as far as a frame of the leading rendition.
func (e *epoch) reached(f *media.Frame) bool {
	lead := e.lead()
	newest := lead.shown(f)
	if l := lead.ring.Latest(); l != nil {
		newest = lead.shown(l)
	}
	for _, r := range e.renditions[1:] {
		if r.sound() || newest-lead.shown(f) > rungLate {
			continue
		}
		last := r.ring.Latest()
		if last != nil && r.shown(last)+r.frame/2 < lead.shown(f) && newest-r.shown(last) < rungDead {
			return false
		}
	}
	return true
}

// follow brings another rendition as far as the leading one.
func (e *epoch) follow(r *rendition) {
	horizon := timeline.Duration(e.lastDTS(), e.lead().cfg.ClockRate)
	for {
		b := e.after(r)
		f := r.peek(horizon)
		hurry := b != nil && (b.gap || r.open == nil || r.open.gap || r.absent && b.at+missing < horizon)
		switch {
		case b != nil && (f == nil && hurry || f != nil && r.shown(f)+r.frame/2 >= b.at):
			fresh := r.absent || r.open == nil || r.open.gap || b.cut
			e.turn(r, *b)
			r.absent = !r.fills() && (f == nil || fresh && (!f.Keyframe || r.shown(f)-r.frame/2 >= b.at))
			if e.plan.independent && !r.sound() && !r.absent && !f.Keyframe {
				e.plan = e.plan.dependent()
			}
			continue
		case f == nil && r.lost(horizon):
			r.leave()
			continue
		case f == nil:
			e.followGap(r, b, horizon)
			return
		}
		init, differs := r.differs(f)
		switch {
		case r.absent && b == nil && r.shown(f) >= horizon: // it may begin the next segment
			e.followGap(r, b, horizon)
			return
		case r.open == nil || r.open.gap || r.absent || r.shown(f)+r.frame/2 < r.end:
			r.take(f) // before everything, or its place is taken
			if differs {
				r.adopt(f.Config, init)
				e.recut = e.recut || r.open != nil
			}
		case differs:
			r.take(f) // silence, or the last picture, until a discontinuity is allowed
			e.recut = true
		case b == nil && r.shown(f) >= horizon && r.shown(f) > e.decided():
			return
		default:
			r.take(f)
			r.add(f)
		}
	}
}

func (e *epoch) lastDTS() int64 {
	if e.last == nil {
		return 0
	}
	return e.last.DTS
}

// decided is up to where it is known what segment a picture is in: that of the leading rendition is, and rungs have pictures at the same times. Their parts are
// published with it, not with the picture after it.
func (e *epoch) decided() time.Duration {
	lead := e.lead()
	if e.away || lead.open == nil {
		return -1
	}
	return lead.end - lead.frame
}

// turn ends a follower's segment at a boundary. After a discontinuity its own new configuration counts.
func (e *epoch) turn(r *rendition, b boundary) {
	if r.open != nil {
		r.complete(b.at)
	}
	if f := r.ring.Latest(); f != nil && b.cut {
		if init, differs := r.differs(f); differs {
			r.adopt(f.Config, init)
		}
	}
	r.turn(b)
}

// followGap lists a follower's gaps as far as the leading rendition's reach, or as far as its own frames are missing.
func (e *epoch) followGap(r *rendition, b *boundary, horizon time.Duration) {
	switch {
	case r.open == nil:
	case r.open.gap && r.open.msn == e.msn:
		r.fillGap(e.lead().end, false)
	case r.absent && b == nil:
		r.fillGap(horizon-missing/2, false)
	case r.absent:
		r.fillGap(b.at, false)
	}
}

// after returns the boundary that a follower comes to next.
func (e *epoch) after(r *rendition) *boundary {
	for i := range e.boundaries {
		if b := &e.boundaries[i]; r.open == nil || b.msn > r.open.msn {
			return b
		}
	}
	return nil
}

func (e *epoch) dropBoundaries() {
	for len(e.boundaries) > 0 {
		for _, r := range e.renditions[1:] {
			if r.open == nil || r.open.msn < e.boundaries[0].msn {
				return
			}
		}
		e.boundaries = e.boundaries[1:]
	}
}
