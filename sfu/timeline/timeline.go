// Package timeline puts the clocks of successive sources on one monotonic clock that is never reset.
//
// A stream outlives its inputs. Each of them counts time from wherever it likes, restarts, jumps; viewers must
// see one timeline. A Timeline is the stream's; each connection of a source takes a Session of it, and each layer a Clock.
package timeline

import (
	"math/bits"
	"sync"
	"time"
)

// Timeline is a stream's time: it follows the wall clock loosely and never goes back.
type Timeline struct {
	origin time.Time
	start  time.Duration

	mu   sync.Mutex
	last time.Duration // the latest position that any clock gave
}

// New returns a timeline whose position at origin is start. Tests start just below a wrap.
func New(origin time.Time, start time.Duration) *Timeline {
	return &Timeline{origin: origin, start: start, last: start}
}

// Session is one connection of one source: its tracks share a clock.
type Session struct {
	line *Timeline

	mu     sync.Mutex
	set    bool
	offset time.Duration // timeline = source + offset
}

// Session begins a source's stay on the timeline.
func (t *Timeline) Session() *Session { return &Session{line: t} }

// At is the position that the wall clock suggests.
func (t *Timeline) At(now time.Time) time.Duration { return t.start + now.Sub(t.origin) }

// gap between what an old source sent last and a new one first: a frame of 25 fps.
const gap = 40 * time.Millisecond

// place returns the offset that puts source time src, arriving now, at the wall clock or just after everything before.
func (t *Timeline) place(src time.Duration, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.start + now.Sub(t.origin)
	if at < t.last+gap && t.last != t.start {
		at = t.last + gap
	}
	return at - src
}

func (t *Timeline) reached(at time.Duration) {
	t.mu.Lock()
	t.last = max(t.last, at)
	t.mu.Unlock()
}

// Clock maps the times of one layer. One goroutine uses it.
type Clock struct {
	session *Session
	rate    int64

	started bool
	own     bool // this track jumped and has an offset of its own
	offset  int64
	lastIn  int64
	lastAt  time.Time
	lastDTS int64

	smooth  time.Duration // of server time over the timeline
	smoothd bool
}

// Clock for a track that counts rate ticks a second.
func (s *Session) Clock(rate int) *Clock { return &Clock{session: s, rate: int64(rate)} }

// A source that goes back by more than a second, or ahead of the wall clock by more than three, has changed its clock; what is
// less is reordering, buffering and drift.
const (
	maxBack  = time.Second
	maxAhead = 3 * time.Second
)

// Time is where a frame is on the timeline.
type Time struct {
	PTS, DTS int64     // ticks
	Server   time.Time // smoothed arrival
	Jump     bool      // the source's clock jumped before this frame
}

// Map places a frame with the source's PTS and DTS (ticks) that arrived at the given time. DTS only grows.
func (c *Clock) Map(pts, dts int64, arrival time.Time) Time {
	jump := c.started && c.jumped(dts, arrival)
	if !c.started || jump {
		c.rebase(dts, arrival, jump)
	}
	c.started, c.lastIn, c.lastAt = true, dts, arrival
	out := Time{PTS: pts + c.offset, DTS: dts + c.offset, Jump: jump}
	if out.DTS <= c.lastDTS {
		out.DTS = c.lastDTS + 1
	}
	out.PTS = max(out.PTS, out.DTS)
	c.lastDTS = out.DTS
	at := duration(out.DTS, c.rate)
	c.session.line.reached(at)
	out.Server = c.server(at, arrival)
	return out
}

func (c *Clock) jumped(dts int64, arrival time.Time) bool {
	d := duration(dts-c.lastIn, c.rate)
	return d < -maxBack || d > maxAhead+arrival.Sub(c.lastAt)
}

// rebase finds the track's offset: the session's, so that tracks stay in sync, unless this track alone jumped.
func (c *Clock) rebase(dts int64, arrival time.Time, jump bool) {
	s := c.session
	src := duration(dts, c.rate)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.set:
		s.offset, s.set = s.line.place(src, arrival), true
	case jump || c.own:
		c.own = true
		c.offset = ticks(s.line.place(src, arrival), c.rate)
		c.smoothd = false
		return
	}
	c.offset = ticks(s.offset, c.rate)
}

// server smooths arrival: network delay only adds, so early frames count at once and late ones slowly.
func (c *Clock) server(at time.Duration, arrival time.Time) time.Time {
	line := c.session.line
	off := arrival.Sub(line.origin) - at
	switch {
	case !c.smoothd || off < c.smooth:
		c.smooth, c.smoothd = off, true
	default:
		c.smooth += min((off-c.smooth)/256, time.Millisecond) // follows a drift of 200 ppm within a few milliseconds
	}
	return line.origin.Add(at + c.smooth)
}

// duration of ticks, exact to a nanosecond over centuries: products are taken in 128 bits.
func duration(t, rate int64) time.Duration { return time.Duration(scale(t, int64(time.Second), rate)) }

func ticks(d time.Duration, rate int64) int64 { return scale(int64(d), rate, int64(time.Second)) }

// Duration converts ticks of a clock to time.
func Duration(t int64, rate int) time.Duration { return duration(t, int64(rate)) }

// Ticks converts time to ticks of a clock.
func Ticks(d time.Duration, rate int) int64 { return ticks(d, int64(rate)) }

func scale(v, num, den int64) int64 {
	neg := v < 0
	if neg {
		v = -v
	}
	hi, lo := bits.Mul64(uint64(v), uint64(num))
	q, r := bits.Div64(hi%uint64(den), lo, uint64(den))
	if r*2 >= uint64(den) {
		q++
	}
	if neg {
		return -int64(q)
	}
	return int64(q)
}
