package hlsbridge

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu/media"
	"watershed/sfu/ring"
	"watershed/sfu/timeline"
)

// boundary is where a segment begins, in every rendition.
type boundary struct {
	msn  uint64
	at   time.Duration // on the stream's timeline
	wall int64         // the same in Unix nanoseconds
	cut  bool          // a discontinuity
	gap  bool          // the segment has nothing to show
}

// sample is a frame of the open part with its times as they are written.
type sample struct {
	frame    *media.Frame
	dts, pts int64
	own      int64 // dts as the source has it
}

// rendition cuts one layer into parts and segments. Only its packager's goroutine uses it.
type rendition struct {
	id      string
	prefix  string // of its addresses: epoch and id
	ring    *ring.Ring
	reader  *ring.Reader
	cfg     *media.Config   // of the initialisation segment in force
	init    int             // version of that
	inits   [][]byte        // by version; nil when no segment has it any more
	configs []*media.Config // of inits
	refused *media.Config   // cannot be packaged: the one in force stays

	frame   time.Duration // nominal, of one
	ticks   int64         // the same on the rendition's clock
	perPart int           // frames
	part    time.Duration // PART-TARGET

	segments []*segment // complete, and not yet forgotten
	open     *segment
	queue    []sample
	ahead    *media.Frame  // read, and not decided yet: a follower's
	edge     int64         // where the last part's pictures end in decoding, in ticks; 0 at a beginning
	clock    int64         // where the next sound should be, likewise
	quiet    bool          // silence takes the place of sound that does not come
	tuned    bool          // the clock is a source's, not a boundary's
	absent   bool          // a rung whose pictures are missing: gaps, until a segment begins with a keyframe of its own
	end      time.Duration // of what was added
	sequence uint32        // of the last chunk
	changed  bool          // since the last view
	view     *view
}

func newRendition(epoch, id string, r *ring.Ring, cfg *media.Config) (*rendition, error) {
	init, err := cmaf.Init(cfg)
	if err != nil {
		return nil, err
	}
	return &rendition{id: id, prefix: epoch + "/" + id + "/", ring: r, cfg: cfg, inits: [][]byte{init}, configs: []*media.Config{cfg}}, nil
}

func (r *rendition) sound() bool { return r.cfg.Codec.Kind() == media.Audio }

// pace sets how the rendition is cut.
func (r *rendition) pace(frame time.Duration, p *plan) {
	r.frame, r.ticks = frame, timeline.Ticks(frame, r.cfg.ClockRate)
	r.perPart, r.part = p.framesPerPart(frame)
}

// shown is a frame's place on the stream's timeline.
func (r *rendition) shown(f *media.Frame) time.Duration {
	return timeline.Duration(f.PTS, r.cfg.ClockRate)
}

// differs reports a frame whose decoder needs another initialisation segment, and returns that.
func (r *rendition) differs(f *media.Frame) (init []byte, yes bool) {
	if f.Config == r.cfg || f.Config == r.refused {
		return nil, false
	}
	init, err := cmaf.Init(f.Config)
	if err != nil {
		r.refused = f.Config
		return nil, false
	}
	if bytes.Equal(init, r.inits[r.init]) {
		r.cfg = f.Config
		return nil, false
	}
	return init, true
}

// adopt a configuration: under the version that it had, if it was there a while ago.
func (r *rendition) adopt(cfg *media.Config, init []byte) {
	r.cfg = cfg
	if r.init = slices.IndexFunc(r.inits, func(b []byte) bool { return bytes.Equal(b, init) }); r.init >= 0 {
		return
	}
	r.init = len(r.inits)
	r.inits = append(slices.Clip(r.inits), init) // generations keep the old array
	r.configs = append(slices.Clip(r.configs), cfg)
}

// add puts a frame into the open part, and closes the part when it is full: its length is known before the next frame comes.
func (r *rendition) add(f *media.Frame) {
	s := sample{frame: f, dts: f.DTS, pts: f.PTS, own: f.DTS}
	if !r.sound() {
		s.dts = r.joined(s.dts)
	} else { // decoders want sound without seams: sources whose clocks tick in milliseconds are evened out
		if off := s.dts - r.clock; r.tuned && off > -r.ticks*3/2 && off < r.ticks*3/2 {
			s.dts = r.clock
		}
		if !r.tuned {
			r.tune(s.dts)
		}
		s.pts, s.own = s.dts, s.dts
		r.clock = s.dts + r.ticks
	}
	target := timeline.Ticks(r.part, r.cfg.ClockRate)
	enough := max(target*85/100, int64(r.perPart)*r.ticks-r.ticks/2)
	if len(r.queue) > 0 && s.dts-r.queue[0].dts >= target*85/100 && s.dts+r.ticks-r.queue[0].dts > target+r.ticks/2 {
		r.closePart(s.dts)
	}
	r.queue = append(r.queue, s)
	r.end = max(r.end, timeline.Duration(s.pts+r.ticks, r.cfg.ClockRate))
	if s.own+r.ticks-r.queue[0].dts >= enough {
		r.closePart(0)
	}
}

// joined is a picture's decoding time such that nothing is missing before it: Media Source Extensions throw away all up to the next keyframe where
// decoding times leave a hole of two pictures, or go back. A camera that left pictures out has the next one decoded early, and shown on time.
func (r *rendition) joined(dts int64) int64 {
	switch n := len(r.queue); {
	case n > 0:
		return max(dts, r.queue[n-1].dts+1)
	case r.edge > 0:
		return r.edge
	}
	return dts
}

// tune begins the open segment with its first sound, which is a fraction of a frame before or after the boundary.
func (r *rendition) tune(dts int64) {
	at := timeline.Duration(dts, r.cfg.ClockRate)
	r.open.wall += int64(at - r.open.start)
	r.open.start, r.tuned = at, true
}

// closePart writes the open part. next is the decoding time of the frame behind it, 0 if that is not known.
func (r *rendition) closePart(next int64) {
	n := len(r.queue)
	if n == 0 {
		return
	}
	first := r.queue[0]
	r.sequence++
	c := cmaf.Chunk{
		Codec: r.cfg.Codec, Sequence: r.sequence, DecodeTime: r.decodeTime(first.dts),
		Produced: first.frame.Server, Samples: make([]cmaf.Sample, n),
	}
	if first.frame.Capture != 0 {
		c.Produced, c.Captured = first.frame.Capture, true
	}
	p := part{}
	for i, s := range r.queue {
		after := max(s.own+r.ticks, s.dts+1)
		switch {
		case i+1 < n:
			after = r.queue[i+1].dts
		case next > s.dts: // held until then
			after = next
		}
		r.edge = after
		c.Samples[i] = cmaf.Sample{Units: s.frame.Units, Duration: uint32(after - s.dts), Offset: int32(s.pts - s.dts), Sync: s.frame.Keyframe}
		p.independent = p.independent || s.frame.Keyframe
		p.duration += timeline.Duration(after-s.dts, r.cfg.ClockRate)
	}
	p.duration = min(p.duration, r.part) // a jitter, or a picture that is held where the camera left some out: the segment's length tells
	p.body = c.Append(nil)
	r.queue = r.queue[:0]
	r.addPart(p)
}

// headStart is what decoding times are ahead of the stream's timeline. A player counts from zero where it begins, and moves what it gets by the difference. As long as
// that moves times back, Chromium's truncation to microseconds cancels out; forward, each segment ends a microsecond before the next begins, and hls.js (1.7)
// then asks for the wrong one for seconds. Nor can a decoding time before the first picture become negative.
const headStart = time.Hour

// decodeTime is a decoding time as media has it.
func (r *rendition) decodeTime(dts int64) uint64 {
	return uint64(dts + timeline.Ticks(headStart, r.cfg.ClockRate))
}

func (r *rendition) addPart(p part) {
	s := r.open
	s.partLines = appendPart(s.partLines, r.partAddress(s.msn, len(s.parts)), p)
	s.parts = append(s.parts, p)
	s.size += len(p.body)
	r.changed = true
}

func (r *rendition) partAddress(msn uint64, index int) string {
	return r.prefix + strconv.FormatUint(msn, 10) + "." + strconv.Itoa(index) + ".m4s"
}

func (r *rendition) segmentAddress(msn uint64) string {
	return r.prefix + strconv.FormatUint(msn, 10) + ".m4s"
}

// turn ends the open segment where the boundary is and begins the boundary's.
func (r *rendition) turn(b boundary) {
	r.complete(b.at)
	start := b.at
	if at := timeline.Duration(r.clock, r.cfg.ClockRate); r.sound() && !b.gap && at > b.at-r.frame && at < b.at+r.frame {
		start = at // sound begins with its own frame, a fraction before or after
	} else {
		r.clock, r.tuned = timeline.Ticks(b.at, r.cfg.ClockRate), false
	}
	if b.cut || b.gap {
		r.edge = 0
	}
	r.open = &segment{
		msn: b.msn, start: start, wall: b.wall + int64(start-b.at), cut: b.cut, gap: b.gap, init: r.init,
	}
	if r.end < start {
		r.end = start
	}
}

// complete ends the open segment, whose successor starts at the given time.
func (r *rendition) complete(at time.Duration) {
	s := r.open
	if s == nil {
		return
	}
	r.fillGap(at, true)
	r.closePart(r.next(at))
	s.duration, s.complete = max(at-s.start, time.Millisecond), true
	if r.sound() && !s.gap {
		if end := timeline.Duration(r.clock, r.cfg.ClockRate); end > at-r.frame && end < at+r.frame {
			s.duration = end - s.start
		}
	}
	s.gap = s.gap || len(s.parts) == 0 || slices.ContainsFunc(s.parts, func(p part) bool { return p.gap })
	s.tail = appendSegment(nil, r.segmentAddress(s.msn), s)
	r.segments = append(r.segments, s)
	r.open, r.changed = nil, true
}

// next decoding time after the open part, whose successor starts at the given time: sound has no seams.
func (r *rendition) next(at time.Duration) int64 {
	if r.sound() || r.cfg.BFrames {
		return 0
	}
	return timeline.Ticks(at, r.cfg.ClockRate)
}

// fillGap lists parts that nothing is in, in a segment of the kind, up to a time; the last one may be short.
func (r *rendition) fillGap(to time.Duration, short bool) {
	for s := r.open; s != nil && (s.gap || r.absent) && r.end < to; {
		d := r.part
		if r.end+d > to {
			if !short {
				return
			}
			d = to - r.end
		}
		r.end += d
		r.clock, r.tuned, r.edge = timeline.Ticks(r.end, r.cfg.ClockRate), false, 0
		r.addPart(part{duration: d, gap: true})
	}
}

// last part that there is: its segment and index.
func (r *rendition) last() (msn uint64, index int) {
	if r.open != nil && len(r.open.parts) > 0 {
		return r.open.msn, len(r.open.parts) - 1
	}
	if n := len(r.segments); n > 0 {
		return r.segments[n-1].msn, len(r.segments[n-1].parts) - 1
	}
	return 0, 0
}

// forget drops segments that nobody may ask for any longer.
func (r *rendition) forget(before uint64) {
	n := 0
	for n < len(r.segments) && r.segments[n].msn < before {
		n++
	}
	if n > 0 {
		r.segments = append([]*segment(nil), r.segments[n:]...) // generations keep the old array
		r.forgetInits()
	}
}

// forgetInits drops the initialisation segments that no segment has any more.
func (r *rendition) forgetInits() {
	if len(r.inits) == 1 {
		return
	}
	used := make([]bool, len(r.inits))
	used[r.init] = true
	for _, s := range append(slices.Clip(r.segments), r.open) {
		if s != nil {
			used[s.init] = true
		}
	}
	inits, configs := make([][]byte, len(used)), make([]*media.Config, len(used))
	for i := range used {
		if used[i] {
			inits[i], configs[i] = r.inits[i], r.configs[i]
		}
	}
	r.inits, r.configs = inits, configs
}

// missing is how far a follower may stay behind before silence, or gaps, take its place.
const missing = time.Second

// lost reports a rung, or sound for which no silence is known, that has stayed behind for too long.
func (r *rendition) lost(horizon time.Duration) bool {
	return !r.fills() && !r.absent && r.open != nil && !r.open.gap && r.end+missing < horizon
}

// leave ends a rung's open part; gaps follow.
func (r *rendition) leave() {
	r.closePart(0)
	r.absent = true
}

// peek is the follower's next frame without taking it: nil if it is not here yet. Holes in sound are filled with silence, because players
// stop at them.
func (r *rendition) peek(horizon time.Duration) *media.Frame {
	if r.ahead == nil {
		r.ahead = r.reader.TryNext()
		r.quiet = r.quiet && r.ahead == nil
	}
	if !r.fills() || r.open == nil || r.open.gap {
		return r.ahead
	}
	patience := missing
	if r.quiet { // players must not wait for sound that did not come for so long
		patience = 0
	}
	hole := r.ahead == nil && r.end+patience < horizon || r.ahead != nil && r.shown(r.ahead) > r.end+r.frame*3/2 && r.end < horizon
	if hole {
		r.quiet = r.ahead == nil
		quiet := silence(r.cfg)
		return &media.Frame{PTS: r.clock, DTS: r.clock, Keyframe: true, Config: r.cfg, Units: [][]byte{quiet}, Size: len(quiet)}
	}
	return r.ahead
}

// fills reports sound whose holes silence can fill.
func (r *rendition) fills() bool { return r.sound() && silence(r.cfg) != nil }

// take consumes what peek returned.
func (r *rendition) take(f *media.Frame) {
	if f == r.ahead {
		r.ahead = nil
	}
}

// silence is an AAC-LC frame without sound (as any encoder makes of zeros), nil for other formats.
func silence(cfg *media.Config) []byte {
	switch {
	case cfg.Codec != media.AAC:
		return nil
	case cfg.Channels == 1:
		return []byte{0x01, 0x18, 0x20, 0x07}
	case cfg.Channels == 2:
		return []byte{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}
	}
	return nil
}
