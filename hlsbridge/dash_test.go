package hlsbridge

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/media"
)

// mpd is what a test reads of a manifest.
type mpd struct {
	AST    time.Time   `xml:"availabilityStartTime,attr"`
	Period []mpdPeriod `xml:"Period"`
}

type mpdPeriod struct {
	Start    string `xml:"start,attr"`
	Duration string `xml:"duration,attr"`
	Sets     []struct {
		Representation []struct {
			ID       string `xml:"id,attr"`
			Codecs   string `xml:"codecs,attr"`
			Width    int    `xml:"width,attr"`
			Template struct {
				First    uint64  `xml:"startNumber,attr"`
				Last     uint64  `xml:"endNumber,attr"`
				Duration float64 `xml:"duration,attr"`
				Scale    float64 `xml:"timescale,attr"`
				Init     string  `xml:"initialization,attr"`
				Early    string  `xml:"availabilityTimeOffset,attr"`
			} `xml:"SegmentTemplate"`
		}
	} `xml:"AdaptationSet"`
}

// length that the period's template gives a segment.
func (p *mpdPeriod) length() time.Duration {
	x := &p.Sets[0].Representation[0].Template
	return time.Duration(x.Duration / x.Scale * float64(time.Second))
}

func isoTime(t *testing.T, s string) time.Duration {
	t.Helper()
	sec, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(s, "PT"), "S"), 64)
	require.NoError(t, err)
	return time.Duration(math.Round(sec*1e6)) * time.Microsecond
}

func readMPD(t *testing.T, g *generation) (m mpd) {
	t.Helper()
	require.NoError(t, xml.Unmarshal(g.manifest.plain, &m))
	return m
}

// A camera whose clock is slow, or fast, by a percent: what a DASH client computes of the newest segment stays by the wall clock, and periods begin one behind
// the other.
func TestDASHFollowsTheWallClock(t *testing.T) {
	pictures := encode(t, media.H264, 1500, 25, "160x90", "keyint=50:min-keyint=50:bframes=0")
	for name, speed := range map[string]float64{"slow": 1.01, "fast": .99} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			periods := map[string]bool{}
			start, wall := time.Duration(-1), int64(0) // of the first segment, when nothing had drifted yet
			c := &shot{
				pictures: pictures, fps: 25,
				when:  func(i int) time.Duration { return time.Duration(float64(i) * speed * float64(40*time.Millisecond)) },
				stamp: func(i int, _ time.Duration) time.Duration { return time.Duration(i) * 40 * time.Millisecond },
			}
			c.each = func(g *generation) {
				m := readMPD(t, g)
				p := &m.Period[len(m.Period)-1]
				periods[p.Start] = true
				newest := g.views[0].segments[len(g.views[0].segments)-1]
				if start < 0 {
					start, wall = newest.start, newest.wall
				}
				told := m.AST.Add(isoTime(t, p.Start)).Add(time.Duration(newest.msn-p.Sets[0].Representation[0].Template.First) * p.length())
				came := time.Unix(0, wall).Add(time.Duration(float64(newest.start-start) * speed))
				require.InDelta(t, 0, told.Sub(came).Seconds(), .36, "200 ms, and what the server's time needs to follow so fast a drift")
				for i := range m.Period[1:] {
					require.LessOrEqual(t, isoTime(t, m.Period[i].Start)+isoTime(t, m.Period[i].Duration), isoTime(t, m.Period[i+1].Start)+time.Millisecond)
				}
			}
			c.play(t)
			require.Greater(t, len(periods), 2)
		})
	}
}

// Each period of a manifest describes the renditions as they were in it, those that come to it late, too.
func TestDASHPeriodsAreDescribed(t *testing.T) {
	s := newStudioWith(t, &copier{}, nil)
	s.lag = 5 * time.Second / 4
	s.sfu.Declare("cam", sfu.Spec{Public: true, Ladder: []string{"240p"}})
	_, open := began(t, s, false)
	src := s.connect("coast", false)
	src.send(40)
	s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=6", open+1))
	list := s.settled("v1", fmt.Sprintf("_HLS_msn=%d&_HLS_part=6", open+1))
	m := readMPD(t, s.bridge.packager(s.stream).gen.Load())
	require.Len(t, m.Period, 2)
	maps := lines(list, "#EXT-X-MAP:")
	require.Len(t, maps, 2)
	for i, width := range []int{1280, 640} {
		p := m.Period[i].Sets[0].Representation
		require.Len(t, p, 2)
		for _, r := range p {
			require.Equal(t, width, r.Width, "%s in period %d", r.ID, i)
		}
		require.Equal(t, attribute(maps[i], "URI"), p[1].Template.Init)
		require.Equal(t, i == 0, p[0].Template.Early == "", "what has ended is there")
	}
	require.Equal(t, m.Period[1].Sets[0].Representation[0].Template.First, m.Period[0].Sets[0].Representation[0].Template.Last+1)
}

// A client counts the segments of a period by its duration, and finds those that are in it.
func TestDASHPeriodsEndWhereTheyDo(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name   string
		p      period
		after  *period
		lasts  time.Duration
		counts int
	}{
		{"as long as it says", period{msn: 5, next: 8, start: 10 * s, end: 16 * s, at: 10 * s, closed: true}, nil, 6 * s, 3},
		{"then nothing, and late", period{msn: 5, next: 8, start: 10 * s, end: 17 * s, at: 10 * s, closed: true}, nil, 6 * s, 3},
		{"then nothing, and early", period{msn: 5, next: 8, start: 10 * s, end: 15 * s, at: 10 * s, closed: true}, nil, 5 * s, 3},
		{"its clock was fast", period{msn: 5, next: 8, start: 10 * s, end: 16 * s, at: 10 * s}, &period{at: 158 * s / 10}, 58 * s / 10, 3},
		{"its clock was slow", period{msn: 5, next: 8, start: 10 * s, end: 16 * s, at: 10 * s}, &period{at: 162 * s / 10}, 6 * s, 3},
	} {
		d := c.p.lasts(2*s, c.after)
		require.Equal(t, c.lasts, d, c.name)
		require.Equal(t, c.counts, int((d+2*s-1)/(2*s)), c.name)
	}
}
