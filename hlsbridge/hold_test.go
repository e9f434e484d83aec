package hlsbridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/conform"
	"watershed/sfu/media"
)

// conforms finds nothing in the playlists that were published.
func conforms(t *testing.T, s *seen) {
	t.Helper()
	for id, versions := range s.lists {
		for _, f := range conform.Lists(id+".m3u8", versions...).Findings {
			t.Errorf("%s: %s: %s", f.Where, f.Text, f.Detail)
		}
	}
}

// A packager that got no processor for longer than a ring lasts goes on behind a gap: no segment is longer than the target.
func TestAPackagerThatWasHeldUp(t *testing.T) {
	usual := encode(t, media.H264, 600, 25, "160x90", "keyint=25:min-keyint=25:bframes=0")
	for _, long := range []time.Duration{1500 * time.Millisecond, 4 * time.Second, 7900 * time.Millisecond, 9 * time.Second} {
		t.Run(long.String(), func(t *testing.T) {
			t.Parallel()
			c := &shot{pictures: usual, fps: 25, held: func(at time.Duration) bool { return at > 9100*time.Millisecond && at < 9100*time.Millisecond+long }}
			conforms(t, c.play(t))
		})
	}
}

// Cameras of few pictures a second: segments are as long as GOPs, and what lies between two pictures is no outage.
func TestSlowCameras(t *testing.T) {
	for _, c := range []struct {
		apart time.Duration
		gop   int
	}{{500 * time.Millisecond, 4}, {time.Second, 2}, {time.Second, 4}, {2 * time.Second, 1}, {2500 * time.Millisecond, 1}, {3 * time.Second, 2}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			x := fmt.Sprintf("keyint=%d:min-keyint=%d:bframes=0", c.gop, c.gop)
			s := (&shot{pictures: encode(t, media.H264, 40, 1, "160x90", x), fps: 1, when: func(i int) time.Duration { return time.Duration(i) * c.apart }}).play(t)
			conforms(t, s)
			require.Equal(t, gapsAhead, s.gaps)
			require.Contains(t, s.index, "#EXT-X-INDEPENDENT-SEGMENTS")
			for _, x := range s.newest.views[0].segments[gapsAhead:] {
				require.True(t, x.parts[0].independent, "segment %d", x.msn)
				if x.complete {
					require.InDelta(t, float64(x.duration), float64(max(1, (2*time.Second+time.Duration(c.gop)*c.apart-1)/(time.Duration(c.gop)*c.apart))*time.Duration(c.gop)*c.apart), 1e6)
				}
			}
		})
	}
}

// Sound's segments may end after the pictures': what a playlist rounds them to is within the target all the same.
func TestSoundFitsTheTarget(t *testing.T) {
	for target := range longestTarget {
		p := &plan{target: target + 1}
		require.LessOrEqual(t, (p.longest() + soundFrame).Round(time.Second), p.targetDuration())
	}
	for gop := 100 * time.Millisecond; gop < 10*time.Second; gop += 10 * time.Millisecond {
		for _, frame := range []time.Duration{time.Second / 50, 200 * time.Millisecond, 500 * time.Millisecond, time.Second} {
			p := newPlan(frame, gop, 350*time.Millisecond, 2*time.Second)
			require.LessOrEqual(t, p.length+100*time.Millisecond, p.longest(), "GOP %v of %v", gop, frame)
		}
	}
}
