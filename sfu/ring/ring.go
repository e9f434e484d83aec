// Package ring keeps the recent frames of one layer: written once by its source, read by everyone.
//
// A ring holds immutable frames by pointer, so a reader that has one may keep it
// as long as it likes; the ring forgets, the garbage collector frees. There is one writer. Readers take no
// lock: shards ask for frames by number when they are told to, others follow with a Reader.
package ring

import (
	"context"
	"sync/atomic"

	"watershed/sfu/media"
)

// Slots is how many frames a ring can hold: 40 s at 25 fps, so a GOP of 10 s at 60 fps still fits.
const Slots = 1024

// Limits bound what a ring keeps for those who join late and those who ask again.
type Limits struct {
	Bytes   int // of frames kept; the newest frame always stays
	History int // frames kept before the last keyframe, for retransmission
}

// DefaultLimits keep a GOP of up to 24 MiB (10 s at 20 Mb/s) and 3 s of 25 fps for NACKs.
var DefaultLimits = Limits{Bytes: 24 << 20, History: 75}

// Ring is the recent past of one layer.
type Ring struct {
	slots    [Slots]atomic.Pointer[media.Frame]
	next     atomic.Uint64 // number that the next frame gets; frames count from 1
	tail     atomic.Uint64 // oldest frame still kept
	keyframe atomic.Uint64 // number of the last keyframe, 0 before the first
	gop      atomic.Int64  // ticks between the last two keyframes, 0 before there were two
	wake     atomic.Pointer[chan struct{}]
	still    atomic.Pointer[media.Frame] // last keyframe before Forget

	// Only the writer touches these.
	limits Limits
	bytes  int
	seq    uint64
	keyPTS int64 // of the last keyframe
}

// New returns an empty ring whose first packet will have the given extended sequence number.
func New(limits Limits, firstSeq uint64) *Ring {
	r := &Ring{limits: limits, seq: firstSeq}
	r.next.Store(1)
	r.tail.Store(1)
	wake := make(chan struct{})
	r.wake.Store(&wake)
	return r
}

// Append numbers the frame and its packets and publishes it. Only the layer's one writer calls it;
// the frame must not change afterwards.
func (r *Ring) Append(f *media.Frame) {
	n := r.next.Load()
	f.Number, f.FirstSeq = n, r.seq
	r.seq += uint64(len(f.Packets))
	r.makeRoom(n, f)
	r.slots[n%Slots].Store(f)
	if f.Keyframe {
		r.noteKeyframe(n, f)
	}
	r.next.Store(n + 1)
	wake := make(chan struct{})
	close(*r.wake.Swap(&wake))
}

func (r *Ring) noteKeyframe(n uint64, f *media.Frame) {
	if r.keyframe.Load() != 0 && !f.Discontinuity {
		r.gop.Store(f.PTS - r.keyPTS)
	}
	r.keyPTS = f.PTS
	r.keyframe.Store(n)
}

// GOP is the number of ticks between the last two keyframes of one source; ok is false until there were two.
func (r *Ring) GOP() (ticks int64, ok bool) {
	ticks = r.gop.Load()
	return ticks, ticks > 0
}

// makeRoom forgets what the limits do not allow beside frame f, number n.
func (r *Ring) makeRoom(n uint64, f *media.Frame) {
	r.bytes += f.Size
	start := r.keyframe.Load()
	if f.Keyframe || start == 0 {
		start = n
	}
	keep := uint64(1)
	if start > uint64(r.limits.History) {
		keep = start - uint64(r.limits.History)
	}
	for t := r.tail.Load(); t < n && (t < keep || r.bytes > r.limits.Bytes || t+Slots <= n); t++ {
		r.tail.Store(t + 1)
		if old := r.slots[t%Slots].Swap(nil); old != nil {
			r.bytes -= old.Size
		}
	}
}

// Forget drops all frames, because they are not the present any longer. Only the layer's one writer calls it, between sessions.
func (r *Ring) Forget() {
	next := r.next.Load()
	if n, ok := r.Keyframe(); ok {
		r.still.Store(r.At(n))
	}
	for t := r.tail.Swap(next); t < next; t++ {
		r.slots[t%Slots].Store(nil)
	}
	r.bytes = 0
}

// Picture is the last keyframe that there was, also one that was forgotten; nil if there was none.
func (r *Ring) Picture() *media.Frame {
	if n, ok := r.Keyframe(); ok {
		if f := r.At(n); f != nil {
			return f
		}
	}
	return r.still.Load()
}

// At returns frame n, or nil if it is not here yet or no longer.
func (r *Ring) At(n uint64) *media.Frame {
	f := r.slots[n%Slots].Load()
	if f == nil || f.Number != n {
		return nil
	}
	return f
}

// Next is the number that the next frame will have.
func (r *Ring) Next() uint64 { return r.next.Load() }

// Tail is the number of the oldest frame kept.
func (r *Ring) Tail() uint64 { return r.tail.Load() }

// Latest returns the newest frame, or nil.
func (r *Ring) Latest() *media.Frame { return r.At(r.next.Load() - 1) }

// Keyframe returns the number of the last keyframe that is still kept.
func (r *Ring) Keyframe() (n uint64, ok bool) {
	n = r.keyframe.Load()
	return n, n != 0 && n >= r.tail.Load()
}

// Find returns the frame that has the packet with this extended sequence number, and the packet's index in it;
// nil if it was forgotten. It searches by halves: NACKs are rare.
func (r *Ring) Find(seq uint64) (*media.Frame, int) {
	lo, hi := r.tail.Load(), r.next.Load()
	for lo < hi {
		mid := lo + (hi-lo)/2
		f := r.At(mid)
		switch {
		case f == nil || f.LastSeq() <= seq: // forgotten meanwhile, or older
			lo = mid + 1
		case f.FirstSeq > seq:
			hi = mid
		default:
			return f, int(seq - f.FirstSeq)
		}
	}
	return nil, 0
}

// Reader follows a ring frame by frame. One goroutine uses it.
type Reader struct {
	ring    *Ring
	next    uint64
	skipped uint64
}

// ReadFrom returns a reader whose first frame is number n.
func (r *Ring) ReadFrom(n uint64) *Reader { return &Reader{ring: r, next: n} }

// Wake returns a channel that is closed when a frame is appended after the call.
func (r *Ring) Wake() <-chan struct{} { return *r.wake.Load() }

// TryNext returns the next frame if it is there. A reader that fell behind
// what the ring keeps goes on at the oldest frame; Skipped counts what it missed.
func (r *Reader) TryNext() *media.Frame {
	for r.next < r.ring.next.Load() {
		f := r.ring.At(r.next)
		if f != nil {
			r.next++
			return f
		}
		if tail := r.ring.tail.Load(); tail > r.next {
			r.skipped += tail - r.next
			r.next = tail
		}
	}
	return nil
}

// Next waits for the next frame; it fails only when ctx ends.
func (r *Reader) Next(ctx context.Context) (*media.Frame, error) {
	for {
		wake := r.ring.Wake() // before looking, so that no frame slips between
		if f := r.TryNext(); f != nil {
			return f, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Skipped is the number of frames that were forgotten before this reader came to them.
func (r *Reader) Skipped() uint64 { return r.skipped }
