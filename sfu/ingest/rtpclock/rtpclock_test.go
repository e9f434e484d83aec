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

// pair is a source whose picture of time 0 arrives 120 ms late, and whose sound of time 0 arrives after 20.
func pair() (video, audio *Track) {
	s := New(start)
	video, audio = s.Track(90000), s.Track(48000)
	video.PTS(1000, start.Add(120*time.Millisecond))
	audio.PTS(0xffffff00, start.Add(20*time.Millisecond))
	return video, audio
}

// reportAt has a track report its own second, by the source's clock that is so far off.
func reportAt(t *Track, second int, off time.Duration) time.Duration {
	first := uint32(1000)
	if t.rate == 48000 {
		first = 0xffffff00
	}
	at := start.Add(time.Duration(second) * time.Second)
	return t.Report(at.Add(off), first+uint32(second*t.rate), at.Add(20*time.Millisecond))
}

func TestReportsAlignTracks(t *testing.T) {
	video, audio := pair()
	require.Zero(t, reportAt(audio, 0, 0), "the first to report is the reference")
	require.Equal(t, -100*time.Millisecond, reportAt(video, 1, 0))
	require.Equal(t, int64(20*90+90000), video.PTS(1000+90000, start))
	require.Equal(t, start.Add(time.Second), video.Capture(20*90+90000))
	require.Equal(t, start.Add(2*time.Second), audio.Capture(20*48+2*48000))
	for i := 2; i < 10; i++ {
		require.Zero(t, reportAt(audio, i, 0))
		require.Zero(t, reportAt(video, i, 0))
	}
}

// A clock that is years off aligns as well as a right one, and what it calls now is when it arrives.
func TestWrongClocks(t *testing.T) {
	for name, off := range map[string]time.Duration{"1970": -53 * 365 * 24 * time.Hour, "an hour ahead": time.Hour, "time zone": -8 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			video, audio := pair()
			require.Zero(t, reportAt(audio, 0, off))
			require.Equal(t, -100*time.Millisecond, reportAt(video, 1, off))
			require.Equal(t, start.Add(1020*time.Millisecond), video.Capture(20*90+90000))
			require.Zero(t, reportAt(audio, 5, off))
			require.Zero(t, reportAt(video, 6, off))
			require.Equal(t, start.Add(5020*time.Millisecond), audio.Capture(20*48+5*48000))
		})
	}
}

// A camera sets its clock while it runs: whichever track reports first thereafter, nothing moves.
func TestClockIsSet(t *testing.T) {
	for name, by := range map[string]time.Duration{"a little": 500 * time.Millisecond, "back": -300 * time.Millisecond, "by years": 50 * 365 * 24 * time.Hour} {
		for _, videoFirst := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				video, audio := pair()
				reportAt(audio, 0, 0)
				reportAt(video, 1, 0)
				for i := 2; i < 8; i++ {
					first, second := audio, video
					if videoFirst {
						first, second = video, audio
					}
					require.Zero(t, reportAt(first, i, by))
					require.Zero(t, reportAt(second, i, by))
				}
			})
		}
	}
}

// Tracks whose clocks differ by more than can be are left where they arrived; a drift is followed when two reports agree.
func TestTracksDisagree(t *testing.T) {
	video, audio := pair()
	for i := range 5 {
		require.Zero(t, reportAt(audio, i, 0))
		require.Zero(t, reportAt(video, i, time.Hour))
	}
	video, audio = pair()
	reportAt(audio, 0, 0)
	reportAt(video, 1, 0)
	reportAt(audio, 2, 0)
	require.Zero(t, reportAt(video, 3, 15*time.Millisecond), "once may be jitter")
	reportAt(audio, 4, 0)
	require.Equal(t, 15*time.Millisecond, reportAt(video, 5, 15*time.Millisecond))
	require.Zero(t, reportAt(video, 6, 15*time.Millisecond))
}

func TestNTP(t *testing.T) {
	require.Equal(t, time.Unix(0, int64(time.Second)/2), NTP(2208988800<<32|1<<31))
}
