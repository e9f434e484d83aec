package access

import (
	"net/netip"
	"sync"
	"time"
)

const (
	failuresAllowed = 20          // a minute and address: a family behind one router with an expired token each
	failuresWindow  = time.Minute // a window that begins with the first failure
	failuresTracked = 10_000      // addresses; bounds memory
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
		f.room()
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

// room is made by forgetting some other address: who has so many is not stopped by this anyway.
func (f *failures) room() {
	if len(f.byAddr) < failuresTracked {
		return
	}
	for addr := range f.byAddr {
		delete(f.byAddr, addr)
		return
	}
}

// origin is the address that failures are counted by: without the port, and a network of 64 bits for IPv6, of which everybody has 2^64 addresses.
func origin(addr string) string {
	a, err := netip.ParseAddr(host(addr))
	if err != nil || a.Unmap().Is4() {
		return host(addr)
	}
	p, _ := a.Prefix(64)
	return p.String()
}
