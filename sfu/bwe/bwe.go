// Package bwe guesses how many bits a second a viewer's path carries, from the feedback that every browser sends: loss and round-trip
// time of receiver reports, and REMB, the receiver's own estimate.
//
// It reacts fast downwards and feels its way up. What shows a full path first is the round trip of sender reports, which wait in the same queue as the
// media; how fast it grows tells what the path carries. A path that carries a small layer well says nothing about a large one, and REMB
// cannot know either: it never exceeds about 1.5 times what arrives and grows by 8 % a second. So only its fall means something here, and when a larger layer would be welcome, the estimator asks for a probe, a short time at
// a higher rate filled with repeats, and believes in the rate only if the path bore it. Half a second at twice the rate leaves a queue that drains
// within half a second, which a player's buffer hides.
package bwe

import (
	"math"
	"time"
)

// Feedback is what is known at one moment.
type Feedback struct {
	At   time.Time
	Sent float64       // bits a second since the last feedback, all that went to the viewer
	Loss float64       // fraction lost, of the last report; negative if there was none
	RTT  time.Duration // of a sender report that was not answered before, or the least of one that is under way; zero if there was none
	Span time.Duration // from the sender report that the last RTT was of to that of this
	REMB float64       // bits a second, zero if there is none
}

// Thresholds. Those of loss are Google's (draft-ietf-rmcat-gcc section 6): below 2 % a path is well, above 10 % it is full.
const (
	highLoss  = 0.10
	queueing  = 150 * time.Millisecond // of round trip above the least: more, twice in a row, is a queue, not a path
	clogged   = 300 * time.Millisecond // the same, at once
	lossSpan  = time.Second            // over which loss is averaged: browsers report five times a second, on a few dozen packets each
	shrink    = 0.85                   // of what arrived: leaves room for the queue to drain
	lowest    = 60_000                 // bits a second: sound and a sign of life
	firstHold = 3 * time.Second        // well for so long before the first probe
	maxHold   = 5 * time.Second        // and at most so long after failed ones, so that a path that recovers is used within 15 s
	probeTime = 400 * time.Millisecond
	probeWait = 1300 * time.Millisecond // a report comes every second
	probeStep = 2.0                     // times what is known to work
	noticed   = 0.15                    // of a probe must be seen in what was sent: feedback's spans may be longer, and halve it
	nextHold  = 300 * time.Millisecond  // after one that went well
	drain     = 1500 * time.Millisecond // after a fall: what is queued still makes reports look bad
	forget    = 30 * time.Second        // of the least round trip: routes change
)

// Estimator is one viewer's. One goroutine uses it. The zero value trusts the path until it is told otherwise.
type Estimator struct {
	limit float64 // bits a second that are believed in; 0 is no limit

	wellSince time.Time
	hold      time.Duration
	probeRate float64
	probeEnd  time.Time
	judgeAt   time.Time
	base      float64 // what was sent before the probe, as feedback saw it
	peak      float64 // most that was sent since

	fellAt     time.Time
	lastREMB   float64
	sent       [3]float64 // newest first
	leastRTT   time.Duration
	leastRTTAt time.Time
	lastRTT    time.Duration
	late       int // round trips in a row that show a queue
	loss       float64
	lossAt     time.Time
}

// Feed takes feedback and reports whether it shows a full path: then layers should be chosen anew at once.
func (e *Estimator) Feed(f Feedback) (full bool) {
	e.noteRTT(f)
	if rate, full := e.congested(f); full {
		e.down(f.At, rate)
		return true
	}
	if f.REMB > 0 && f.REMB < e.limit && f.At.Sub(e.fellAt) < drain {
		e.limit = max(f.REMB, lowest) // what arrived, where a round trip only gave a guess
	}
	if e.wellSince.IsZero() {
		e.wellSince = f.At
	}
	if e.limit > 0 && e.probeRate == 0 && f.At.Sub(e.wellSince) > lossSpan {
		e.limit = max(e.limit, f.Sent) // it has been carrying that
	}
	e.peak = max(e.peak, f.Sent)
	if e.probeRate > 0 && !f.At.Before(e.judgeAt) {
		if e.peak-e.base > noticed*(e.probeRate-e.base) { // else there was nothing to send
			e.limit = max(e.limit, e.probeRate)
		}
		e.probeRate, e.hold = 0, nextHold
		e.wellSince = f.At
	}
	return false
}

func (e *Estimator) noteRTT(f Feedback) {
	if f.RTT == 0 {
		return
	}
	if e.leastRTT == 0 || f.RTT < e.leastRTT || f.At.Sub(e.leastRTTAt) > forget {
		e.leastRTT, e.leastRTTAt = f.RTT, f.At
	}
	if f.RTT > 2*e.leastRTT && f.RTT > e.leastRTT+queueing {
		e.late++
	} else {
		e.late = 0
	}
}

// queued reports whether the newest round trip shows a queue.
func (e *Estimator) queued(f Feedback) bool {
	return f.RTT > 0 && (e.late > 1 || e.late > 0 && f.RTT > e.leastRTT+clogged)
}

// noteLoss averages what reports say; the first after a silence counts fully.
func (e *Estimator) noteLoss(f Feedback) float64 {
	if f.Loss < 0 {
		return e.loss
	}
	weight := min(1, f.At.Sub(e.lossAt).Seconds()/lossSpan.Seconds())
	e.loss += (f.Loss - e.loss) * weight
	e.lossAt = f.At
	return e.loss
}

// congested reports a full path and what it seems to carry.
func (e *Estimator) congested(f Feedback) (rate float64, full bool) {
	loss := e.noteLoss(f)
	arrived := f.Sent * min(1-max(f.Loss, 0), e.drained(f))
	e.sent = [3]float64{f.Sent, e.sent[0], e.sent[1]}
	falling := f.REMB > 0 && f.REMB < 0.97*e.lastREMB && f.REMB < 0.9*e.steady(f.At)
	if f.REMB > 0 {
		e.lastREMB = f.REMB
	}
	if f.RTT > 0 {
		e.lastRTT = f.RTT
	}
	switch {
	case f.Sent < 2*lowest && !e.queued(f):
	case falling:
		return f.REMB, true
	case f.At.Sub(e.fellAt) < drain:
	case loss > highLoss, e.queued(f):
		rate, full = arrived*shrink, true
	}
	if full && f.REMB > 0 && f.REMB < f.Sent {
		rate = max(rate, f.REMB) // the receiver knows better what arrived
	}
	return rate, full
}

// steady is what has been sent lately, for comparing with REMB, which follows what arrived a little ago: it falls when a probe ends, too.
func (e *Estimator) steady(now time.Time) float64 {
	if e.probeRate > 0 || now.Sub(e.probeEnd) < probeWait {
		return min(e.sent[0], e.sent[1], e.sent[2])
	}
	return (e.sent[0] + e.sent[1] + e.sent[2]) / 3
}

// drained is the fraction of what was sent that left the queue meanwhile: what was sent between two reports took as long to arrive as they were apart, and
// as much longer as the second waited longer than the first.
func (e *Estimator) drained(f Feedback) float64 {
	grown := f.RTT - e.lastRTT
	if f.RTT == 0 || e.lastRTT == 0 || f.Span <= 0 || grown <= 0 {
		return 1
	}
	return float64(f.Span) / float64(f.Span+grown)
}

func (e *Estimator) down(now time.Time, rate float64) {
	e.fellAt, e.loss = now, 0
	if e.probeRate > 0 { // the probe filled it, not the media: what worked before still does
		e.hold = min(max(2*e.hold, firstHold), maxHold)
		e.probeRate = 0
	} else {
		e.limit = max(rate, lowest)
		if e.hold == 0 || e.hold < firstHold {
			e.hold = firstHold
		}
	}
	e.wellSince = now
}

// Budget is what layers may take together; math.Inf(1) when nothing limits.
func (e *Estimator) Budget() float64 {
	if e.limit == 0 {
		return math.Inf(1)
	}
	return e.limit
}

// Probe is the rate to send at just now, repeats included, so that want bits a second may be granted; 0 when none is due. want 0 says that nothing more
// is wanted.
func (e *Estimator) Probe(now time.Time, want float64) float64 {
	switch {
	case e.limit == 0 || want <= e.limit:
		return 0
	case e.probeRate > 0 && now.Before(e.probeEnd):
		return e.probeRate
	case e.probeRate > 0 || e.wellSince.IsZero() || now.Sub(e.wellSince) < e.hold:
		return 0
	}
	e.probeRate = min(want*1.1, e.limit*probeStep)
	e.base, e.peak = e.sent[0], 0
	e.probeEnd, e.judgeAt = now.Add(probeTime), now.Add(probeWait)
	return e.probeRate
}

// Free lifts the limit: everything wanted has been sent for long and the path is well.
func (e *Estimator) Free() { e.limit, e.probeRate = 0, 0 }
