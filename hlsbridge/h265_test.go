package hlsbridge

import (
	"bytes"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/media"
)

// H.265, which Chromium here cannot show, is packaged all the same; FFmpeg makes it and decodes it.
func TestH265(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "this test encodes and decodes with FFmpeg: apt install ffmpeg")
	stream, err := exec.Command(ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x180:r=25", "-frames:v", "160", "-c:v", "libx265",
		"-x265-params", "log-level=error:keyint=50:min-keyint=50:scenecut=0:bframes=0:repeat-headers=1:aud=1", "-f", "hevc", "-").Output()
	require.NoError(t, err)
	s := newStudio(t, nil)
	_, writers, err := s.stream.Begin(sfu.SessionOptions{Pushed: true, Name: "test", Tracks: []sfu.TrackSpec{{Config: media.Config{Codec: media.H265, ClockRate: 90000}}}})
	require.NoError(t, err)
	var units [][][]byte
	for _, nal := range bytes.Split(stream, []byte{0, 0, 1})[1:] {
		nal = bytes.TrimRight(nal, "\x00")
		if nal[0]>>1&0x3f == 35 { // delimiter
			units = append(units, nil)
			continue
		}
		units[len(units)-1] = append(units[len(units)-1], nal)
	}
	began, sent := time.Now(), 0
	send := func(n int) {
		for range n {
			require.NoError(t, writers[0].Write(sfu.Unit{Parts: units[sent], PTS: int64(sent) * 3600, Arrival: began.Add(time.Duration(sent) * 40 * time.Millisecond)}))
			sent++
		}
	}
	send(65)
	index := s.fetch("index.m3u8").body
	require.Contains(t, index, `CODECS="hvc1.`)
	require.Contains(t, index, "RESOLUTION=320x180")
	open := s.bridge.packager(s.stream).gen.Load().views[0].lastMSN
	send(50)
	list := s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=4", open+1))
	checkPlaylist(t, list)
	k := s.readTrack(list)
	require.Equal(t, 65, k.samples)
	require.Zero(t, k.jumps)
	require.Equal(t, 65, decode(t, k.file, "v"))
	transport := s.fetch(fmt.Sprintf("%s/ts/%d.ts", s.bridge.packager(s.stream).gen.Load().epoch, open))
	require.Equal(t, 50, decode(t, []byte(transport.body), "v"))
}
