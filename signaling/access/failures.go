package access

import (
	"sync"
	"time"
)

const (
	failuresAllowed = 20          // a minute and address: a family behind one router with an expired token each
	failuresWindow  = time.Minute // a window that begins with the first failure
	failuresTracked = 10_000      // addresses; when it is full the oldest windows go first
)

// failures count wrong credentials by address.
type failures struct {
	mu     sync.Mutex // guards byAddr
	byAddr map[string]*window
}

type window struct {
	began time.Time
	count int
}

func newFailures() failures { return failures{byAddr: map[string]*window{}} }

// add notes a failure; more than zero is how long the address must wait.
func (f *failures) add(addr string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.byAddr[addr]
	if w == nil || now.Sub(w.began) >= failuresWindow {
		f.make(now)
		w = &window{began: now}
		f.byAddr[addr] = w
	}
	w.count++
	return w.wait(now)
}

// blocked is how long the address must wait, zero if it need not.
func (f *failures) blocked(addr string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.byAddr[addr]; w != nil {
		return w.wait(now)
	}
	return 0
}

func (w *window) wait(now time.Time) time.Duration {
	if left := failuresWindow - now.Sub(w.began); w.count > failuresAllowed && left > 0 {
		return max(left, time.Second)
	}
	return 0
}

// make room for one more: windows that are over go, and if none is, some other.
func (f *failures) make(now time.Time) {
	if len(f.byAddr) < failuresTracked {
		return
	}
	for addr, w := range f.byAddr {
		if now.Sub(w.began) >= failuresWindow {
			delete(f.byAddr, addr)
		}
	}
	for addr := range f.byAddr {
		if len(f.byAddr) < failuresTracked {
			return
		}
		delete(f.byAddr, addr)
	}
}
