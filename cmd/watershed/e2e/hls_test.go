package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
)

// hlsCamera is a farm of one and a node that packages it, with 120 ms parts.
func hlsCamera(t *testing.T) (*camera.Farm, *Node, string) {
	t.Helper()
	farm := newFarm(t, 1)
	n, address := newNode(t, func(c *config.Config) {
		c.Streams = cameraStreams(farm, 1)
		c.HLS.Part = 150 * time.Millisecond
	})
	list := fetch(t, n.URL+"/hls/cam0/v0.m3u8") // starts packaging, and waits for it
	var first int
	_, err := fmt.Sscanf(list[strings.Index(list, "#EXT-X-MEDIA-SEQUENCE:"):], "#EXT-X-MEDIA-SEQUENCE:%d", &first)
	require.NoError(t, err)
	for strings.Count(list, "#EXTINF")-strings.Count(list, "#EXT-X-GAP") < 1 {
		first++
		list = fetch(t, fmt.Sprintf("%s/hls/cam0/v0.m3u8?_HLS_msn=%d", n.URL, first)) // until a whole segment is there
	}
	return farm, n, address
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, string(body))
	return string(body)
}

func TestChromiumPlaysLLHLS(t *testing.T) {
	farm, _, address := hlsCamera(t)
	page := open(t, address+"/e2e/hls?stream=cam0")
	require.NoError(t, page.WaitPictures(0, 250, patience))
	seen, err := page.Pictures(0)
	require.NoError(t, err)
	delays := seen.Delays(farm.Camera(0).Info(), 50)
	t.Logf("first picture %.0f ms, delay p50 %.0f ms, p95 %.0f ms", seen.First, browser.Quantile(delays, .5), browser.Quantile(delays, .95))

	var failures []string
	require.NoError(t, page.Eval("failures.filter((f) => !f.includes('bufferStalledError'))", &failures)) // a busy machine's
	require.Empty(t, failures)
}

// A player that joined outlives its camera: gaps while it is away, pictures again when it is back.
func TestLLHLSOutlivesCameraRestart(t *testing.T) {
	farm, _, address := hlsCamera(t)
	page := open(t, address+"/e2e/hls?stream=cam0")
	require.NoError(t, page.WaitPictures(0, 25, patience))

	cam := farm.Camera(0)
	require.NoError(t, cam.Set(camera.Fault{Stop: true}))
	require.NoError(t, page.Wait(`hls.levels[hls.currentLevel]?.details?.fragments.some((f) => f.gap && f.sn > 5)`, patience))
	require.NoError(t, cam.Set(camera.Fault{}))
	require.NoError(t, page.WaitPictures(0, 100, patience))
}

func TestFFmpegDecodesHLS(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "this test decodes with FFmpeg: apt install ffmpeg")
	_, n, _ := hlsCamera(t)
	out, err := exec.Command(ffmpeg, "-v", "error", "-xerror", "-i", n.URL+"/hls/cam0/v0.m3u8", "-t", "8", "-f", "null", "-").CombinedOutput()
	require.NoError(t, err, string(out))
}
