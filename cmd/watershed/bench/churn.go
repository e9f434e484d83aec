package main

import (
	"errors"
	"slices"
	"time"

	"watershed/cmd/watershed/loadtest"
)

// churn lets 300 watch while 100 a second come, ten times over, and looks at what the watchers lose and what the node keeps.
func churn(b *bench) (err error) {
	s, err := b.start(1, "river", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	url := s.node.URL + "/whep/cam0"
	watchers := loadtest.WHEP{URLs: []string{url}, Viewers: 300, Rate: 100, Duration: 45 * time.Second, PID: s.node.PID()}
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
	return nil
}
