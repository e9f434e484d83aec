package bwe

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// path is a bottleneck with a queue: what a trace of a real one looks like, second by second.
type path struct {
	capacity float64
	queue    float64 // bits
	limit    float64 // bits that the queue holds
	remb     float64
}

// second lets rate bits a second flow for d and returns the feedback of a browser.
func (p *path) pass(at time.Time, rate float64, d time.Duration) Feedback {
	in, out := rate*d.Seconds(), p.capacity*d.Seconds()
	p.queue += in - out
	lost := max(0, p.queue-p.limit)
	p.queue = min(max(p.queue, 0), p.limit)
	arrived := min(in, out)
	f := Feedback{
		At: at, Sent: rate, Loss: lost / in,
		RTT: 40*time.Millisecond + time.Duration(p.queue/p.capacity*float64(time.Second)),
	}
	p.remb = min(max(p.remb*1.08, 300e3), 1.5*arrived/d.Seconds())
	if p.queue > p.capacity/10 { // more than 100 ms: the receiver's own estimator says less than arrives
		p.remb = 0.85 * p.capacity
	}
	f.REMB = p.remb
	return f
}

// layers of a camera: what a viewer may get.
var layers = []float64{300e3, 2e6}

// drive runs the estimator over a path whose capacity changes with time and returns when which layer was sent.
func drive(e *Estimator, p *path, capacity func(t time.Duration) float64, total time.Duration) (sent []float64) {
	start := time.Unix(0, 0)
	const tick = 100 * time.Millisecond
	bits := 0.0
	for t := time.Duration(0); t < total; t += tick {
		now := start.Add(t)
		p.capacity = capacity(t)
		rate := layers[0]
		want := 0.0
		if e.Budget() >= layers[1] {
			rate = layers[1]
		} else {
			want = layers[1]
		}
		sent = append(sent, rate)
		bits += max(rate, e.Probe(now, want)) * tick.Seconds()
		if t%time.Second == 900*time.Millisecond {
			e.Feed(p.pass(now, bits, time.Second))
			bits = 0
		}
	}
	return sent
}

func TestFollowsAPathThatShrinksAndRecovers(t *testing.T) {
	e := &Estimator{}
	p := &path{limit: 600e3}
	sent := drive(e, p, func(t time.Duration) float64 {
		if t >= 10*time.Second && t < 40*time.Second {
			return 600e3
		}
		return 4e6
	}, 70*time.Second)
	at := func(s float64) float64 { return sent[int(s*10)] }
	for s := 0.0; s < 10; s++ {
		require.Equal(t, layers[1], at(s), "second %v: nothing limits", s)
	}
	for s := 13.0; s < 40; s++ {
		require.Equal(t, layers[0], at(s), "second %v: only the small layer fits", s)
	}
	for s := 55.0; s < 70; s++ {
		require.Equal(t, layers[1], at(s), "second %v: recovered", s)
	}
}

func TestTrustsAPathWithSomeLoss(t *testing.T) {
	e := &Estimator{}
	for i := range 60 {
		require.False(t, e.Feed(Feedback{At: time.Unix(int64(i), 0), Sent: 2e6, Loss: 0.05, RTT: 100 * time.Millisecond, REMB: 3e6}))
	}
	require.Equal(t, math.Inf(1), e.Budget())
}

func TestProbesOnlyWhenMoreIsWanted(t *testing.T) {
	e := &Estimator{}
	now := time.Unix(0, 0)
	e.Feed(Feedback{At: now, Sent: 2e6, Loss: 0.5})
	require.Less(t, e.Budget(), 2e6)
	for range 100 {
		now = now.Add(100 * time.Millisecond)
		e.Feed(Feedback{At: now, Sent: 300e3})
		require.Zero(t, e.Probe(now, 0))
	}
	require.Positive(t, e.Probe(now, 2e6))
}

func TestNeverBelowTheLowest(t *testing.T) {
	e := &Estimator{}
	for i := range 100 {
		e.Feed(Feedback{At: time.Unix(int64(i), 0), Sent: 1000, Loss: 1})
	}
	require.GreaterOrEqual(t, e.Budget(), float64(lowest))
}
