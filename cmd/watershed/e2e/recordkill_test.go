package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
)

var kills = flag.Int("kills", 5, "how often a recording node is killed")

// recordedCameras of the node that is killed: each kill finds every recording at another place of a part, a segment or a take.
const recordedCameras = 3

// A node that records is killed at random moments, as by a power cut, and started again. Whatever a playlist had listed before is in the recording, and
// FFmpeg plays all of it.
func TestKilledRecorderLosesTheOpenPartOnly(t *testing.T) {
	farm, err := camera.New(camera.Config{N: recordedCameras, Listen: "127.0.0.1:0", Audio: "aac,none", Clip: "bframes"}) // keyframes every two seconds
	require.NoError(t, err)
	runFarm(t, farm)
	c := Config(t.TempDir())
	c.Streams = map[string]config.Stream{}
	for i := range recordedCameras {
		c.Streams[fmt.Sprintf("cam%d", i)] = config.Stream{Public: true, Source: farm.URL(i), Record: true}
	}
	began := time.Now()
	var listed [recordedCameras][]time.Time // ends of the last parts before each kill
	for range *kills {
		n, err := Start(binary, c)
		require.NoError(t, err)
		for i := range recordedCameras { // until the recording has begun
			url := fmt.Sprintf("%s/hls/cam%d/v0.m3u8", n.URL, i)
			eventually(t, "pictures", func() bool { return len(partEnds(listed0(url))) > 0 })
			eventually(t, "a recording of them", func() bool {
				return strings.Contains(listed0(fmt.Sprintf("%s/hls/cam%d/dvr.m3u8", n.URL, i)), "STREAM-INF") || len(partEnds(listed0(url))) > 8
			})
		}
		time.Sleep(rand.N(2500 * time.Millisecond)) // the moment is the test
		var ends [recordedCameras]time.Time
		for i := range recordedCameras {
			url := fmt.Sprintf("%s/hls/cam%d/v0.m3u8", n.URL, i)
			ends[i] = last(partEnds(listed(url)))
			eventually(t, "the next part", func() bool { return last(partEnds(listed(url))).After(ends[i]) })
		}
		n.Kill()
		for i := range ends {
			listed[i] = append(listed[i], ends[i])
		}
	}

	n, err := Start(binary, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Stop(patience)) })
	ffmpeg, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "this test decodes with FFmpeg: apt install ffmpeg")
	for i := range recordedCameras {
		base := fmt.Sprintf("%s/hls/cam%d/", n.URL, i)
		query := fmt.Sprintf("?from=%s&to=%s", began.UTC().Format(time.RFC3339Nano), time.Now().UTC().Format(time.RFC3339Nano))
		vod := fetch(t, base+"vod-v0.m3u8"+query)
		require.GreaterOrEqual(t, strings.Count(vod, "#EXT-X-DISCONTINUITY\n"), *kills-1)
		for _, end := range listed[i] {
			require.True(t, covers(vod, end), "cam%d: what was listed until %v is not in\n%s", i, end, vod)
		}
		out, err := exec.Command(ffmpeg, "-v", "error", "-xerror", "-i", base+"vod.m3u8"+query, "-f", "null", "-").CombinedOutput()
		require.NoError(t, err, "cam%d: %s", i, out)
		require.Empty(t, string(out))
	}
}
