package hlsbridge

import (
	"strconv"
	"time"

	"watershed/sfu/media"
	"watershed/sfu/timeline"
)

// epoch is one life of a packager: fixed renditions, one plan, numbers that only grow.
type epoch struct {
	name       string
	plan       *plan
	window     time.Duration
	patience   time.Duration // with a source that sends nothing
	renditions []*rendition  // the first leads
	render     *renderer

	boundaries []boundary // that some follower has not come to yet
	msn        uint64     // of the leading rendition's open segment
	head       uint64     // first segment in the playlists
	cuts       uint64     // discontinuities before the head, and the epoch's base
	began      time.Duration

	seen    time.Time     // when the last leading frame came
	mark    time.Duration // and where it was
	last    *media.Frame
	away    bool // the source shows nothing: gaps are published
	needKey bool // frames were lost: wait for one that decoding can start at
	recut   bool // a follower needs a discontinuity
	index   playlist
	dash    playlist
	periods []period
	zero    int64    // Unix nanoseconds of the timeline's zero, as DASH clients are told
	indexed progress // when the index was written
}

// progress is how far an epoch has come: its open segment, and whether all renditions are there.
type progress struct {
	msn uint64
	all bool
}

// The source is away when no frame came for so long; gaps stay behind the present by half of it, for what is only late.
const awayAfter = 2 * time.Second

// gapsAhead is how many empty segments an epoch begins with: a player that joins in its first seconds finds a playlist of three targets.
const gapsAhead = 3

func (e *epoch) lead() *rendition { return e.renditions[0] }

// advance takes all frames that are there.
func (e *epoch) advance(now time.Time) {
	r := e.lead()
	for {
		f := r.peek(0)
		if f == nil || !e.reached(f) {
			break
		}
		r.take(f)
		if e.take(f) && r.shown(f)-e.mark >= r.frame/2 { // a clock that stands tells nothing new
			e.seen, e.mark = now, r.shown(f)
		}
	}
	if !e.away && now.Sub(e.seen) >= e.patience && r.open != nil {
		e.leave()
	}
	if e.away {
		e.lengthenGap(r.end + e.missed(now))
	}
	for _, r := range e.renditions[1:] {
		e.follow(r)
	}
	e.dropBoundaries()
	e.trim()
}

// missed is how much of a gap is due and not listed yet.
func (e *epoch) missed(now time.Time) time.Duration {
	present := e.lead().shown(e.last) + now.Sub(e.seen)
	return present - e.patience/2 - e.lead().end
}

// take puts a frame of the leading rendition where it belongs. It reports whether it has a place: one that needs a keyframe before it has none.
func (e *epoch) take(f *media.Frame) bool {
	r := e.lead()
	at := r.shown(f)
	switch {
	case !f.Keyframe && (e.needKey || e.away || r.open == nil):
		return false
	case f.Keyframe && (e.away || e.needKey) && at < r.end:
		e.needKey = true // too late: its place is taken by a gap
		return false
	case r.sound() && at+r.frame/2 < r.end: // a clock went back: its place is taken
		return false
	case r.reader.Skipped() > 0: // this goroutine did not run for a GOP; the next keyframe is a new start
		r.reader = r.ring.ReadFrom(f.Number + 1)
		e.needKey = !f.Keyframe
	}
	if !e.away && r.open != nil && e.hole(f) > e.longestHole() {
		if e.leave(); !f.Keyframe {
			return false
		}
	}
	if e.needKey && !f.Keyframe {
		return false
	}
	if f.Keyframe {
		e.atKeyframe(f, at)
	} else if at-r.open.start+r.frame > e.plan.longest() {
		e.begin(e.bounded(f, at))
		if e.plan.independent {
			e.plan = e.plan.dependent()
		}
	}
	e.last = f
	r.add(f)
	return true
}

// longestHole that the picture before it is held over, when a camera leaves pictures out or sets its clock. A longer one is a gap.
func (e *epoch) longestHole() time.Duration { return e.plan.patience(awayAfter) }

// hole is what is missing before a frame.
func (e *epoch) hole(f *media.Frame) time.Duration {
	r := e.lead()
	return timeline.Duration(f.DTS-e.last.DTS, r.cfg.ClockRate) - r.frame
}

// bounded is where a frame may begin the next segment: the open one must not become longer than the target allows, so a hole may be the next one's.
func (e *epoch) bounded(f *media.Frame, at time.Duration) boundary {
	r := e.lead()
	b := boundary{at: at, wall: f.Server}
	if r.open != nil && at-r.open.start > e.plan.longest() {
		b.at = max(r.end, r.open.start+time.Millisecond)
		b.wall -= int64(at - b.at)
	}
	return b
}

// atKeyframe begins a segment if the open one is long enough, or cannot go on.
func (e *epoch) atKeyframe(f *media.Frame, at time.Duration) {
	r := e.lead()
	init, cut := r.differs(f)
	fresh := r.open == nil || e.away
	e.needKey = false
	if !fresh && !cut && !e.recut && at-r.open.start+r.frame/2 < e.plan.segment {
		return
	}
	if e.away {
		e.lengthenGap(at)
	}
	e.away = false
	b := e.bounded(f, at)
	b.cut = cut || e.recut
	if r.open != nil {
		r.complete(b.at)
	}
	if cut {
		r.adopt(f.Config, init)
	}
	e.begin(b)
	e.recut = false
}

// begin opens the next segment, in the leading rendition at once.
func (e *epoch) begin(b boundary) {
	e.msn++
	b.msn = e.msn
	e.slew(&b)
	e.boundaries = append(e.boundaries, b)
	e.lead().turn(b)
	e.notePeriod(b)
}

// longestSlew is how much a segment's date may differ from its predecessor's end. A camera that sets its clock stretches the timeline, not the wall
// clock's: dates come back to that over some segments, because players count on each date for the segments around it.
const longestSlew = 50 * time.Millisecond

// heldDate is how far dates may be from the wall clock before they follow it, by a millisecond a segment. Playlists tell whole milliseconds, and players
// place renditions side by side by what they read: sound's segments may seem to begin a fraction of a millisecond before the sound does, never after it.
// There hls.js would find the segment before, which it has, and stop. So the pictures' dates are whole milliseconds and go with the timeline.
const heldDate = 20 * time.Millisecond

// whole milliseconds of a date.
func whole(wall int64) int64 { return wall - wall%int64(time.Millisecond) }

func (e *epoch) slew(b *boundary) {
	r := e.lead()
	b.wall = whole(b.wall)
	before := r.open
	if n := len(r.segments); before == nil && n > 0 {
		before = r.segments[n-1]
	}
	if before == nil || before.gap || b.cut {
		return
	}
	end := before.wall + int64(b.at-before.start)
	off := min(max(time.Duration(b.wall-end).Truncate(time.Millisecond), -longestSlew), longestSlew)
	switch {
	case off.Abs() <= heldDate:
		off = 0
	case off.Abs() < longestSlew:
		off /= off.Abs() / time.Millisecond
	}
	b.wall = end + int64(off)
}

// leave ends the open segment where the pictures stopped and goes on with gaps.
func (e *epoch) leave() {
	e.away = true
	e.lead().closePart(0)
	e.beginGap()
}

func (e *epoch) beginGap() {
	r := e.lead()
	wall := e.last.Server + int64(r.end-r.shown(e.last))
	e.begin(boundary{at: r.end, wall: wall, gap: true})
}

// lengthenGap lists gaps up to a time, in segments of the target duration.
func (e *epoch) lengthenGap(to time.Duration) {
	r := e.lead()
	for {
		end := r.open.start + e.plan.targetDuration()
		r.fillGap(min(to, end), to >= end)
		if to <= end {
			return
		}
		e.beginGap()
	}
}

// trim takes the oldest segments out of the playlists, and forgets those that a reader of the longest playlist is through with (section 6.2.2).
func (e *epoch) trim() {
	listed, all := time.Duration(0), time.Duration(0)
	keep := e.head
	segments := e.lead().segments
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		if all += s.duration; all > 2*e.window+2*e.plan.targetDuration() {
			keep = s.msn
			break
		}
		if listed < e.window {
			listed += s.duration
			continue
		}
		if s.msn >= e.head {
			e.drop(s.msn + 1)
		}
	}
	if len(segments) > 0 && segments[0].msn < keep && keep < e.head {
		for _, r := range e.renditions {
			r.forget(keep)
		}
	}
}

// drop moves the playlists' head.
func (e *epoch) drop(head uint64) {
	for _, s := range e.lead().segments {
		if s.msn >= e.head && s.msn < head && s.cut {
			e.cuts++
		}
	}
	e.head = head
}

// cutsSoFar is the discontinuity sequence of what comes next.
func (e *epoch) cutsSoFar() uint64 {
	n := e.cuts
	for _, s := range e.lead().segments {
		if s.msn >= e.head && s.cut {
			n++
		}
	}
	if s := e.lead().open; s != nil && s.cut {
		n++
	}
	return n
}

// pad begins every rendition with empty segments, back from the first picture.
func (e *epoch) pad(first *media.Frame) {
	d := e.plan.targetDuration()
	start := e.lead().shown(first)
	for i := range gapsAhead {
		back := time.Duration(gapsAhead-i) * d
		for _, r := range e.renditions {
			s := &segment{msn: e.msn + 1, start: start - back, wall: whole(first.Server) - int64(back), duration: d, complete: true, gap: true}
			s.tail = appendSegment(nil, r.segmentAddress(s.msn), s)
			r.segments = append(r.segments, s)
		}
		e.msn++
	}
	e.began = start
}

// long reports whether there is enough to start a player with.
func (e *epoch) long() bool {
	return e.lead().open != nil && e.lead().end-e.began >= e.plan.holdBack(e.parts())+e.plan.part
}

func (e *epoch) parts() (all []time.Duration) {
	for _, r := range e.renditions {
		all = append(all, ceil(r.part))
	}
	return all
}

// changed reports whether there is something to publish.
func (e *epoch) changed() bool {
	for _, r := range e.renditions {
		if r.changed {
			return true
		}
	}
	return false
}

// publish renders what changed. ended writes the last generation.
func (e *epoch) publish(ended bool) *generation {
	g := &generation{epoch: e.name, head: e.head, cuts: e.cuts, plan: e.plan}
	for _, r := range e.renditions {
		if r.changed || r.view == nil || ended {
			r.view, r.changed = e.look(r, ended), false
		}
		g.views = append(g.views, r.view)
	}
	if now := (progress{e.msn, len(e.boundaries) == 0}); e.indexed != now { // what a segment weighs may have changed the bandwidth, and what a follower is, its configuration
		e.index, e.indexed = e.render.seal(index(e.plan, e.renditions)), now
		if s := e.lead().segments; len(s) > 0 {
			e.dropPeriods(s[0].start)
		}
		e.dash = e.render.seal(e.manifest(time.Now()))
	}
	g.index, g.manifest = e.index, e.dash
	return g
}

// look makes a rendition's view.
func (e *epoch) look(r *rendition, ended bool) *view {
	v := &view{id: r.id, contentType: videoMP4, part: r.part, next: make(chan struct{}), inits: r.inits, configs: r.configs, track: r.track(), ended: ended}
	if r.sound() {
		v.contentType = audioMP4
	}
	v.segments = r.segments[:len(r.segments):len(r.segments)]
	if n := len(r.segments); n > 0 {
		v.lastComplete = r.segments[n-1].msn
	}
	v.lastMSN, v.lastPart = r.last()
	v.hintMSN, v.hintPart = e.expect(r)
	v.hint = r.partAddress(v.hintMSN, v.hintPart)
	if r.open != nil {
		v.segments = append(v.segments, r.open.frozen())
	}
	l := &listing{plan: e.plan, holdBack: e.plan.holdBack(e.parts()), r: r, head: e.head, cuts: e.cuts, hint: v.hint, ended: ended}
	for _, other := range e.renditions {
		if other != r {
			l.reports = append(l.reports, other.report()...)
		}
	}
	full, delta := l.render()
	v.full = e.render.seal(full)
	v.delta = v.full
	if delta != nil {
		v.delta = e.render.seal(delta)
	}
	return v
}

// expect guesses which part comes next: the first of the next segment when the open one is as long as those before.
func (e *epoch) expect(r *rendition) (msn uint64, index int) {
	s := r.open
	if s == nil {
		msn, _ = r.last()
		return msn + 1, 0
	}
	if n := len(r.segments); n > 0 && !s.gap && !r.segments[n-1].gap && len(s.parts) > 0 {
		left := r.segments[n-1].duration - (r.end - s.start)
		if left < r.frame/2 && r.end-s.start+r.frame/2 >= e.plan.segment {
			return s.msn + 1, 0
		}
	}
	return s.msn, len(s.parts)
}

func epochName(now time.Time) string { return strconv.FormatInt(now.UnixMilli(), 36) }
