package hlsbridge

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/media"
)

// copier is a converter whose rungs are the source's own pictures, late as those of an encoder; it can lose one rung.
type copier struct{ lost atomic.Int32 }

func (c *copier) CanConvert(*media.Config, media.Codec) error { return nil }
func (c *copier) Convert(ctx context.Context, _ *sfu.Layer, _ *sfu.Writer) error {
	<-ctx.Done()
	return ctx.Err()
}

func (c *copier) Ladder(ctx context.Context, from *sfu.Layer, to []*sfu.Writer) error {
	n, _ := from.Ring().Keyframe()
	for r := from.Ring().ReadFrom(n); ; {
		f, err := r.Next(ctx)
		if err != nil {
			return err
		}
		for i, w := range to {
			if c.lost.Load() != int32(i+1) {
				w.Write(sfu.Unit{Parts: f.Units, PTS: f.PTS, DTS: f.DTS, HasDTS: true, Arrival: time.Unix(0, f.Server)})
			}
		}
	}
}

// Rungs begin segments where the source does; one that is lost gets gaps while the others go on, and comes back with a segment.
func TestLadder(t *testing.T) {
	c := &copier{}
	s := newStudioWith(t, c, nil)
	s.lag = 5 * time.Second / 4 // while a rung is waited for
	s.sfu.Declare("cam", sfu.Spec{Public: true, Ladder: []string{"240p", "180p"}})
	src := s.connect("lake", true)
	src.send(115)
	index := s.fetch("index.m3u8")
	require.Equal(t, 200, index.StatusCode, index.body)
	require.Equal(t, 3, strings.Count(index.body, "#EXT-X-STREAM-INF"), index.body)
	manifest := string(s.bridge.packager(s.stream).gen.Load().manifest.plain)
	require.Equal(t, 2, strings.Count(manifest, "<AdaptationSet "), "DASH players switch within a set\n"+manifest)
	require.Equal(t, 4, strings.Count(manifest, "<Representation "))
	open := s.bridge.packager(s.stream).gen.Load().views[0].lastMSN
	src.send(106)
	for _, v := range []string{"v0", "v1", "v2", "a0"} {
		list := s.settled(v, fmt.Sprintf("_HLS_msn=%d&_HLS_part=0", open+1))
		checkPlaylist(t, list)
		require.Contains(t, list, fmt.Sprintf("/%s/%d.m4s", v, open))
	}
	src.send(3) // as many as a part has: 221 were sent, and the segment's first 21 fill seven parts
	s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=7", open+1))
	for _, v := range s.bridge.packager(s.stream).gen.Load().views[:3] {
		require.Equal(t, [2]int{int(open + 1), 7}, [2]int{int(v.lastMSN), v.lastPart}, "%s is published with the source's", v.id)
	}
	c.lost.Store(1)
	src.send(97)
	list := s.settled("v1", fmt.Sprintf("_HLS_msn=%d&_HLS_part=15", open+1))
	checkPlaylist(t, list)
	require.Contains(t, list, "GAP=YES")
	list = s.settled("v2", fmt.Sprintf("_HLS_msn=%d&_HLS_part=0", open+2))
	require.NotContains(t, list[strings.Index(list, "#EXT-X-MAP"):], "GAP=YES")

	c.lost.Store(0)
	src.send(200)
	list = s.settled("v1", fmt.Sprintf("_HLS_msn=%d&_HLS_part=0", open+4))
	checkPlaylist(t, list)
	require.NotContains(t, list[strings.LastIndex(list, "#EXT-X-PROGRAM-DATE-TIME"):], "GAP=YES")
}

// A rung that has shown nothing when the multivariant playlist is first asked for has the rate that its size makes likely.
func TestAnEmptyRungIsNotFree(t *testing.T) {
	rung := func(id string, w, h int) *rendition {
		r, err := newRendition("e", id, nil, &media.Config{Codec: media.H264, ClockRate: 90000, Width: w, Height: h, SPS: loadClip(t, "lake").sps, PPS: loadClip(t, "lake").pps})
		require.NoError(t, err)
		r.frame = 40 * time.Millisecond
		return r
	}
	lead, small := rung("v0", 1280, 720), rung("v1", 640, 360)
	lead.segments = []*segment{{duration: 2 * time.Second, size: 500_000, complete: true}}
	list := string(index(newPlan(40*time.Millisecond, 2*time.Second, 350*time.Millisecond, 2*time.Second), []*rendition{lead, small}))
	require.Contains(t, list, "BANDWIDTH=2000000,AVERAGE-BANDWIDTH=2000000")
	require.Contains(t, list, "BANDWIDTH=500000,AVERAGE-BANDWIDTH=500000")
}
