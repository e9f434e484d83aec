package hlsbridge

import (
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"watershed/hlsbridge/crowd"
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

// waiter is one of them: it is answered with the first view that has its moment, or nil if none comes.
type waiter = crowd.Waiter[*view]

// wait has a waiter answered when a moment comes, when hold is over, or at once.
func (p *packager) wait(at moment, w *waiter, hold time.Duration) {
	q := &p.waits
	q.mu.Lock()
	v := p.gen.Load().view(at.rendition)
	if v == nil || at.in(v) || q.closed || q.waiting >= p.cfg.MaxBlocked {
		q.mu.Unlock()
		if v != nil && !at.in(v) {
			v = nil
		}
		w.Answer(v)
		return
	}
	q.crowds[at] = crowd.Join(q.crowds[at], w)
	q.waiting++
	w.Timer = time.AfterFunc(hold, func() {
		if q.leave(at, w) {
			w.Answer(nil)
		}
	})
	q.mu.Unlock()
}

// leave reports whether a waiter was still waiting: then it is not answered any more.
func (q *waits) leave(at moment, w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest, left := crowd.Leave(q.crowds[at], w)
	if !left {
		return false
	}
	q.waiting--
	if q.crowds[at] = rest; len(rest) == 0 {
		delete(q.crowds, at)
	}
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
	for at, all := range q.crowds {
		if v := g.view(at.rendition); v == nil || at.in(v) {
			q.release(at, all, v)
		}
	}
}

// close answers all who are left, and those who come later, with nothing; it returns when they have it.
func (q *waits) close() {
	q.mu.Lock()
	q.closed = true
	for at, all := range q.crowds {
		q.release(at, all, nil)
	}
	q.mu.Unlock()
	q.answering.Wait()
}

// release answers a crowd. The mutex is held.
func (q *waits) release(at moment, all []*waiter, v *view) {
	delete(q.crowds, at)
	q.waiting -= len(all)
	crowd.Release(all, v, &q.answering)
}

// await waits until a rendition has a moment; nil when it takes too long, or the rendition is gone.
func (b *Bridge) await(r *http.Request, p *packager, at moment, hold time.Duration) *view {
	came := make(chan *view, 1)
	w := &waiter{Answer: func(v *view) { came <- v }}
	p.wait(at, w, hold)
	select {
	case v := <-came:
		return v
	case <-r.Context().Done():
		p.waits.leave(at, w)
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
	x := &waiter{Answer: finishing(b, later, r, answer)}
	later.Postpone(func() { p.waits.leave(at, x) })
	p.wait(at, x, hold)
}

// finishing is an answer to a request that was postponed.
func finishing[V any](b *Bridge, later postponed, r *http.Request, answer func(V)) func(V) {
	return func(v V) {
		if b.contained(r, func() { answer(v) }) {
			later.Finish()
		} else {
			later.Abort()
		}
	}
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
