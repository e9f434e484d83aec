// Package rtpclock gives the RTP timestamps of a source's tracks one common zero.
//
// RTP timestamps start anywhere, count 32 bits and are each track's own (RFC 3550 section 5.1). Until sender reports tell how they relate, the
// arrival of a track's first packet places it; the reports then put sound and pictures, and the layers of a picture, where they belong.
package rtpclock

import (
	"sync"
	"time"

	"watershed/sfu/timeline"
)

// Session is what the tracks of one connection share.
type Session struct {
	start time.Time

	mu   sync.Mutex
	set  bool
	zero time.Time // the source's wall clock at PTS 0, from the first track that reported
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

// What reports correct: less is jitter of the source's own clocks and not worth a step; more than the most is a broken clock.
const (
	leastShift = 10 * time.Millisecond
	mostShift  = 5 * time.Second
)

// Report takes a sender report: timestamp ts was sampled at the source's time ntp. It returns how far the track was moved.
func (t *Track) Report(ntp time.Time, ts uint32) (shift time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.started {
		return 0
	}
	pts := t.pts + int64(int32(ts-t.last))
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.set {
		s.set, s.zero = true, ntp.Add(-timeline.Duration(pts, t.rate))
	}
	shift = ntp.Sub(s.zero) - timeline.Duration(pts, t.rate)
	if shift.Abs() < leastShift || shift.Abs() > mostShift {
		shift = 0
	}
	t.pts += timeline.Ticks(shift, t.rate)
	t.ntp, t.at, t.known = ntp, pts+timeline.Ticks(shift, t.rate), true
	return shift
}

// Capture is the source's wall clock at a PTS, zero before the first report.
func (t *Track) Capture(pts int64) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known {
		return time.Time{}
	}
	return t.ntp.Add(timeline.Duration(pts-t.at, t.rate))
}

// NTP converts the 64-bit NTP time of a sender report (RFC 3550 section 4) to a time.
func NTP(v uint64) time.Time {
	const toUnix = 2208988800 // seconds from 1900 to 1970
	secs, frac := int64(v>>32)-toUnix, int64(v&0xffffffff)
	return time.Unix(secs, frac*int64(time.Second)>>32)
}
