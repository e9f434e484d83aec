package sfu

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"watershed/sfu/answer"
	"watershed/sfu/media"
	"watershed/sfu/seqmap"
	"watershed/sfu/timeline"
	"watershed/sfu/udpbatch"
)

// Slot is one m-line of a viewer: a place that one track at a time is bound to.
type Slot struct {
	Mid  string
	Kind media.Kind

	viewer *Viewer
	offer  answer.Media
	ssrc   uint32
	rtx    uint32

	// The shard's own, from here on.
	stream    *Stream
	release   func() // of the conversion that the slot needs, or nil
	dropLow   func() // of the small stream that the slot wants pulled, or nil
	auto      string // label that the budget allows, if none is asked for
	hint      Hint
	want      string // label of the layer asked for; "" is the best
	tap       *tap
	pt, rtxPT uint8
	clockRate int
	numbers   seqmap.Map[*Layer]
	rtxSeq    uint64 // extended
	tsOffset  uint32
	lastTS    uint32
	lastSent  time.Time
	sentAny   bool
	cursor    uint64    // frame to send next while catching up
	allowance int       // bytes that may be sent now while catching up; below zero, so many must be saved up first
	filled    time.Time // when the allowance of a limited slot last grew
	part      int       // packets of the frame at the cursor that were sent: a limited path gets large ones in parts
	partly    *media.Frame
	line      *Stream // whose timeline the last timestamp was on
	slow      bool    // its layer is more than its path carries, and no other is there
	coming    *tap    // whose next keyframe it waits for, still served by its own
	squeeze   squeeze
	repeated  time.Time // last time a PLI was answered from the ring
	nacks     repeats

	layer   atomic.Pointer[Layer]
	packets atomic.Uint64
	octets  atomic.Uint64
}

// Layer that the slot gets now, or nil.
func (sl *Slot) Layer() *Layer { return sl.layer.Load() }

// Sent counts media packets and their payload bytes.
func (sl *Slot) Sent() (packets, octets uint64) { return sl.packets.Load(), sl.octets.Load() }

// send is the inner loop of everything: frames that follow each other, to one viewer.
func (sl *Slot) send(b *udpbatch.Batch, frames []*media.Frame) {
	l := sl.viewer.leg
	if !l.Aim(b) {
		return
	}
	packets, octets := 0, 0
	for _, f := range frames {
		seq := sl.numbers.Advance(f.FirstSeq, uint64(len(f.Packets)))
		ts := sl.timestamp(f)
		for _, p := range f.Packets {
			octets += l.Seal(b, p, sl.pt, seq, ts, sl.ssrc)
			seq++
		}
		packets += len(f.Packets)
		sl.lastTS = ts
	}
	sl.sentAny = true
	sl.packets.Add(uint64(packets))
	sl.octets.Add(uint64(octets))
	sl.viewer.shard.stats.Packets.Add(uint64(packets))
}

// sendPart sends what the allowance permits of a frame; true when that was all of it.
func (sl *Slot) sendPart(b *udpbatch.Batch, f *media.Frame) (whole bool) {
	l := sl.viewer.leg
	if !l.Aim(b) {
		return true
	}
	ts, sent, octets := sl.timestamp(f), 0, 0
	for ; sl.part < len(f.Packets) && sl.allowance > 0; sl.part++ {
		seq := sl.numbers.Advance(f.FirstSeq+uint64(sl.part), 1)
		n := l.Seal(b, f.Packets[sl.part], sl.pt, seq, ts, sl.ssrc)
		octets += n
		sl.allowance -= n
		sent++
	}
	sl.lastTS, sl.sentAny, sl.partly = ts, true, f
	sl.packets.Add(uint64(sent))
	sl.octets.Add(uint64(octets))
	sl.viewer.shard.stats.Packets.Add(uint64(sent))
	if sl.part < len(f.Packets) {
		return false
	}
	sl.part, sl.partly = 0, nil
	return true
}

// finish sends the rest of a frame that was begun, before anything else follows: no receiver is left with half a picture.
func (sl *Slot) finish() {
	if sl.partly != nil {
		sl.allowance = math.MaxInt
		sl.sendPart(sl.viewer.shard.batch, sl.partly)
		sl.part, sl.partly = 0, nil
	}
}

// timestamp of a frame as this slot sends it.
func (sl *Slot) timestamp(f *media.Frame) uint32 {
	if f.Number < sl.squeeze.until {
		return sl.squeeze.end - uint32(sl.squeeze.until-1-f.Number)*sl.squeeze.step
	}
	return uint32(f.PTS) + sl.tsOffset
}

// start begins a stay on the tap's layer with its frame first; newest is the one that the viewer is brought up to.
func (sl *Slot) start(first, newest *media.Frame) {
	l := sl.tap.layer
	p := sl.offer.Codecs[l.Codec]
	sl.pt, sl.rtxPT = p.PT, p.RTX
	sl.clockRate = p.ClockRate
	if sl.sentAny && sl.layer.Load() != l {
		sl.align(newest)
	}
	sl.line = sl.stream
	sl.numbers.Switch(l, first.FirstSeq)
	sl.squeeze = squeeze{}
	sl.layer.Store(l)
}

// Bind makes the slot carry the stream's track of its kind from now on; label asks for a layer, "" for the best that fits. A nil stream
// empties the slot.
func (sl *Slot) Bind(st *Stream, label string) {
	sl.viewer.post(func() { sl.bind(st, label) })
}

func (sl *Slot) bind(st *Stream, label string) {
	if sl.stream != nil && sl.stream != st {
		sl.stream.forget(sl)
	}
	if sl.stream != st {
		sl.leave()
		sl.releaseAll()
		sl.auto = ""
	}
	if sl.viewer.leg.Dead.Load() {
		st = nil // what Closed has let go stays so
	}
	sl.stream, sl.want = st, label
	if st != nil && !st.remember(sl) {
		sl.gone(st)
		return
	}
	sl.choose()
	sl.viewer.allot(time.Now())
}

// reselect is called by streams whose layers changed.
func (sl *Slot) reselect() {
	sl.viewer.post(func() {
		sl.choose()
		sl.viewer.allot(time.Now())
	})
}

// gone tells the slot that its stream ended.
func (sl *Slot) gone(st *Stream) {
	if sl.viewer.opts.Outlives {
		sl.viewer.post(func() {
			if sl.stream == st {
				sl.bind(nil, "")
			}
		})
		return
	}
	sl.viewer.post(sl.viewer.streamGone)
}

// choose finds the layer that the slot should get and moves there.
func (sl *Slot) choose() {
	if sl.stream == nil || sl.viewer.leg.Dead.Load() {
		return
	}
	label := cmp.Or(sl.want, sl.auto)
	sl.wantLow(label == LowLabel || sl.Kind == media.Video && sl.want == "" && sl.viewer.uneasy(time.Now()))
	l := sl.stream.pick(sl.Kind, label, sl.accepts)
	if l == nil && sl.release == nil && sl.stream.Track(sl.Kind) != nil {
		sl.release = sl.stream.Require(sl.Kind, sl.fallback(), sl.accepts)
	}
	if sl.coming != nil && sl.coming.layer != l {
		sl.stay()
	}
	if sl.tap != nil && (sl.tap.layer == l || l != nil && !l.startable() && sl.stream.carries(sl.tap.layer)) {
		return // there, or better off here until the other can be shown
	}
	if l != nil && sl.tap != nil && sl.rises(l) {
		sl.await(l)
		return
	}
	fell := l != nil && sl.falls(l)
	sl.leave()
	if l != nil {
		sl.viewer.shard.join(sl, l, fell)
	}
}

// accepts reports whether the viewer can take such a layer here: its offer has the codec at the same clock, and no browser plays pictures out of
// order, or begins without an IDR.
func (sl *Slot) accepts(c *media.Config) bool {
	p, ok := sl.offer.Codecs[c.Codec]
	return ok && p.ClockRate == c.ClockRate && !c.BFrames && !c.Gradual
}

// fallback is what to convert to for this slot: what every browser takes.
func (sl *Slot) fallback() media.Codec {
	if sl.Kind == media.Audio {
		return media.Opus
	}
	return media.H264
}

// longestPause that timestamps show: a quarter of their range at 90 kHz, so that after any pause they are still seen to grow.
const longestPause = 3 * time.Hour

// align keeps timestamps growing when the slot moves to a layer of another timeline. On one timeline they may only be too early, by what the other layer's
// pictures are ahead of this one's; a slot that was behind goes on at the present.
func (sl *Slot) align(f *media.Frame) {
	passed := int32(timeline.Ticks(min(time.Since(sl.lastSent), longestPause), sl.clockRate))
	if ahead := int32(uint32(f.PTS) + sl.tsOffset - sl.lastTS); ahead <= 0 || ahead > passed+int32(sl.clockRate) && sl.line != sl.stream {
		sl.tsOffset = sl.lastTS + uint32(max(passed, 1)) - uint32(f.PTS)
	}
}

// wantLow has the camera's small stream pulled while the slot is to get it.
func (sl *Slot) wantLow(want bool) {
	switch {
	case want && sl.dropLow == nil && sl.stream.HasLow():
		sl.dropLow = sl.stream.HoldLow()
	case !want && sl.dropLow != nil:
		sl.dropLow()
		sl.dropLow = nil
	}
}

// releaseAll gives back what the slot made the stream do.
func (sl *Slot) releaseAll() {
	if sl.release != nil {
		sl.release()
		sl.release = nil
	}
	if sl.dropLow != nil {
		sl.dropLow()
		sl.dropLow = nil
	}
}

// startable reports whether decoding can start from the layer's ring.
func (l *Layer) startable() bool {
	_, ok := l.ring.Keyframe()
	return ok || l.Track.Kind == media.Audio
}

// carries reports whether the layer is among the stream's.
func (st *Stream) carries(l *Layer) bool {
	t := st.Track(l.Track.Kind)
	return t != nil && slices.Contains(t.Layers(), l)
}

func (sl *Slot) leave() {
	sl.stay()
	sl.finish()
	sl.slow = false
	if sl.tap != nil {
		sl.lastSent = time.Now()
		t := sl.tap
		sl.tap = nil
		t.remove(sl)
	}
	sl.layer.Store(nil)
}

// pick chooses a layer: the one asked for, else the best that flows, else the best, of those that the viewer can take.
func (st *Stream) pick(k media.Kind, label string, accepts func(*media.Config) bool) (best *Layer) {
	t := st.Track(k)
	if t == nil {
		return nil
	}
	now, flowing := time.Now(), false
	for _, l := range t.Layers() {
		switch {
		case !accepts(l.Config()):
		case l.Label == label:
			return l
		case best == nil:
			best, flowing = l, l.flows(now)
		case !flowing && !l.Converted && l.flows(now):
			best, flowing = l, true
		}
	}
	return best
}

// remember lets the stream tell the slot about its layers; false when the stream has ended.
func (st *Stream) remember(sl *Slot) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return false
	}
	st.slots[sl] = struct{}{}
	return true
}

func (st *Stream) forget(sl *Slot) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.slots, sl)
}
