package timeline

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var origin = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

const rate = 90000

func TestSourceClocksOfAnyZeroLandAtTheWallClock(t *testing.T) {
	for _, zero := range []int64{0, 1<<32 - 100, 1<<33 - 100, -5000, 1 << 48} {
		line := New(origin, 0)
		c := line.Session().Clock(rate)
		at := origin.Add(10 * time.Second)
		for i := range int64(100) {
			got := c.Map(zero+i*3600, zero+i*3600, at)
			require.EqualValues(t, 10*rate+i*3600, got.DTS)
			require.False(t, got.Jump)
			at = at.Add(40 * time.Millisecond)
		}
	}
}

func TestTracksOfOneSourceStayInSync(t *testing.T) {
	line := New(origin, 0)
	s := line.Session()
	video, audio := s.Clock(rate), s.Clock(48000)
	v := video.Map(0, 0, origin.Add(time.Second))
	a := audio.Map(48000/2, 48000/2, origin.Add(1700*time.Millisecond)) // half a second later, and late
	require.Equal(t, 500*time.Millisecond, Duration(a.PTS, 48000)-Duration(v.PTS, rate))
}

func TestNeverGoesBackOverReconnects(t *testing.T) {
	line := New(origin, (1<<32-rate)/rate*time.Second) // a second before RTP's wrap
	now, last := origin, int64(-1)
	for range 50 {
		c := line.Session().Clock(rate)
		zero := rand.Int64N(1 << 33)
		for i := range int64(30) {
			got := c.Map(zero+i*3600, zero+i*3600, now)
			require.Greater(t, got.DTS, last)
			last = got.DTS
			now = now.Add(time.Duration(rand.IntN(60)) * time.Millisecond)
		}
	}
}

func TestJumps(t *testing.T) {
	for name, c := range map[string]struct {
		by   int64 // ticks, beside the frame's own time
		jump bool
	}{
		"back a frame (reordering)":   {-3600, false},
		"back a little over a second": {-100_000, true},
		"ahead of the wall clock":     {400_000, true},
		"ahead by a GOP sent at once": {180_000, false},
		"across the 33-bit wrap":      {-(1 << 33), true},
	} {
		t.Run(name, func(t *testing.T) {
			clock := New(origin, 0).Session().Clock(rate)
			before := clock.Map(1<<40, 1<<40, origin)
			got := clock.Map(1<<40+3600+c.by, 1<<40+3600+c.by, origin.Add(40*time.Millisecond))
			require.Equal(t, c.jump, got.Jump)
			require.Greater(t, got.DTS, before.DTS)
			if c.jump {
				require.InDelta(t, float64(before.DTS+3600), float64(got.DTS), 3700, "goes on about where it was")
			}
		})
	}
}

func TestAStalledSourceDoesNotJump(t *testing.T) {
	clock := New(origin, 0).Session().Clock(rate)
	clock.Map(0, 0, origin)
	got := clock.Map(3600, 3600, origin.Add(20*time.Second)) // the network held it back
	require.False(t, got.Jump)
	require.EqualValues(t, 3600, got.DTS)
}

func TestServerTimeIgnoresJitterAndFollowsDrift(t *testing.T) {
	clock := New(origin, 0).Session().Clock(rate)
	const frames = 25 * 60 * 10
	var worst time.Duration
	for i := range int64(frames) {
		due := origin.Add(time.Duration(i) * 40004 * time.Microsecond) // the camera's clock is slow by 100 ppm
		got := clock.Map(i*3600, i*3600, due.Add(time.Duration(rand.IntN(30))*time.Millisecond))
		if i > 1000 {
			worst = max(worst, got.Server.Sub(due).Abs())
		}
	}
	require.Less(t, worst, 30*time.Millisecond)
}

func TestConversionsAreExact(t *testing.T) {
	for _, r := range []int{8000, 44100, 48000, 90000} {
		for _, v := range []int64{0, 1, -1, 1<<32 - 1, 1 << 33, 1 << 45} {
			require.Equal(t, v, Ticks(Duration(v, r), r), "rate %d", r)
		}
	}
}
