package hlsbridge

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// moment is what a request waits for: a whole segment of a rendition (part -1), or a part of it.
type moment struct {
	rendition string
	msn       uint64
	part      int
}

func (m moment) in(v *view) bool { return v.has(m.msn, m.part) }

// waits are a stream's requests for what is not there yet. They are kept by what they wait for, so that a part wakes those who asked for it and nobody
// else: ten thousand requests for a segment would otherwise be looked at with each of its parts.
type waits struct {
	mu      sync.Mutex // guards what follows, and all waiters
	crowds  map[moment][]*waiter
	waiting int
	closed  bool

	answering sync.WaitGroup
}

// waiter is one of them. answer is called once, unless it leaves before: with the first view that has its moment, or nil if none comes.
type waiter struct {
	at     moment
	answer func(*view)
	timer  *time.Timer
	place  int // in its crowd; -1 outside
}

// wait has a waiter answered when its moment comes, when hold is over, or at once.
func (p *packager) wait(w *waiter, hold time.Duration) {
	q := &p.waits
	q.mu.Lock()
	w.place = -1
	v := p.gen.Load().view(w.at.rendition)
	if v == nil || w.at.in(v) || q.closed || q.waiting >= p.cfg.MaxBlocked {
		q.mu.Unlock()
		if v != nil && !w.at.in(v) {
			v = nil
		}
		w.answer(v)
		return
	}
	w.place = len(q.crowds[w.at])
	q.crowds[w.at] = append(q.crowds[w.at], w)
	q.waiting++
	w.timer = time.AfterFunc(hold, func() {
		if q.leave(w) {
			w.answer(nil)
		}
	})
	q.mu.Unlock()
}

// leave reports whether a waiter was still waiting: then it is not answered any more.
func (q *waits) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.place < 0 {
		return false
	}
	w.timer.Stop()
	crowd := q.crowds[w.at]
	last := crowd[len(crowd)-1]
	crowd[w.place], last.place = last, w.place
	crowd[len(crowd)-1] = nil
	q.crowds[w.at] = crowd[:len(crowd)-1]
	if len(crowd) == 1 {
		delete(q.crowds, w.at)
	}
	w.place = -1
	q.waiting--
	return true
}

// blocked requests now.
func (q *waits) blocked() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// wake answers those whose moment came with a generation, and those for whom none will.
func (q *waits) wake(g *generation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for at, crowd := range q.crowds {
		if v := g.view(at.rendition); v == nil || at.in(v) {
			q.release(at, crowd, v)
		}
	}
}

// close answers all who are left, and those who come later, with nothing; it returns when they have it.
func (q *waits) close() {
	q.mu.Lock()
	q.closed = true
	for at, crowd := range q.crowds {
		q.release(at, crowd, nil)
	}
	q.mu.Unlock()
	q.answering.Wait()
}

// release answers a crowd, on all processors: what the last one waits for is the work for all before it. The mutex is held.
func (q *waits) release(at moment, crowd []*waiter, v *view) {
	delete(q.crowds, at)
	q.waiting -= len(crowd)
	for _, w := range crowd {
		w.place = -1
	}
	share := max(answeredAtOnce, (len(crowd)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for len(crowd) > 0 {
		n := min(share, len(crowd))
		some := crowd[:n]
		q.answering.Go(func() {
			for i, w := range some {
				w.timer.Stop()
				w.answer(v)
				if i%answeredAtOnce == answeredAtOnce-1 {
					runtime.Gosched() // those who send pictures to WebRTC viewers are not to wait for a crowd
				}
			}
		})
		crowd = crowd[n:]
	}
}

// answeredAtOnce is how many answers are not worth a goroutine more: some 300 µs.
const answeredAtOnce = 32

// await waits until a rendition has a moment; nil when it takes too long, or the rendition is gone.
func (b *Bridge) await(r *http.Request, p *packager, at moment, hold time.Duration) *view {
	came := make(chan *view, 1)
	w := &waiter{at: at, answer: func(v *view) { came <- v }}
	p.wait(w, hold)
	select {
	case v := <-came:
		return v
	case <-r.Context().Done():
		p.waits.leave(w)
	}
	return nil
}

// postponed is a response that may be finished after its handler has returned: nothing but the connection is kept meanwhile. Package lane has them.
type postponed interface {
	http.ResponseWriter
	Postpone(gone func()) // before the handler returns; gone is called if the client leaves before Finish
	Finish()
	Abort() // instead of Finish, if the answer failed
}

// when answers a request once a rendition has a moment, with nil if that takes too long. It may return before.
func (b *Bridge) when(w http.ResponseWriter, r *http.Request, p *packager, at moment, hold time.Duration, answer func(*view)) {
	later := postponable(w)
	if later == nil {
		answer(b.await(r, p, at, hold))
		return
	}
	x := &waiter{at: at, answer: func(v *view) {
		if b.contained(r, func() { answer(v) }) {
			later.Finish()
		} else {
			later.Abort()
		}
	}}
	later.Postpone(func() { p.waits.leave(x) })
	p.wait(x, hold)
}

// contained runs an answer whose handler has returned; false if it panicked. One request's trouble is not everybody's: net/http sees to that only for handlers.
func (b *Bridge) contained(r *http.Request, answer func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			b.cfg.Log.Error("hls: a request failed", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	answer()
	return true
}

// postponable finds what can be postponed in a response or in what it wraps.
func postponable(w http.ResponseWriter) postponed {
	for {
		switch x := w.(type) {
		case postponed:
			return x
		case interface{ Unwrap() http.ResponseWriter }:
			w = x.Unwrap()
		default:
			return nil
		}
	}
}
