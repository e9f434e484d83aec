package hlsbridge

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

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
	src, _ := began(t, s, false)
	for seconds := 0; !alerts.has("recording failed"); seconds++ {
		require.Less(t, seconds, 60, "the disk was never full")
		src.send(25)
	}
	require.True(t, alerts.has("no space left on device"))
	require.True(t, alerts.has("the live stream goes on"))

	before := s.bridge.packager(s.stream).gen.Load().views[0].lastMSN
	src.send(200)
	r := s.fetch(fmt.Sprintf("v0.m3u8?_HLS_msn=%d", before+1))
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.NotContains(t, r.body, "GAP=YES")

	a, err := archive.Open(dir+"/cam", archive.Options{})
	require.NoError(t, err)
	spans, err := a.Between(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.NotEmpty(t, spans)
	require.NotEmpty(t, spans[0].Segments[0])
	vod := fmt.Sprintf("vod.m3u8?from=%d&to=%d", time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix())
	require.Equal(t, http.StatusOK, s.fetch(vod).StatusCode)
	ffmpeg(t, s.server.URL+"/hls/cam/"+vod)
}
