package hlsbridge

import (
	"hash/maphash"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	stays      = 30 * time.Second // an HLS client counts for so long after its last request
	countEvery = time.Second
	crowdParts = 16 // each with a lock of its own, so that requests seldom meet
)

// audience counts those who ask for a stream: by address and program, as no cookie tells them apart. People behind one address with one browser are
// one, and behind a CDN it counts the CDN's caches.
type audience struct {
	seed  maphash.Seed
	parts [crowdParts]struct {
		mu   sync.Mutex       // guards seen
		seen map[uint64]int64 // Unix nanoseconds of the last request
	}

	mu      sync.Mutex // guards what follows
	counted time.Time
	last    int
}

func newAudience() *audience {
	a := &audience{seed: maphash.MakeSeed()}
	for i := range a.parts {
		a.parts[i].seen = map[uint64]int64{}
	}
	return a
}

// note a request.
func (a *audience) note(r *http.Request, now time.Time) {
	addr, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		addr = r.RemoteAddr
	}
	var agent string
	if v := r.Header["User-Agent"]; len(v) > 0 {
		agent = v[0]
	}
	key := maphash.String(a.seed, addr) ^ maphash.String(a.seed, agent)<<1
	p := &a.parts[key%crowdParts]
	p.mu.Lock()
	p.seen[key] = now.UnixNano()
	p.mu.Unlock()
}

// count those who are there, and forget the others. It is exact to a second.
func (a *audience) count(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.counted) < countEvery {
		return a.last
	}
	a.counted, a.last = now, 0
	oldest := now.Add(-stays).UnixNano()
	for i := range a.parts {
		p := &a.parts[i]
		p.mu.Lock()
		for key, at := range p.seen {
			if at < oldest {
				delete(p.seen, key)
			}
		}
		a.last += len(p.seen)
		p.mu.Unlock()
	}
	return a.last
}
