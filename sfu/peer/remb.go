package peer

import (
	"math"
	"time"
)

// receiver is a receiver-side bandwidth estimator in the manner of browsers' (draft-alvestrand-rmcat-remb): the estimate grows to 1.5 times
// what arrives, and falls below it when packets come later and later after they were due.
type receiver struct {
	windowStart time.Time
	bytes       int
	late        []float64 // seconds after due, this window
	base        float64   // least lateness seen, creeping up
	last        float64   // estimate
}

const rembWindow = 500 * time.Millisecond

// queueLimit of lateness in seconds: more is a queue that grows.
const queueLimit = 0.1

func (r *receiver) add(p *Packet, zero uint32) {
	r.bytes += p.Size
	if p.RTX {
		return
	}
	due := float64(int32(p.Header.TS-zero)) / 90000
	r.late = append(r.late, float64(p.Arrival.UnixNano())/1e9-due)
}

// estimate closes the window if it is over.
func (r *receiver) estimate(now time.Time) (bps float64, ok bool) {
	if r.windowStart.IsZero() {
		r.windowStart, r.base = now, math.Inf(1)
	}
	span := now.Sub(r.windowStart)
	if span < rembWindow {
		return 0, false
	}
	rate := float64(r.bytes) * 8 / span.Seconds()
	sum := 0.0
	for _, l := range r.late {
		r.base = min(r.base, l)
		sum += l
	}
	switch late := sum/float64(max(1, len(r.late))) - r.base; {
	case len(r.late) > 0 && late > queueLimit:
		r.last = 0.85 * rate
	default:
		r.last = min(1.5*rate+10e3, max(r.last*1.08, rate))
	}
	r.base += 0.005 // clocks drift, routes change
	r.windowStart, r.bytes, r.late = now, 0, r.late[:0]
	return r.last, true
}
