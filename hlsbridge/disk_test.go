package hlsbridge

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/archive"
	"watershed/sfu"
)

// smallDisk is a folder with room for so many bytes, until the test ends. It skips the test where nothing can be mounted.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("a small disk is a tmpfs, and only root may mount one: run the tests as root")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small disk is a tmpfs, and this system lets not even root mount one (containers often do not): %s", out)
	}
	t.Cleanup(func() {
		out, err := exec.Command("umount", dir).CombinedOutput()
		require.NoError(t, err, string(out))
	})
	return dir
}

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), text)
}

// A full disk ends the recording with an alert. The live stream does not notice, and what was recorded before stays playable.
func TestFullDiskSparesLiveStream(t *testing.T) {
	dir := smallDisk(t, 3<<20) // river has two megabytes each eight seconds
	var alerts journal
	s := newStudio(t, func(c *Config) {
		c.Recordings, c.Log = dir, slog.New(slog.NewTextHandler(&alerts, nil))
	})
	s.sfu.Declare("cam", sfu.Spec{Public: true, Record: true})
	src, _ := began(t, s, true)
	for seconds := 0; !alerts.has("recording failed"); seconds++ {
		require.Less(t, seconds, 60, "the disk was never full")
		src.send(25)
	}
	require.True(t, alerts.has("no space left on device"))
	require.True(t, alerts.has("the live stream goes on"))

	before := s.bridge.packager(s.stream).gen.Load().views[0].lastMSN
	src.send(200)
	for _, track := range []string{"v0", "a0"} {
		r := s.fetch(fmt.Sprintf("%s.m3u8?_HLS_msn=%d", track, before+1))
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.NotContains(t, r.body, "GAP=YES")
	}

	a, err := archive.Open(dir+"/cam", archive.Options{})
	require.NoError(t, err)
	spans, err := a.Between(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.NotEmpty(t, spans)
	require.Len(t, spans[0].Segments, 2)
	for _, segments := range spans[0].Segments {
		require.NotEmpty(t, segments)
		require.Positive(t, segments[0].Size)
	}
	vod := fmt.Sprintf("vod.m3u8?from=%d&to=%d", time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix())
	require.Equal(t, http.StatusOK, s.fetch(vod).StatusCode)
	ffmpeg(t, s.server.URL+"/hls/cam/"+vod)
}

// metric is a line of what the bridge tells Prometheus.
func (s *studio) metric(line string) bool {
	s.t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(s.bridge)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return strings.Contains(rec.Body.String(), line+"\n")
}

// films sends pictures until something holds, a second of them at a time.
func (s *source) films(what string, holds func() bool) {
	s.studio.t.Helper()
	for seconds := 0; !holds(); seconds++ {
		require.Less(s.studio.t, seconds, 200, what)
		s.send(25)
	}
}

// A recording that failed goes on by itself when the disk has room again, and says so.
func TestRecordingGoesOnWhenThereIsRoom(t *testing.T) {
	dir := smallDisk(t, 64<<20) // room for all that is sent here, once the ballast is gone
	var alerts journal
	s := newStudio(t, func(c *Config) {
		c.Recordings, c.Log, c.again = dir, slog.New(slog.NewTextHandler(&alerts, nil)), 5*time.Millisecond
	})
	ballast := filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 62<<20), 0o600))
	s.sfu.Declare("cam", sfu.Spec{Public: true, Record: true})
	src, _ := began(t, s, true)
	src.films("the disk was never full", func() bool { state, _ := s.bridge.Recording(s.stream); return state == "failed" })
	_, why := s.bridge.Recording(s.stream)
	require.Contains(t, why, "no space left on device")
	require.True(t, s.metric(`watershed_recordings{state="failed"} 1`))
	require.True(t, s.metric(`watershed_recordings{state="on"} 0`))

	require.NoError(t, os.Remove(ballast))
	src.films("the recording never went on", func() bool { state, _ := s.bridge.Recording(s.stream); return state == "on" })
	require.True(t, alerts.has("recording goes on"))
	require.True(t, s.metric(`watershed_recordings{state="on"} 1`))
}

// What is too old makes room on a disk that is full to the last byte, the newest take too, and the numbers go on.
func TestFullDiskIsPruned(t *testing.T) {
	dir := smallDisk(t, 1<<20)
	_, b := nodeless(dir)
	for range 3 {
		shelve(t, b, 20*day, 1, 2, "v0")
	}
	f, err := os.Create(filepath.Join(dir, "ballast"))
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Close())

	require.NoError(t, b.pruneOne("cam", time.Now()))
	require.Zero(t, shelved(t, b))
	left, err := os.ReadDir(filepath.Join(dir, "cam"))
	require.NoError(t, err)
	require.Len(t, left, 1, "the numbers")
	_, b = nodeless(dir)
	shelve(t, b, 0, 1, 2, "v0")
	a, err := b.archive("cam", false)
	require.NoError(t, err)
	spans, err := a.Between(time.Unix(0, 0), time.Now())
	require.NoError(t, err)
	require.EqualValues(t, 4, spans[0].Number)
	require.EqualValues(t, 3, spans[0].First)
}

// A folder that cannot be written to is told in words, once, and spares the live stream.
func TestFolderThatCannotBeWrittenTo(t *testing.T) {
	var alerts journal
	file := filepath.Join(t.TempDir(), "recordings") // root may write to any folder, so this is none
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := newStudio(t, func(c *Config) {
		c.Recordings, c.Log, c.again = file, slog.New(slog.NewTextHandler(&alerts, nil)), time.Millisecond
	})
	s.sfu.Declare("cam", sfu.Spec{Public: true, Record: true})
	src, _ := began(t, s, false)
	src.films("nothing was said", func() bool { return alerts.has("recording failed") })
	src.send(50)
	require.True(t, alerts.has("not a directory"))
	require.True(t, alerts.has("the live stream goes on"))
	require.Equal(t, http.StatusOK, s.fetch("v0.m3u8").StatusCode)
	alerts.mu.Lock()
	require.Equal(t, 1, strings.Count(alerts.text.String(), "recording failed"))
	alerts.mu.Unlock()
	require.Contains(t, []int{http.StatusNotFound, http.StatusInternalServerError}, s.fetch("dvr.m3u8").StatusCode)

	require.NoError(t, os.Remove(file))
	src.films("the recording never began", func() bool { state, _ := s.bridge.Recording(s.stream); return state == "on" })
}

// sluggish is a file on a disk that does nothing until it is told to.
type sluggish struct {
	archive.File
	wait func()
}

func (f sluggish) WriteAt(b []byte, at int64) (int, error) {
	f.wait()
	return f.File.WriteAt(b, at)
}

// gate is a disk that does nothing while hangs is held.
type gate struct {
	hangs   sync.RWMutex
	waiting atomic.Int64 // writes
}

func (g *gate) wait() {
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	g.hangs.RLock()
	defer g.hangs.RUnlock()
}

// hang until release is called, or the test fails.
func (g *gate) hang(t *testing.T) (release func()) {
	g.hangs.Lock()
	release = sync.OnceFunc(g.hangs.Unlock)
	t.Cleanup(release)
	return release
}

func (g *gate) create(path string) (archive.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return sluggish{f, g.wait}, err
}

// A disk that hangs in the middle of a write stops the recording, and nothing else: the live stream goes on, other recordings are there. What is
// missing is said when the disk is back.
func TestSlowDiskSparesEverybody(t *testing.T) {
	var alerts journal
	var disk gate
	s := newStudio(t, func(c *Config) {
		c.Recordings, c.Log, c.again = t.TempDir(), slog.New(slog.NewTextHandler(&alerts, nil)), 10*time.Millisecond
		c.create = disk.create
	})
	s.sfu.Declare("cam", sfu.Spec{Public: true, Record: true})
	src, _ := began(t, s, true)
	src.films("nothing was recorded", func() bool {
		a, err := s.bridge.archive("cam", false)
		require.NoError(t, err)
		return a != nil && a.Size() > 0
	})
	release := disk.hang(t)
	src.films("no write hangs", func() bool { return disk.waiting.Load() > 0 })
	epoch := s.bridge.packager(s.stream).gen.Load()
	first := epoch.views[0].lastMSN
	for range 20 { // longer than what generations keep
		src.send(100)
		for _, track := range []string{"v0", "a0"} {
			r := s.fetch(track + ".m3u8")
			require.Equal(t, http.StatusOK, r.StatusCode)
			require.NotContains(t, r.body[strings.Index(r.body, "#EXT-X-MAP"):], "GAP=YES")
		}
		require.Equal(t, http.StatusOK, s.fetch("dvr.m3u8").StatusCode, "what was recorded can be seen")
	}
	g := s.bridge.packager(s.stream).gen.Load()
	for _, v := range g.views {
		require.Greater(t, v.lastMSN, first+15)
		require.Less(t, len(v.segments), 40, "nothing is kept for the disk's sake")
	}
	release()
	src.films("the hole was not told", func() bool { return alerts.has("slower than the stream") })
	src.films("the recording never went on", func() bool { state, _ := s.bridge.Recording(s.stream); return state == "on" })
}

// takes of the stream's recording.
func (s *studio) takes() []archive.Span {
	s.t.Helper()
	a, err := s.bridge.archive("cam", false)
	require.NoError(s.t, err)
	if a == nil {
		return nil
	}
	spans, err := a.Between(time.Unix(0, 0), time.Now().Add(time.Hour))
	require.NoError(s.t, err)
	return spans
}

// A stream that is deleted and made again while its recorder hangs is live at once. It is recorded by one recorder at a time: numbers follow each other.
func TestRecordersTakeTurns(t *testing.T) {
	var disk gate
	s := newStudio(t, func(c *Config) {
		c.Recordings, c.create, c.again, c.look, c.linger = t.TempDir(), disk.create, 10*time.Millisecond, 10*time.Millisecond, time.Minute
	})
	s.sfu.Declare("cam", sfu.Spec{Public: true, Record: true})
	src, _ := began(t, s, true)
	src.films("nothing was recorded", func() bool { return len(s.takes()) > 0 })
	release := disk.hang(t)
	src.films("no write hangs", func() bool { return disk.waiting.Load() > 0 })
	s.sfu.Remove("cam")
	s.stream = s.sfu.Declare("cam", sfu.Spec{Public: true, Record: true})
	src, _ = began(t, s, true)
	src.send(100)
	require.EqualValues(t, 1, disk.waiting.Load(), "the first recorder's write")
	release()
	src.films("the second recorder never began", func() bool { return len(s.takes()) > 1 })
	takes := s.takes()
	require.Equal(t, takes[0].First+uint64(len(takes[0].Segments[0])), takes[1].First)
}
