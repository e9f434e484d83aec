package e2e

import (
	"io"
	"net/http"
	"os/exec"
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
	res, err := http.Get(n.URL + "/hls/cam0/index.m3u8") // starts packaging, and waits for it
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, string(body))
	return farm, n, address
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
	require.NoError(t, page.Eval("failures", &failures))
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
