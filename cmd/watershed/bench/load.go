package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"watershed/cmd/watershed/loadtest"
	"watershed/sfu/seal"
	"watershed/sfu/udpbatch"
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
	least, err := floor(b)
	if err != nil {
		return err
	}
	b.note("floor: seal and send 1,200 B", "%.2f µs a packet, 8 in a GSO message, nothing else", least)
	for _, n := range []int{100, 300, 1000} {
		s, err := b.start(1, "river", nil)
		if err != nil {
			return err
		}
		r, err := b.whepLoad(s, 1, n)
		if err != nil {
			return err
		}
		b.crowd(fmt.Sprintf("%d viewers, ", n), r, least, map[bool]float64{true: 30, false: 10}[n == 1000])
	}
	return nil
}

// crowd prints what a load saw and cost.
func (b *bench) crowd(who string, r *loadtest.Result, floor, transit float64) {
	b.figure(who+"lost for good", .1, 100*r.Lost(), "%")
	b.figure(who+"pictures missing", .1, 100*(1-float64(r.Frames)/float64(max(1, r.Expected))), "%")
	b.figure(who+"CPU of the node a packet", 2, r.MicrosPerPacket(), "µs")
	b.note(who+"CPU, times the floor", "%.2f", r.MicrosPerPacket()/floor)
	b.figure(who+"transit p99", transit, r.Transit.P99, "ms")
	b.figure(who+"memory a viewer", 200, r.KiBPerViewer(), "KiB")
	b.note(who+"packets", "%d, %.2f datagrams a GSO message, %d failed to join, tester %.2f cores", r.Packets, r.GSO, r.Failed, r.TesterCPU/r.Seconds)
}

// floor is the CPU in µs that nobody who encrypts and sends a packet of 1,200 bytes by GSO can go below on this machine.
func floor(b *bench) (float64, error) {
	conns, err := udpbatch.Listen(b.ctx, "127.0.0.1:0", 1)
	if err != nil {
		return 0, err
	}
	defer conns[0].Close()
	sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	defer sink.Close()
	sealer, err := seal.New([]byte("0123456789abcdef"), []byte("salt-of-12-b"))
	if err != nil {
		return 0, err
	}
	batch, payload := conns[0].NewBatch(), make([]byte, 1200-12)
	batch.To(conns[0].Addr(sink.LocalAddr().(*net.UDPAddr).AddrPort()))
	before, n := ownCPU(), uint64(0)
	for began := time.Now(); time.Since(began) < 2*time.Second; batch.Flush() {
		for range 8 {
			buf := batch.Space(1200 + seal.Overhead)
			batch.Commit(sealer.Seal(buf, payload, 1, n))
			n++
		}
	}
	return (ownCPU() - before).Seconds() * 1e6 / float64(n), nil
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

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
	return b.rounds(s, url)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// rounds lets 300 viewers come and go ten times; what the node holds after the first five and after the last five must be about the same. A single
// look says little: the ring alone holds between one GOP and two.
func (b *bench) rounds(s *setup, url string) error {
	var held []float64
	for range 10 {
		w := loadtest.WHEP{URLs: []string{url}, Viewers: 300, Rate: 300, Duration: time.Second, PID: s.node.PID()}
		if _, err := w.Run(b.ctx); err != nil {
			return err
		}
		time.Sleep(2 * time.Second) // sessions end
		mib, err := s.node.Heap()
		if err != nil {
			return err
		}
		held = append(held, mib)
	}
	b.figure("10 rounds of 300, growth of live memory", 10, 100*(median(held[5:])/median(held[:5])-1), "%")
	b.note("live memory after rounds", "%.1f MiB", held)
	return nil
}
