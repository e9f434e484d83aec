package hlsbridge

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/archive"
	"watershed/hlsbridge/cmaf"
	"watershed/sfu"
	"watershed/sfu/media"
)

// recorded is a studio whose stream was recorded for three GOPs and some parts.
func recorded(t *testing.T) (s *studio, dir string) {
	t.Helper()
	dir = t.TempDir()
	s = newStudio(t, func(c *Config) { c.Recordings = dir })
	s.sfu.Declare("cam", sfu.Spec{Public: true, Record: true})
	src, open := began(t, s, true)
	src.send(100)
	s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=1", open+1))
	require.Eventually(t, func() bool {
		a, err := s.bridge.archive("cam", false)
		require.NoError(t, err)
		if a == nil {
			return false
		}
		spans, err := a.Between(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		require.NoError(t, err)
		return len(spans) > 0 && len(spans[0].Segments[0]) >= 2
	}, 10*time.Second, time.Millisecond)
	return s, dir
}

func TestRecordingIsPlayable(t *testing.T) {
	s, _ := recorded(t)
	list := s.fetch("vod.m3u8?from=" + strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10) + "&to=" + strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
	require.Equal(t, http.StatusOK, list.StatusCode, list.body)
	media := lastOf(strings.Split(strings.TrimSpace(list.body), "\n"))
	vod := s.fetch(media)
	require.Contains(t, vod.body, "#EXT-X-ENDLIST")
	require.Contains(t, vod.body, "#EXT-X-PLAYLIST-TYPE:VOD")
	ffmpeg(t, s.server.URL+"/hls/cam/"+strings.TrimPrefix(list.Request.URL.RequestURI(), "/hls/cam/"))

	dvr := s.fetch("dvr-v0.m3u8").body
	require.NotContains(t, dvr, "ENDLIST")
	require.Len(t, lines(dvr, "#EXTINF:"), 2)

	clip := s.fetch("clip.mp4?from=" + strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10) + "&to=" + strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
	require.Equal(t, http.StatusOK, clip.StatusCode, clip.body)
	require.Len(t, clip.body, int(clip.ContentLength))
	require.Equal(t, 200, decode(t, []byte(clip.body), "v"))
	require.InDelta(t, 8*48000/1024, decode(t, []byte(clip.body), "a"), 2)

	for _, bad := range []string{"vod.m3u8", "vod.m3u8?from=yesterday", "clip.mp4?from=10&to=5", "vod.m3u8?from=0&to=1000000000"} {
		require.Equal(t, http.StatusBadRequest, s.fetch(bad).StatusCode, bad)
	}
	for _, bad := range []string{"vod.m3u8?from=100&to=200", "rec/1/v0/5-5.m4s", "rec/9/v0/init.mp4", "rec/1/../init.mp4", "rec/1/v0/take.json"} {
		require.Equal(t, http.StatusNotFound, s.fetch(bad).StatusCode, bad)
	}
}

func ffmpeg(t *testing.T, url string) {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "this test decodes with FFmpeg: apt install ffmpeg")
	out, err := exec.Command(path, "-v", "error", "-xerror", "-i", url, "-f", "null", "-").CombinedOutput()
	require.NoError(t, err, string(out))
}

// A process that dies in the middle of a write leaves every chunk that it had written.
func TestRecordingOutlivesCrash(t *testing.T) {
	_, dir := recorded(t)
	take := filepath.Join(dir, "cam", "1")
	video, err := os.ReadFile(filepath.Join(take, "v0.mp4"))
	require.NoError(t, err)
	index, err := os.ReadFile(filepath.Join(take, "v0.idx"))
	require.NoError(t, err)
	for range 50 {
		crashed := t.TempDir()
		copyTake(t, take, filepath.Join(crashed, "1"))
		initSize := headerOf(t, crashed).Tracks[0].InitSize
		cut := int(initSize) + rand.IntN(len(video)-int(initSize))
		require.NoError(t, os.WriteFile(filepath.Join(crashed, "1", "v0.mp4"), video[:cut], 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(crashed, "1", "v0.idx"), index[:rand.IntN(len(index)+1)], 0o600))
		a, err := archive.Open(crashed, archive.Options{})
		require.NoError(t, err)
		whole, ticks := cmaf.Whole(video[initSize:cut])
		total, length := int64(0), time.Duration(0)
		spans, err := a.Between(time.Unix(0, 0), time.Now().Add(time.Hour))
		require.NoError(t, err)
		for _, span := range spans {
			for _, x := range span.Segments[0] {
				total, length = total+x.Size, length+x.Duration
			}
		}
		require.EqualValues(t, whole, total)
		require.LessOrEqual(t, length, time.Duration(ticks)*time.Second/90000+time.Millisecond)
	}
}

func headerOf(t *testing.T, dir string) archive.Header {
	t.Helper()
	a, err := archive.Open(dir, archive.Options{})
	require.NoError(t, err)
	spans, err := a.Between(time.Unix(0, 0), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.NotEmpty(t, spans)
	return spans[0].Header
}

func copyTake(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
}

// Recording that is switched on begins with the next segment, and records nothing twice.
func TestRecordingBeginsWhenItIsSwitchedOn(t *testing.T) {
	s, b := nodeless(t.TempDir())
	var err error
	var since []int64 // the newest segment before each switch
	before := int64(0)
	r := &recorder{shelf: b.shelf("cam"), log: slog.New(slog.DiscardHandler)}
	c := &shot{pictures: encode(t, media.H264, 1000, 25, "160x90", "keyint=50:min-keyint=50:bframes=0"), fps: 25, asc: []byte{0x11, 0x90}}
	c.each = func(g *generation) {
		newest := g.views[0].segments[len(g.views[0].segments)-1]
		on := newest.start/(8*time.Second)%2 == 1 // off, on, off, on, off
		if on && !r.wanted {
			since = append(since, before)
		}
		before = newest.wall
		err = b.recordOnce(r, s.Declare("cam", sfu.Spec{Record: on}), g)
		require.NoError(t, err)
	}
	c.play(t)
	r.close()
	a, err := b.archive("cam", false)
	require.NoError(t, err)
	spans, err := a.Between(time.Unix(0, 0), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Len(t, since, 2)
	require.Len(t, spans, 2)
	end := time.Time{}
	for i, span := range spans {
		require.Greater(t, span.Started.UnixNano(), since[i], "what was before it was switched on")
		for _, x := range span.Segments[0] {
			require.False(t, x.Start.Before(end.Add(-time.Millisecond)), "twice")
			end = x.End()
		}
	}
}
