// Package rtpclock gives the RTP timestamps of a source's tracks one common zero, and tells when their media were captured.
//
// RTP timestamps start anywhere, count 32 bits and are each track's own (RFC 3550 section 5.1). Until sender reports tell how they relate, the
// arrival of a track's first packet places it; the reports then put sound and pictures, and the layers of a picture, where they belong.
//
// Nobody trusts a camera's wall clock here: it may be years off, step while it runs, or differ from track to track. Only the difference between two tracks'
// reports counts, only if it is small, and after the first time only if the next report says the same. The track that reported first is never moved.
package rtpclock

import (
	"sync"
	"time"

	"watershed/sfu/timeline"
)

// Session is what the tracks of one connection share.
type Session struct {
	start time.Time

	mu        sync.Mutex
	reference *Track        // that the others are moved to
	zero      time.Time     // the source's wall clock at PTS 0, as the reference says
	offset    time.Duration // our wall clock minus the source's, 0 if that is right
	known     bool          // offset is set
}

// New begins a session.
func New(now time.Time) *Session { return &Session{start: now} }

// Track is one RTP stream of a session. One goroutine calls PTS and Capture; Report may come from another.
type Track struct {
	session *Session
	rate    int

	mu      sync.Mutex
	started bool
	last    uint32
	pts     int64 // of last, in ticks
	ntp     time.Time
	at      int64 // PTS of the last report
	known   bool  // ntp and at are set

	aligned bool          // moved once, or found in place
	wish    time.Duration // shift that the last report asked for and did not get
}

// Track that counts rate ticks a second.
func (s *Session) Track(rate int) *Track { return &Track{session: s, rate: rate} }

// PTS of a packet in ticks from the session's zero. Packets may be out of order by less than half the range, 6 hours at 90 kHz.
func (t *Track) PTS(ts uint32, arrival time.Time) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.started {
		t.started, t.last = true, ts
		t.pts = timeline.Ticks(arrival.Sub(t.session.start), t.rate)
		return t.pts
	}
	t.pts += int64(int32(ts - t.last))
	t.last = ts
	return t.pts
}

// What reports correct: less is jitter of the source's own clocks and not worth a step. More than the most is a broken clock, and would be
// a jump of the source to package timeline, which gives such a track a place by its arrival.
const (
	leastShift = 10 * time.Millisecond
	mostShift  = 900 * time.Millisecond
)

// Report takes a sender report that arrived now: timestamp ts was sampled at the source's time ntp. It returns how far the track was moved.
func (t *Track) Report(ntp time.Time, ts uint32, now time.Time) (shift time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.started {
		return 0
	}
	pts := t.pts + int64(int32(ts-t.last))
	asked := t.session.report(t, ntp, ntp.Add(-timeline.Duration(pts, t.rate)), now)
	shift = t.judge(asked)
	t.pts += timeline.Ticks(shift, t.rate)
	t.ntp, t.at, t.known = ntp, pts+timeline.Ticks(shift, t.rate), true
	return shift
}

// report notes what a report says of the source's clock, and how far the track is from the reference.
func (s *Session) report(t *Track, ntp, zero, now time.Time) (shift time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compare(now.Sub(ntp))
	if s.reference == nil || s.reference == t {
		s.reference, s.zero = t, zero
		return 0
	}
	return zero.Sub(s.zero)
}

// judge grants a shift that is plausible, at once the first time, later when it is asked for twice.
func (t *Track) judge(asked time.Duration) (shift time.Duration) {
	before := t.wish
	t.wish = 0
	switch {
	case asked.Abs() > mostShift:
		return 0
	case asked.Abs() < leastShift:
		t.aligned = true
		return 0
	case t.aligned && (before == 0 || (asked-before).Abs() > leastShift):
		t.wish = asked
		return 0
	}
	t.aligned = true
	return asked
}

// A report of a source with the right time arrives a little after the time that it names. Beyond these bounds its clock is wrong.
const (
	mostEarly = 100 * time.Millisecond // our own clock may be off, too
	mostLate  = 2 * time.Second
)

// compare follows the offset between the clocks by a report that seems to be so old. Of a wrong clock we know only this much: reports cannot arrive before they are sent, so the
// least age is all offset; the path's delay is in it and cannot be told apart.
func (s *Session) compare(age time.Duration) {
	const step = time.Second // a clock that was set
	switch {
	case age >= -mostEarly && age <= mostLate:
		s.offset = 0
	case !s.known, age < s.offset, age > s.offset+step:
		s.offset = age
	default:
		s.offset += (age - s.offset) / 16 // crystals drift
	}
	s.known = true
}

// Capture is when what has this PTS was captured, by our wall clock as near as the reports allow; zero before the first.
func (t *Track) Capture(pts int64) time.Time {
	t.mu.Lock()
	ntp, at, known := t.ntp, t.at, t.known
	t.mu.Unlock()
	if !known {
		return time.Time{}
	}
	t.session.mu.Lock()
	defer t.session.mu.Unlock()
	return ntp.Add(timeline.Duration(pts-at, t.rate) + t.session.offset)
}

// NTP converts the 64-bit NTP time of a sender report (RFC 3550 section 4) to a time.
func NTP(v uint64) time.Time {
	const toUnix = 2208988800 // seconds from 1900 to 1970
	secs, frac := int64(v>>32)-toUnix, int64(v&0xffffffff)
	return time.Unix(secs, frac*int64(time.Second)>>32)
}
