package sfu

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"watershed/sfu/id"
	"watershed/sfu/media"
	"watershed/sfu/timeline"
)

// Spec declares a stream.
type Spec struct {
	Public bool          // needs no token
	Inputs []Input       // in order of preference; empty for a stream that is pushed
	Demand bool          // pull only while somebody watches
	Idle   time.Duration // after the last viewer, with Demand
	Ladder []string      // rungs that FFmpeg makes
	Record bool

	// Of a recording; zero is the node's own.
	DVR      time.Duration // how far back its live playlist goes
	Keep     time.Duration // older pieces are removed
	KeepSize int64         // bytes: the oldest pieces are removed when there are more

	// Ephemeral streams are made by their publisher, and removed when for Idle (60 s if zero) nobody published or watched.
	Ephemeral bool
}

// Bounds of what is said about recordings: a take is as short as a minute, and a playlist of a day is 5 MB.
const (
	LeastKept     = time.Minute
	LongestDVR    = 24 * time.Hour
	LeastKeptSize = 16 << 20
)

// Input is one way to get a stream's media: a URL for each layer.
type Input struct {
	High string
	Low  string // the camera's own sub-stream, pulled while somebody watches it
}

// Errors of a stream's life.
var (
	ErrStreamGone   = errors.New("the stream was removed")
	ErrBusy         = errors.New("somebody publishes this stream already; send takeover=1 to replace them if you may")
	ErrTakenOver    = errors.New("another publisher took over")
	ErrPulled       = errors.New("this stream is pulled from its own source and cannot be published to")
	ErrNotSupported = errors.New("no codec of this source is known here")
)

// Stream is what is watched. Its methods may be called from any goroutine.
type Stream struct {
	Name    id.Stream
	Created time.Time

	sfu  *SFU
	line *timeline.Timeline
	flow uint32 // layers that flow, a bit each; the watchdog's own

	declaring sync.Mutex // held over all of apply: its feeds are of one spec

	mu          sync.Mutex // guards what follows; not held over calls elsewhere
	spec        Spec
	feeds       []*Feed
	sessions    map[Part]*Session
	state       State
	reason      Reason
	message     string // of the last failure, for people
	since       time.Time
	tracks      [3]*Track // by media.Kind
	low         demand    // for the low part
	holds       map[string]int
	crowds      map[string]func() int // by what they watch through: how many people a hold stands for
	held        int
	released    time.Time // when held became 0
	slots       map[*Slot]struct{}
	needs       map[*need]struct{}
	conversions []*conversion
	changed     chan struct{} // closed when any of this changes
	ended       bool
}

func newStream(s *SFU, name id.Stream) *Stream {
	now := time.Now()
	return &Stream{
		Name: name, Created: now, sfu: s, line: s.timeline(),
		state: Offline, reason: ReasonWaiting, since: now,
		holds: map[string]int{}, slots: map[*Slot]struct{}{}, sessions: map[Part]*Session{}, needs: map[*need]struct{}{}, changed: make(chan struct{}),
	}
}

// Status is a snapshot of a stream for those who show it.
type Status struct {
	State   State
	Reason  Reason
	Message string
	Since   time.Time
	Spec    Spec
	Viewers map[string]int // by how they watch: "webrtc", "hls", ...
	Tracks  []*Track
	Feeds   []FeedStatus
	Pushed  bool // a publisher is connected
}

// Status of the stream now.
func (st *Stream) Status() Status {
	s, crowds := st.status()
	for what, people := range crowds {
		delete(s.Viewers, what)
		if n := people(); n > 0 {
			s.Viewers[what] = n
		}
	}
	return s
}

func (st *Stream) status() (Status, map[string]func() int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := Status{
		State: st.state, Reason: st.reason, Message: st.message, Since: st.since, Spec: st.spec,
		Viewers: map[string]int{}, Pushed: st.sessions[MainPart] != nil && st.sessions[MainPart].pushed,
	}
	for k, n := range st.holds {
		s.Viewers[k] = n
	}
	for _, t := range st.tracks {
		if t != nil {
			s.Tracks = append(s.Tracks, t)
		}
	}
	for _, f := range st.feeds {
		s.Feeds = append(s.Feeds, f.status())
	}
	return s, maps.Clone(st.crowds)
}

// Spec of the stream now.
func (st *Stream) Spec() Spec {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.spec
}

// Track of a kind, or nil.
func (st *Stream) Track(k media.Kind) *Track {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.tracks[k]
}

// Changed returns a channel that is closed when the stream's state or tracks next change.
func (st *Stream) Changed() <-chan struct{} {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.changed
}

// notifyLocked wakes those who wait on Changed.
func (st *Stream) notifyLocked() {
	close(st.changed)
	st.changed = make(chan struct{})
}

// Hold says that somebody watches, by some protocol. A stream on demand runs while it is held. The
// returned function ends it; calling it twice does nothing.
func (st *Stream) Hold(what string) (release func()) {
	st.mu.Lock()
	st.holds[what]++
	st.held++
	st.notifyLocked()
	st.mu.Unlock()
	st.climb()
	var once sync.Once
	return func() { once.Do(func() { st.release(what) }) }
}

// HoldFor holds the stream for a crowd, which it asks how many people that are; one at a time for what they watch through. The function must not use the
// stream.
func (st *Stream) HoldFor(what string, people func() int) (release func()) {
	st.mu.Lock()
	if st.crowds == nil {
		st.crowds = map[string]func() int{}
	}
	st.crowds[what] = people
	st.mu.Unlock()
	leave := st.Hold(what)
	return func() {
		st.mu.Lock()
		delete(st.crowds, what)
		st.mu.Unlock()
		leave()
	}
}

func (st *Stream) release(what string) {
	st.mu.Lock()
	if st.holds[what]--; st.holds[what] == 0 {
		delete(st.holds, what)
	}
	if st.held--; st.held == 0 {
		st.released = time.Now()
	}
	st.notifyLocked()
	st.mu.Unlock()
	st.climb()
}

// wanted reports whether sources should run, and if not yet or no longer, when to look again (zero: on the next change).
func (st *Stream) wanted(now time.Time) (ok, watched bool, again time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.spec.Demand || st.held > 0 {
		return true, st.held > 0, 0
	}
	if left := st.spec.Idle - now.Sub(st.released); !st.released.IsZero() && left > 0 {
		return true, false, left
	}
	return false, false, 0
}

// ephemeralIdle is how long an ephemeral stream waits for its publisher or a viewer: a browser's reload or an encoder's restart fits well.
const ephemeralIdle = time.Minute

func (st *Stream) deserted(now time.Time) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.spec.Ephemeral || len(st.sessions) > 0 || st.held > 0 {
		return false
	}
	idle := st.spec.Idle
	if idle == 0 {
		idle = ephemeralIdle
	}
	return now.Sub(st.released) > idle && now.Sub(st.since) > idle
}

// WaitLive waits until the stream has shown a keyframe, or ctx ends.
func (st *Stream) WaitLive(ctx context.Context) error {
	for {
		st.mu.Lock()
		ok, changed, ended := st.state == Live || st.state == Degraded, st.changed, st.ended
		st.mu.Unlock()
		if ok {
			return nil
		}
		if ended {
			return ErrStreamGone
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (st *Stream) setState(s State, r Reason, message string) {
	st.mu.Lock()
	same := st.state == s && st.reason == r
	if !same {
		st.since = time.Now()
	}
	st.state, st.reason, st.message = s, r, message
	if !same {
		st.notifyLocked()
	}
	st.mu.Unlock()
	if !same {
		st.sfu.cfg.Log.Info("stream "+string(s), "stream", st.Name, "reason", r, "detail", message)
		st.sfu.cfg.Changed(st)
	}
}

// apply brings the stream to a spec: feeds whose URLs stay the same go on.
func (st *Stream) apply(spec Spec) {
	st.declaring.Lock()
	defer st.declaring.Unlock()
	if spec.Demand && spec.Idle == 0 {
		spec.Idle = 30 * time.Second
	}
	st.mu.Lock()
	old := st.spec
	st.spec = spec
	same := slices.Equal(old.Inputs, spec.Inputs)
	var stop []*Feed
	if !same {
		stop, st.feeds = st.feeds, nil
	}
	pulled := len(spec.Inputs) > 0
	st.notifyLocked()
	st.mu.Unlock()
	for _, f := range stop {
		f.stop()
	}
	if pulled && !same {
		st.startFeed(MainPart, highs(spec))
		if l := lows(spec); len(l) > 0 {
			st.startFeed(LowPart, l)
		}
	}
	if !pulled && len(stop) > 0 {
		st.setState(Offline, ReasonWaiting, "")
	}
	if !slices.Equal(old.Ladder, spec.Ladder) {
		st.convert()
	}
}

// end stops everything of a removed stream.
func (st *Stream) end() {
	st.mu.Lock()
	st.ended = true
	feeds, sessions := st.feeds, slices.Collect(maps.Values(st.sessions))
	slots := st.slotsLocked()
	clear(st.needs)
	st.notifyLocked()
	st.mu.Unlock()
	st.convert()
	for _, f := range feeds {
		f.stop()
	}
	for _, s := range sessions {
		s.Kick(ErrStreamGone)
	}
	for _, sl := range slots {
		sl.gone(st)
	}
}

// stallAfter is how long a stream may show nothing before it counts as stalled: two seconds are 50 pictures, or 10 of the slowest camera.
const stallAfter = 2 * time.Second

func (st *Stream) checkStall(now time.Time) {
	st.mu.Lock()
	session, state := st.sessions[MainPart], st.state
	st.mu.Unlock()
	if session == nil || now.Sub(session.lastShown()) < stallAfter {
		return
	}
	switch {
	case state == Live || state == Degraded:
		st.setState(Stalled, ReasonNoRTP, "connected, but nothing to show has come for 2 s")
	case state == Starting && session.gotMedia():
		st.setState(Starting, ReasonNoKey, "media arrives, but no keyframe")
	}
}
