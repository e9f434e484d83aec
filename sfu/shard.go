package sfu

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"watershed/sfu/media"
	"watershed/sfu/udpbatch"
)

// shard sends to the viewers whose datagrams its socket hears. Everything below belongs to its goroutine, but for mail.
type shard struct {
	index int
	mail  mailbox
	batch *udpbatch.Batch
	conn  *udpbatch.Conn

	viewers  map[*Viewer]struct{}
	catching []*Slot              // still behind the tap
	probing  map[*Viewer]struct{} // whose estimators feel for more
	frames   []*media.Frame
	stats    ShardStats
}

// ShardStats count a shard's work; any goroutine may read them.
type ShardStats struct {
	Packets     atomic.Uint64 // media packets sealed, without retransmissions
	Retransmits atomic.Uint64
	Overruns    atomic.Uint64 // times that a layer's frames were gone before they were sent
	Viewers     atomic.Int64
}

func newShard(i int, conn *udpbatch.Conn) *shard {
	return &shard{index: i, mail: newMailbox(), batch: conn.NewBatch(), conn: conn, viewers: map[*Viewer]struct{}{}, probing: map[*Viewer]struct{}{}}
}

// catchupTick paces what a joining viewer is sent beyond the first portion.
const catchupTick = time.Millisecond

func (s *shard) run(ctx context.Context) {
	reports := time.NewTicker(reportInterval / reportSlices)
	defer reports.Stop()
	catchup := time.NewTimer(time.Hour)
	defer catchup.Stop()
	var spare []task
	armed := false // or a busy mailbox would put it off for ever
	for slice := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-s.mail.wake:
			spare = s.work(s.mail.take(spare))
		case now := <-catchup.C:
			armed = false
			s.catchUp(now)
		case now := <-reports.C:
			s.report(now, slice)
			slice = (slice + 1) % reportSlices
		}
		s.batch.Flush()
		if len(s.catching) > 0 && !armed {
			catchup.Reset(s.tick())
			armed = true
		}
	}
}

// tick is when catching slots get their next portion: none is in a hurry whose path is.
func (s *shard) tick() time.Duration {
	for _, sl := range s.catching {
		if sl.limited(sl.tap.layer) == 0 {
			return catchupTick
		}
	}
	return slowTick
}

// work does the tasks in order and gives back their slice, emptied of what they held.
func (s *shard) work(tasks []task) []task {
	for i, t := range tasks {
		if t.tap != nil {
			s.burst(t.tap)
		} else {
			t.do()
		}
		tasks[i] = task{}
	}
	return tasks
}

// tap is where a layer meets a shard: the slots that get the layer.
type tap struct {
	layer  *Layer
	shard  *shard
	queued atomic.Bool // the shard has been told

	// The shard's own.
	next    uint64  // frame that comes next for slots
	slots   []*Slot // up to date
	waiting []*Slot // for a keyframe
	coming  []*Slot // for a keyframe, too, on taps of other layers until then
}

// tapOf returns the layer's tap on this shard, made if need be.
func (s *shard) tapOf(l *Layer) *tap {
	if t := l.taps[s.index].Load(); t != nil {
		return t
	}
	t := &tap{layer: l, shard: s, next: l.ring.Next()}
	l.taps[s.index].Store(t)
	return t
}

// drop forgets a tap that serves nobody.
func (t *tap) drop() {
	if len(t.slots) == 0 && len(t.waiting) == 0 && len(t.coming) == 0 && !slices.ContainsFunc(t.shard.catching, func(sl *Slot) bool { return sl.tap == t }) {
		t.layer.taps[t.shard.index].CompareAndSwap(t, nil)
	}
}

// burst sends a layer's new frames to everyone who is up to date on it.
func (s *shard) burst(t *tap) {
	t.queued.Store(false)
	frames := s.collect(t)
	if len(frames) == 0 {
		return
	}
	for _, sl := range t.slots {
		sl.send(s.batch, frames)
	}
	if len(t.waiting)+len(t.coming) > 0 {
		t.admit(frames)
	}
}

// collect takes the frames since the last burst. If the ring forgot some already, viewers go on at the next keyframe.
func (s *shard) collect(t *tap) []*media.Frame {
	frames := s.frames[:0]
	for ring, n := t.layer.ring, t.next; n < ring.Next(); n++ {
		f := ring.At(n)
		if f == nil {
			s.stats.Overruns.Add(1)
			frames = frames[:0]
			t.restart()
			continue
		}
		frames = append(frames, f)
		t.next = n + 1
	}
	s.frames = frames
	return frames
}

func (t *tap) restart() {
	t.waiting = append(t.waiting, t.slots...)
	t.slots = t.slots[:0]
}

// admit lets waiting slots in at a keyframe.
func (t *tap) admit(frames []*media.Frame) {
	i := slices.IndexFunc(frames, func(f *media.Frame) bool { return f.Keyframe })
	if i < 0 {
		return
	}
	t.welcome(frames[i])
	for _, sl := range t.waiting {
		sl.start(frames[i], frames[i])
		sl.send(t.shard.batch, frames[i:])
		t.slots = append(t.slots, sl)
	}
	clear(t.waiting)
	t.waiting = t.waiting[:0]
}

func (t *tap) remove(sl *Slot) {
	t.slots = without(t.slots, sl)
	t.waiting = without(t.waiting, sl)
	t.shard.catching = without(t.shard.catching, sl)
	t.drop()
}

// without removes one slot in constant time after finding it; order does not matter.
func without(list []*Slot, sl *Slot) []*Slot {
	i := slices.Index(list, sl)
	if i < 0 {
		return list
	}
	last := len(list) - 1
	list[i] = list[last]
	list[last] = nil
	return list[:last]
}
