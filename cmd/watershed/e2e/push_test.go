package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// ffmpeg publishes the numbered pictures of a clip, and a tone, until the test ends.
func ffmpeg(t *testing.T, audio string, output ...string) *exec.Cmd {
	t.Helper()
	root, err := Root()
	require.NoError(t, err)
	args := []string{"-hide_banner", "-loglevel", "warning", "-nostdin",
		"-re", "-stream_loop", "-1", "-fflags", "+genpts", "-r", "25", "-i", filepath.Join(root, "cmd/watershed/camera/clips/lake.h264"),
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", audio, "-ac", "2"}
	return background(t, "ffmpeg", "ffmpeg", append(args, output...)...)
}

// requirePlayed opens a stream in Chromium: pictures come, each can be read.
func requirePlayed(t *testing.T, address, stream string) {
	t.Helper()
	viewer := open(t, address+"/e2e/whep?stream="+stream)
	require.NoError(t, viewer.WaitPictures(0, 50, patience))
	seen, err := viewer.Pictures(0)
	require.NoError(t, err)
	require.Zero(t, seen.Unread, "pictures whose number cannot be read")
}

func TestFFmpegPublishesByRTSP(t *testing.T) {
	for _, transport := range []string{"tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			n, address := emptyNode(t)
			ffmpeg(t, "libopus", "-f", "rtsp", "-rtsp_transport", transport, "rtsp://any:key@"+n.Listening["rtsp"]+"/stage")
			_, err := n.WaitLog(`"msg":"stream live"`, patience)
			require.NoError(t, err)
			requirePlayed(t, address, "stage")
		})
	}
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return p
}

// refused runs FFmpeg until it gives up, and returns what it said.
func refused(t *testing.T, output ...string) string {
	t.Helper()
	args := append([]string{"-hide_banner", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10", "-t", "60",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"}, output...)
	out, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput()
	require.Error(t, err)
	return string(out)
}

func TestRTSPRefusals(t *testing.T) {
	n, _ := emptyNode(t)
	ffmpeg(t, "libopus", "-f", "rtsp", "-rtsp_transport", "tcp", fmt.Sprintf("rtsp://%s/stage", n.Listening["rtsp"]))
	_, err := n.WaitLog(`"msg":"stream live"`, patience)
	require.NoError(t, err)
	require.Contains(t, refused(t, "-f", "rtsp", "-rtsp_transport", "tcp", fmt.Sprintf("rtsp://%s/stage", n.Listening["rtsp"])), "403 somebody publishes this stream already")
	_, err = n.WaitLog(`"msg":"publisher refused","stream":"stage"`, patience)
	require.NoError(t, err)
	require.Contains(t, refused(t, "-f", "rtsp", fmt.Sprintf("rtsp://%s/No%%20Name", n.Listening["rtsp"])), "404 stream name")
}
