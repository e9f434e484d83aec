package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/hlsbridge/archive"
	"watershed/hlsbridge/cmaf"
)

var kills = flag.Int("kills", 5, "how often a recording node is killed")

// recordedCameras of the node that is killed: each kill finds each recording at another place of a part, a segment or a take.
const recordedCameras = 3

// takes of a stream's recording on disk that have a header.
func takes(t *testing.T, data string, camera int) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(data, "recordings", fmt.Sprintf("cam%d", camera), "*", "take.json"))
	require.NoError(t, err)
	return all
}

// A node that records is killed at random moments, as by a power cut, and started again. Every part of the pictures and of the sound that it had
// written is listed, and FFmpeg plays them all.
func TestKilledRecorderLosesTheOpenPartOnly(t *testing.T) {
	farm := newSoundFarm(t, recordedCameras, "bframes", "aac,none,aac") // keyframes every two seconds
	c := Config(t.TempDir())
	c.Streams = map[string]config.Stream{}
	for i := range recordedCameras {
		c.Streams[fmt.Sprintf("cam%d", i)] = config.Stream{Public: true, Source: farm.URL(i), Record: true}
	}
	began := time.Now()
	for range *kills {
		var before [recordedCameras]int
		for i := range before {
			before[i] = len(takes(t, c.Data, i))
		}
		n, err := Start(binary, c)
		require.NoError(t, err)
		for i := range before {
			eventually(t, "a recording", func() bool { return len(takes(t, c.Data, i)) > before[i] })
		}
		time.Sleep(rand.N(3 * time.Second)) // the moment is the test
		n.Kill()
	}

	var killed [recordedCameras][]string
	for i := range killed {
		killed[i] = takes(t, c.Data, i)
	}
	n, err := Start(binary, c)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the node's log:\n%s", n.Log())
		}
		require.NoError(t, n.Stop(patience))
	})
	ffmpeg, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "this test decodes with FFmpeg: apt install ffmpeg")
	for i := range recordedCameras {
		base := fmt.Sprintf("%s/hls/cam%d/", n.URL, i)
		query := fmt.Sprintf("?from=%s&to=%s", began.UTC().Format(time.RFC3339Nano), time.Now().UTC().Format(time.RFC3339Nano))
		listed := map[string]map[string]int64{} // by track
		for _, take := range killed[i] {
			for _, k := range tracksOf(t, take) {
				if listed[k.ID] == nil {
					listed[k.ID] = piecesOf(t, fetch(t, base+"vod-"+k.ID+".m3u8"+query))
				}
				whole(t, filepath.Dir(take), k, listed[k.ID])
			}
		}
		// Two pictures of two takes may be closer than the null muxer's own clock ticks: it gets the source's.
		out, err := exec.Command(ffmpeg, "-v", "error", "-xerror", "-i", base+"vod.m3u8"+query, "-enc_time_base", "-1", "-f", "null", "-").CombinedOutput()
		require.NoError(t, err, "cam%d: %s", i, out)
		require.Empty(t, string(out), "cam%d", i)
	}
}

var pieceName = regexp.MustCompile(`(?m)^rec/(\d+)/[va]0/(\d+)-(\d+)\.m4s$`)

// piecesOf a playlist: where each take ends in its file.
func piecesOf(t *testing.T, list string) map[string]int64 {
	t.Helper()
	ends := map[string]int64{}
	for _, m := range pieceName.FindAllStringSubmatch(list, -1) {
		offset, err := strconv.ParseInt(m[2], 10, 64)
		require.NoError(t, err)
		size, err := strconv.ParseInt(m[3], 10, 64)
		require.NoError(t, err)
		if ends[m[1]] != 0 {
			require.Equal(t, ends[m[1]], offset, "a hole in take %s", m[1])
		}
		ends[m[1]] = offset + size
	}
	return ends
}

func tracksOf(t *testing.T, header string) []archive.Track {
	t.Helper()
	text, err := os.ReadFile(header)
	require.NoError(t, err)
	var h archive.Header
	require.NoError(t, json.Unmarshal(text, &h))
	return h.Tracks
}

// whole expects that a track of a take is listed as far as its file has whole parts.
func whole(t *testing.T, dir string, k archive.Track, listed map[string]int64) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, k.ID+".mp4"))
	require.NoError(t, err)
	end := max(listed[filepath.Base(dir)], k.InitSize)
	_, ticks := cmaf.Whole(data[end:])
	require.Zero(t, ticks, "%s, %s: listed up to byte %d of %d", dir, k.ID, end, len(data))
}
