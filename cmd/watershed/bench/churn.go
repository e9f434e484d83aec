package main

import (
	"errors"
	"math"
	"slices"
	"time"

	"watershed/cmd/watershed/e2e"
	"watershed/cmd/watershed/loadtest"
)

// churn lets 300 watch while 100 a second come, and looks at what the watchers lose and what the node keeps.
func churn(b *bench) (err error) {
	s, err := b.start(1, "river", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	url := s.node.URL + "/whep/cam0"
	watchers := loadtest.WHEP{URLs: []string{url}, Viewers: 300, Rate: 100, Duration: 25 * time.Second, PID: s.node.PID()}
	done := make(chan struct{})
	var watched *loadtest.Result
	var failed error
	go func() {
		defer close(done)
		watched, failed = watchers.Run(b.ctx)
	}()
	time.Sleep(8 * time.Second) // until they have joined and settled
	var first []float64
	joined := 0
	for range 3 {
		come := loadtest.WHEP{URLs: []string{url}, Viewers: 300, Rate: 100, Duration: time.Second, PID: s.node.PID()}
		r, err := come.Run(b.ctx)
		if err != nil {
			return err
		}
		first = append(first, r.FirstPacket.P95)
		joined += r.Viewers
	}
	<-done
	if failed != nil {
		return failed
	}
	b.figure("100 joins a second, first packet p95", 150, slices.Max(first), "ms")
	b.note("joined meanwhile", "%d", joined)
	b.figure("300 who watch, lost for good", 0, float64(watched.Missing), "")
	b.figure("300 who watch, transit p99", 10, watched.Transit.P99, "ms")
	return b.rounds(s, url)
}

// rounds lets 1,000 viewers come and go ten times and compares what the node holds after them with what it held before. A first crowd does not
// count: it brings in code and tables that stay. Go gives memory back slowly, so the node has a minute for it.
func (b *bench) rounds(s *setup, url string) error {
	if _, err := b.crowdLeaves(s, url); err != nil {
		return err
	}
	before, err := b.rested(s, 0)
	if err != nil {
		return err
	}
	most := 0.0
	for range 10 {
		r, err := b.crowdLeaves(s, url)
		if err != nil {
			return err
		}
		most = max(most, float64(r.RSSAfter)/(1<<20))
	}
	began := time.Now()
	held, err := b.rested(s, before.Resident*1.1)
	if err != nil {
		return err
	}
	b.figure("10 rounds of 1,000, resident memory grew", 10, 100*(held.Resident/before.Resident-1), "%")
	b.figure("10 rounds of 1,000, goroutines left", 0, float64(held.Goroutines-before.Goroutines), "")
	b.note("resident before / at most / after", "%.1f / %.1f / %.1f MiB, %.0f s after the last had left; live %.1f / %.1f MiB",
		before.Resident, most, held.Resident, time.Since(began).Seconds(), before.Live, held.Live)
	return nil
}

// crowdLeaves lets 1,000 viewers come and go.
func (b *bench) crowdLeaves(s *setup, url string) (*loadtest.Result, error) {
	w := loadtest.WHEP{URLs: []string{url}, Viewers: 1000, Rate: 500, Duration: time.Second, PID: s.node.PID()}
	r, err := w.Run(b.ctx)
	if err == nil && r.Failed > 0 {
		b.note("could not join", "%d: %s", r.Failed, r.FirstError)
	}
	return r, err
}

// rested waits until the node's memory is below a limit, or for a minute, and until nothing of its viewers is left; then it tells what the node holds.
func (b *bench) rested(s *setup, limit float64) (held e2e.Held, err error) {
	last := math.Inf(1)
	for began := time.Now(); time.Since(began) < time.Minute; {
		if err := b.sleep(5 * time.Second); err != nil {
			return held, err
		}
		if held, err = s.node.Held(); err != nil {
			return held, err
		}
		if held.Resident <= limit || limit == 0 && held.Resident > .98*last {
			break
		}
		last = held.Resident
	}
	return held, nil
}
