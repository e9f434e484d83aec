package soak

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest/rtsp"
	"watershed/sfu/leg"
	"watershed/sfu/mediatest"
	"watershed/sfu/peer"
)

var duration = flag.Duration("soak", 8*time.Second, "how long to run")

const (
	cameras = 6
	viewers = 30 // at any time
)

// run is one soak.
type run struct {
	t       *testing.T
	sfu     *sfu.SFU
	farm    *camera.Farm
	cert    *peer.Config
	watched atomic.Int64 // viewers so far
	frames  atomic.Int64
	broken  atomic.Pointer[string]
}

func TestFlappingCamerasAndChurningViewers(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	farm, err := camera.New(camera.Config{N: cameras, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 2})
	require.NoError(t, err)
	cert, err := peer.NewCertificate()
	require.NoError(t, err)
	r := &run{t: t, farm: farm, cert: &peer.Config{Certificate: cert}}
	r.sfu = sfu.New(sfu.Config{
		Port: port, Pullers: map[string]sfu.Puller{"rtsp": rtsp.Pull},
		// RTP's clock wraps after 5 s, its numbers of 32 bits after some hundred packets.
		TimelineStart: (1<<32)/90000*time.Second - 5*time.Second, FirstSeq: 1<<32 - 300,
	})
	var tasks sync.WaitGroup
	tasks.Go(func() { farm.Run(ctx) })
	tasks.Go(func() { r.sfu.Run(ctx) })
	for i := range cameras {
		in := sfu.Input{High: farm.URL(i)}
		if i%3 == 0 {
			in.Low = farm.URL((i + 1) % cameras)
		}
		r.sfu.Declare(name(i), sfu.Spec{Inputs: []sfu.Input{in}, Demand: i%2 == 1, Idle: time.Second})
	}
	tasks.Go(func() { r.flap(ctx) })
	for range viewers {
		tasks.Go(func() { r.churn(ctx) })
	}
	r.look(*duration)
	for end := time.Now().Add(time.Minute); !r.enough() && time.Now().Before(end); { // a busy machine does less in the same time
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	tasks.Wait()
	if s := r.broken.Load(); s != nil {
		t.Fatal(*s)
	}
	require.True(t, r.enough(), "only %d viewers saw %d pictures", r.watched.Load(), r.frames.Load())
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("goroutines left:\n%s", buf[:runtime.Stack(buf, true)])
		}
	}
	t.Logf("%d viewers saw %d pictures", r.watched.Load(), r.frames.Load())
}

// enough was seen to say anything.
func (r *run) enough() bool { return r.watched.Load() > viewers && r.frames.Load() > 100 }

func name(i int) id.Stream { return id.Stream(fmt.Sprintf("cam%d", i)) }

// look prints what the process holds and fails if it grows: heap after a collection, compared between the first and the last third.
func (r *run) look(total time.Duration) {
	every := max(total/12, time.Second)
	var heaps []uint64
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(total); time.Now().Before(end) && r.broken.Load() == nil; {
		<-tick.C
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heaps = append(heaps, m.HeapAlloc)
		r.t.Logf("heap %.1f MiB, %d goroutines, %d viewers so far, %d pictures", float64(m.HeapAlloc)/(1<<20), runtime.NumGoroutine(), r.watched.Load(), r.frames.Load())
	}
	if total < 5*time.Minute || len(heaps) < 9 {
		return // rings and pools still fill
	}
	third := len(heaps) / 3
	if first, last := mean(heaps[third:2*third]), mean(heaps[2*third:]); last > first*1.15 {
		r.fail("memory grew from %.1f to %.1f MiB", first/(1<<20), last/(1<<20))
	}
}

func mean(values []uint64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return sum / float64(len(values))
}

func (r *run) fail(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	r.broken.CompareAndSwap(nil, &s)
}

// flap makes something go wrong with some camera, and right again.
func (r *run) flap(ctx context.Context) {
	faults := []camera.Fault{{Stop: true}, {Freeze: true}, {Drop: 0.2}, {Jump: 3600}, {Clip: "lake"}, {Clip: "river"}, {NoKeyframes: true}, {}}
	for pause(ctx, 300*time.Millisecond) {
		r.farm.Camera(rand.IntN(cameras)).Set(faults[rand.IntN(len(faults))])
	}
	for i := range cameras {
		r.farm.Camera(i).Set(camera.Fault{})
	}
}

// churn watches one camera after another.
func (r *run) churn(ctx context.Context) {
	for pause(ctx, time.Second) {
		st, _ := r.sfu.Stream(name(rand.IntN(cameras)))
		r.watch(ctx, st)
	}
}

func (r *run) watch(ctx context.Context, st *sfu.Stream) {
	release := st.Hold("webrtc")
	defer release()
	check := &mediatest.Checker{Kind: "video", Lossy: true} // a busy machine's sockets overflow; order and time must hold all the same
	cfg := *r.cert
	cfg.Verify, cfg.OnPacket, cfg.REMB = 1, check.Packet, true
	if rand.IntN(4) == 0 { // whom estimators make fall and rise
		cfg.Loss, cfg.Delay, check.Late = 0.3*rand.Float64(), rand.N(100*time.Millisecond), true
	}
	cfg.Exchange = func(_ context.Context, offer string) (string, error) {
		v, err := r.sfu.Answer(sfu.ViewerOptions{Offer: offer})
		if err != nil {
			return "", err
		}
		v.Slots[0].Bind(st, "")
		return v.Answer, nil
	}
	dial, cancel := context.WithTimeout(ctx, 30*time.Second) // under the race detector on a busy machine
	defer cancel()
	p, err := peer.Dial(dial, cfg)
	if err != nil {
		if ctx.Err() == nil && cfg.Loss == 0 { // a third of a handshake's datagrams may be too many
			r.fail("%s: a viewer could not join: %v", st.Name, err)
		}
		return
	}
	r.watched.Add(1)
	stay, stop := context.WithTimeout(ctx, rand.N(8*time.Second))
	defer stop()
	p.Run(stay)
	_, frames := check.Seen()
	r.frames.Add(int64(frames))
	if err := check.Err(); err != nil {
		r.fail("%s: %v", st.Name, err)
	}
	if p.Rejected() > 0 {
		r.fail("%s: %d packets failed authentication", st.Name, p.Rejected())
	}
}

// pause waits a random time around d; false when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
