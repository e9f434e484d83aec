package hlsbridge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
	"watershed/sfu/ring"
)

// A rung that is there stays where a segment begins without a keyframe of the source's, which no encoder answers with one; one that was away comes back with a
// keyframe only.
func TestRungsOfALongGOP(t *testing.T) {
	c := loadClip(t, "coast")
	cfg := &media.Config{Codec: media.H264, ClockRate: 90000, SPS: c.sps, PPS: c.pps, Width: 640, Height: 360}
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	e := &epoch{name: "e", plan: newPlan(40*time.Millisecond, 0, 120*time.Millisecond, 2*time.Second), patience: awayAfter, render: newRenderer(), seen: now, head: 100, msn: 99}
	e.window = e.plan.window(0)
	var rings []*ring.Ring
	for _, id := range []string{"v0", "v1", "v2"} {
		l := ring.New(ring.DefaultLimits, 0)
		r, err := newRendition(e.name, id, l, cfg)
		require.NoError(t, err)
		r.pace(40*time.Millisecond, e.plan)
		r.absent = id != "v0"
		r.reader = l.ReadFrom(1)
		rings, e.renditions = append(rings, l), append(e.renditions, r)
	}
	for i := range 30 * 25 { // of one keyframe
		for k, l := range rings {
			if k == 2 && i >= 300 && i < 400 {
				continue
			}
			at := int64(i) * 3600
			f := &media.Frame{PTS: at, DTS: at, Server: now.UnixNano() + int64(i)*int64(40*time.Millisecond), Keyframe: i == 0, Config: cfg, Units: [][]byte{{0x41, 1}}, Size: 2}
			l.Append(f)
			if i == 0 && k == 0 {
				e.pad(f)
			}
		}
		e.advance(now.Add(time.Duration(i) * 40 * time.Millisecond))
	}
	require.False(t, e.plan.independent)
	for k, r := range e.renditions {
		require.Len(t, r.segments, gapsAhead+2, r.id)
		for i, s := range r.segments[gapsAhead:] {
			require.Equal(t, k == 2 && i == 1, s.gap, "%s %d", r.id, s.msn)
		}
		require.Equal(t, k == 2, r.absent, r.id)
	}
}
