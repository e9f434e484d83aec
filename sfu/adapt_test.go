package sfu_test

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/mediatest"
	"watershed/sfu/peer"
)

// simulcast publishes two layers of one camera at its pace until the test ends.
func simulcast(t *testing.T, st *sfu.Stream) {
	t.Helper()
	session, writers, err := st.Begin(sfu.SessionOptions{Pushed: true, Tracks: []sfu.TrackSpec{{Label: "high", Config: h264}, {Label: "low", Config: h264}}})
	require.NoError(t, err)
	high := &source{t: t, session: session, writer: writers[0], clip: mediatest.Clip(t, "river")}
	low := &source{t: t, session: session, writer: writers[1], clip: mediatest.Clip(t, "coast")}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		began := time.Now()
		for {
			select {
			case <-tick.C:
				pts := time.Since(began).Milliseconds() * 90 // a busy machine leaves ticks out
				high.pts, low.pts = pts, pts
				high.write(1)
				low.write(1)
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		session.Close(errors.New("test over"))
	})
}

// TestLayerFollowsThePath lets a viewer's path shrink from 4 Mb/s to 600 kb/s and recover. How fast it goes is for `make bench`; here it must
// happen, and the stream must stay what a decoder takes.
func TestLayerFollowsThePath(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	simulcast(t, st)
	path := mediatest.NewPath(t, s.Port().Conns()[0].LocalAddr(), 20*time.Millisecond)
	path.SetRate(4e6)
	check, screen := &mediatest.Checker{Kind: "video", Lossy: true}, &mediatest.Screen{}
	var frames atomic.Int64
	_, v := watch(t, s, st, peer.Config{
		Verify: 1, REMB: true, Route: func(netip.AddrPort) netip.AddrPort { return path.Addr() },
		OnPacket: func(p peer.Packet) {
			check.Packet(p)
			screen.Packet(p)
			if p.Header.Marker {
				frames.Add(1)
			}
		},
	})
	on := func(label string) func() bool {
		return func() bool { l := v.Slots[0].Layer(); return l != nil && l.Label == label }
	}
	eventually(t, on("high"), "did not start on the best layer")
	eventually(t, func() bool { return frames.Load() > 100 }, "no pictures")
	path.SetRate(600e3)
	began := time.Now()
	eventually(t, on("low"), "still on the high layer")
	t.Logf("down after %v", time.Since(began))
	fell := began
	seen := frames.Load()
	eventually(t, func() bool { return frames.Load() > seen+50 }, "no pictures of the low layer")
	t.Logf("longest stall %v", screen.Stall(fell, time.Now()))
	require.True(t, on("low")(), "went up on a path that does not carry it")
	path.SetRate(4e6)
	began = time.Now()
	// A probe goes well on a path that carries it, unless the machine keeps the packets waiting; a failed one is repeated after seconds.
	within(t, 2*time.Minute, on("high"), "did not come back up")
	t.Logf("up after %v", time.Since(began))
	seen = frames.Load()
	eventually(t, func() bool { return frames.Load() > seen+100 }, "no pictures of the high layer")
	t.Logf("longest stall %v", screen.Stall(began, time.Now()))
	require.NoError(t, check.Err())
}

// TestWhoOnlyLosesGetsTheSmallLayer: repeats do not help whose path loses a third of everything, so there are few, and less to lose.
func TestWhoOnlyLosesGetsTheSmallLayer(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	simulcast(t, st)
	path := mediatest.NewPath(t, s.Port().Conns()[0].LocalAddr(), 10*time.Millisecond)
	check := &mediatest.Checker{Kind: "video", Lossy: true}
	p, v := watch(t, s, st, peer.Config{
		Verify: 1, REMB: true, Route: func(netip.AddrPort) netip.AddrPort { return path.Addr() }, OnPacket: check.Packet,
	})
	on := func(label string) func() bool {
		return func() bool { l := v.Slots[0].Layer(); return l != nil && l.Label == label }
	}
	eventually(t, on("high"), "did not start on the best layer")
	eventually(t, func() bool { _, f := check.Seen(); return f > 100 }, "no pictures")
	path.SetLoss(1.0 / 3)
	eventually(t, on("low"), "still on the high layer")
	_, seen := check.Seen()
	eventually(t, func() bool { _, f := check.Seen(); return f > seen+20 }, "no pictures of the low layer")
	require.Positive(t, p.Tracks[0].NACKs.Load())
	require.NoError(t, check.Err())
}

func TestAskedForLayerStays(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	simulcast(t, st)
	check := &mediatest.Checker{Kind: "video", Lossy: true}
	_, v := watch(t, s, st, peer.Config{Verify: 1, OnPacket: check.Packet})
	for _, label := range []string{"low", "high", "low"} {
		v.Slots[0].Bind(st, label)
		eventually(t, func() bool { l := v.Slots[0].Layer(); return l != nil && l.Label == label }, "not on %s", label)
		_, seen := check.Seen()
		eventually(t, func() bool { _, f := check.Seen(); return f > seen+10 }, "no pictures of %s", label)
	}
	v.Slots[0].Bind(st, "")
	eventually(t, func() bool { l := v.Slots[0].Layer(); return l != nil && l.Label == "high" }, "not back on the best")
	v.Slots[0].Hint(sfu.Hint{Height: 300})
	eventually(t, func() bool { l := v.Slots[0].Layer(); return l != nil && l.Label == "low" }, "a small element still gets the large layer")
	require.NoError(t, check.Err())
}
