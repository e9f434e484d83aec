package main

import (
	"errors"
	"fmt"
	"time"

	"watershed/cmd/watershed/loadtest"
)

// whepLoad runs viewers against a set-up's streams and stops it.
func (b *bench) whepLoad(s *setup, streams, viewers int) (r *loadtest.Result, err error) {
	defer func() { err = errors.Join(err, s.end()) }()
	w := loadtest.WHEP{Viewers: viewers, Rate: 100, Duration: 20 * time.Second, PID: s.node.PID(), Metrics: "http://" + s.node.Listening["metrics"] + "/metrics"}
	for i := range streams {
		w.URLs = append(w.URLs, fmt.Sprintf("%s/whep/cam%d", s.node.URL, i))
	}
	return w.Run(b.ctx)
}

func cameras(b *bench) error {
	const n = 50
	s, err := b.start(n, "", nil)
	if err != nil {
		return err
	}
	r, err := b.whepLoad(s, n, n)
	if err != nil {
		return err
	}
	b.figure("viewers that could not join", 0, float64(r.Failed), "")
	b.figure("packets lost", 0, float64(r.Missing), "")
	b.note("packets", "%d, %.1f Mb/s, %d of %d pictures", r.Packets, float64(r.Bytes)*8e-6/r.Seconds, r.Frames, r.Expected)
	b.note("CPU of the node", "%.2f cores: %d cameras pulled, %d viewers", r.CPU/r.Seconds, n, r.Viewers)
	return nil
}

func fanOut(b *bench) error {
	for _, n := range []int{100, 300} {
		s, err := b.start(1, "river", nil)
		if err != nil {
			return err
		}
		r, err := b.whepLoad(s, 1, n)
		if err != nil {
			return err
		}
		who := fmt.Sprintf("%d viewers, ", n)
		b.figure(who+"packets lost", 0, float64(r.Missing), "")
		b.figure(who+"CPU of the node a packet", 2, r.MicrosPerPacket(), "µs")
		b.figure(who+"transit p99", 10, r.Transit.P99, "ms")
		b.figure(who+"memory a viewer", .2*1024, r.KiBPerViewer(), "KiB")
		b.note(who+"packets", "%d, %.2f datagrams a GSO message, %d failed to join", r.Packets, r.GSO, r.Failed)
	}
	return nil
}
