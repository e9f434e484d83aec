// Package crowd is requests that wait for one thing and are answered when it is there.
package crowd

import (
	"runtime"
	"sync"
	"time"
)

// Waiter is one of a crowd, which has it by this address. Answer is called once, unless it leaves before.
type Waiter[V any] struct {
	Answer func(V)
	Timer  *time.Timer // stopped when it is answered or leaves; nil for none

	place int // in its crowd, from one; zero outside
}

// Join adds a waiter. Whoever has the crowd guards it and all its waiters with a mutex, which is held for these calls.
func Join[V any](all []*Waiter[V], w *Waiter[V]) []*Waiter[V] {
	all = append(all, w)
	w.place = len(all)
	return all
}

// Leave takes a waiter out, if it is still waiting: then it is not answered any more.
func Leave[V any](all []*Waiter[V], w *Waiter[V]) (rest []*Waiter[V], left bool) {
	if w.place == 0 {
		return all, false
	}
	if w.Timer != nil {
		w.Timer.Stop()
	}
	end := len(all) - 1
	last := all[end]
	all[w.place-1], last.place = last, w.place
	all[end], w.place = nil, 0
	return all[:end], true
}

// Release answers all, on all processors: what the last one waits for is the work for all before it. It returns before they are answered; answering tells when.
func Release[V any](all []*Waiter[V], v V, answering *sync.WaitGroup) {
	for _, w := range all {
		w.place = 0
	}
	share := max(answeredAtOnce, (len(all)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for len(all) > 0 {
		n := min(share, len(all))
		some := all[:n]
		answering.Go(func() {
			for i, w := range some {
				if w.Timer != nil {
					w.Timer.Stop()
				}
				w.Answer(v)
				if i%answeredAtOnce == answeredAtOnce-1 {
					runtime.Gosched() // those who send pictures to WebRTC viewers are not to wait for a crowd
				}
			}
		})
		all = all[n:]
	}
}

// answeredAtOnce is how many answers are not worth a goroutine more: some 300 µs.
const answeredAtOnce = 32
