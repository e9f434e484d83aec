package chat

import "time"

// Bucket lets Burst things happen at once and Rate a second after that. The zero time is a full bucket. It belongs to one goroutine, or to its
// owner's lock.
type Bucket struct {
	Rate, Burst float64

	used float64 // of Burst, as of at
	at   time.Time
}

// Take lets one thing happen now, or says how long to wait.
func (b *Bucket) Take(now time.Time) (wait time.Duration, ok bool) {
	b.used = max(0, b.used-now.Sub(b.at).Seconds()*b.Rate)
	b.at = now
	if over := b.used + 1 - b.Burst; over > 0 {
		return time.Duration(over / b.Rate * float64(time.Second)), false
	}
	b.used++
	return 0, true
}

// Idle reports whether the bucket is full again, so that nothing is lost by forgetting it.
func (b *Bucket) Idle(now time.Time) bool {
	return b.used <= now.Sub(b.at).Seconds()*b.Rate
}
