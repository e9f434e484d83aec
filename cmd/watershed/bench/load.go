package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"watershed/cmd/watershed/loadtest"
	"watershed/sfu/seal"
	"watershed/sfu/udpbatch"
)

// whepLoad runs viewers against a set-up's streams and stops it.
func (b *bench) whepLoad(s *setup, streams, viewers int) (r *loadtest.Result, err error) {
	defer func() { err = errors.Join(err, s.end()) }()
	w := loadtest.WHEP{Viewers: viewers, Rate: 200, Duration: 12 * time.Second, PID: s.node.PID(), Metrics: "http://" + s.node.Listening["metrics"] + "/metrics"}
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

// keyframes is the crowd of fan-out with pictures that do not fit one send: each is timed by its last packet.
func keyframes(b *bench) error {
	s, err := b.start(1, "heavy", nil)
	if err != nil {
		return err
	}
	r, err := b.whepLoad(s, 1, 1000)
	if err != nil {
		return err
	}
	b.figure("1000 viewers, lost for good", .1, 100*r.Lost(), "%")
	b.figure("1000 viewers, pictures missing", .1, 100*(1-float64(r.Frames)/float64(max(1, r.Expected))), "%")
	b.figure("transit of each picture's last packet, p99", 30, r.Transit.P99, "ms")
	b.note("the same, p50 / max", "%.1f / %.1f ms", r.Transit.P50, r.Transit.Max)
	b.note("keyframes alone, p50 / p99", "%.1f / %.1f ms", r.Large.P50, r.Large.P99)
	b.note("CPU of the node a packet", "%.2f µs, %d packets, tester %.2f cores", r.MicrosPerPacket(), r.Packets, r.TesterCPU/r.Seconds)
	return nil
}
