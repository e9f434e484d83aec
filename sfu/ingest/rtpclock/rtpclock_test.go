package rtpclock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var start = time.Unix(1_700_000_000, 0)

func TestPTSOverTheWrap(t *testing.T) {
	tr := New(start).Track(90000)
	ts := ^uint32(0) - 3600
	require.Equal(t, int64(9000), tr.PTS(ts, start.Add(100*time.Millisecond)))
	for i := range int64(5) {
		ts += 3600
		require.Equal(t, 9000+(i+1)*3600, tr.PTS(ts, start))
	}
	require.Equal(t, int64(9000+4*3600), tr.PTS(ts-3600, start), "out of order")
	require.Equal(t, int64(9000+5*3600), tr.PTS(ts, start))
}

// A day of 90 kHz wraps twice.
func TestPTSForADay(t *testing.T) {
	tr := New(start).Track(90000)
	tr.PTS(0xfffffff0, start)
	var got int64
	for i := range uint32(86400) {
		got = tr.PTS(0xfffffff0+(i+1)*90000, start)
	}
	require.Equal(t, int64(86400*90000), got)
}

func TestReportsAlignTracks(t *testing.T) {
	s := New(start)
	video, audio := s.Track(90000), s.Track(48000)
	// The picture of time 0 arrives 120 ms late, the sound of time 0 after 20 ms.
	video.PTS(1000, start.Add(120*time.Millisecond))
	audio.PTS(0xffffff00, start.Add(20*time.Millisecond))
	require.Zero(t, audio.Report(start, 0xffffff00), "the first to report is the reference")
	require.Equal(t, -100*time.Millisecond, video.Report(start.Add(time.Second), 1000+90000))
	require.Equal(t, int64(20*90+90000), video.PTS(1000+90000, start))
	require.Equal(t, start.Add(time.Second), video.Capture(20*90+90000))
	require.Equal(t, start.Add(2*time.Second), audio.Capture(20*48+2*48000))
	require.Zero(t, video.Report(start.Add(time.Hour), 1000+90000), "an absurd clock moves nothing")
}

func TestNTP(t *testing.T) {
	require.Equal(t, time.Unix(0, int64(time.Second)/2), NTP(2208988800<<32|1<<31))
}
