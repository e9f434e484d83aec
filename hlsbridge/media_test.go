package hlsbridge

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
)

// seconds of a playlist's decimal.
func seconds(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return v
}

// checkPlaylist verifies what a media playlist must hold, whatever the stream (the numbers of section 4.4).
func checkPlaylist(t *testing.T, list string) {
	t.Helper()
	target := seconds(t, lines(list, "#EXT-X-TARGETDURATION:")[0])
	part := seconds(t, attribute(lines(list, "#EXT-X-PART-INF:")[0], "PART-TARGET"))
	control := lines(list, "#EXT-X-SERVER-CONTROL:")[0]
	require.GreaterOrEqual(t, seconds(t, attribute(control, "PART-HOLD-BACK")), 3*part-1e-9)
	require.GreaterOrEqual(t, seconds(t, attribute(control, "CAN-SKIP-UNTIL")), 6*target)
	require.Len(t, lines(list, "#EXT-X-PRELOAD-HINT:"), 1)
	for _, inf := range lines(list, "#EXTINF:") {
		require.LessOrEqual(t, seconds(t, strings.TrimSuffix(inf, ",")), target+.5)
	}
	all := strings.Split(list, "\n")
	for i, l := range all {
		p, ok := strings.CutPrefix(l, "#EXT-X-PART:")
		if !ok {
			continue
		}
		d := seconds(t, attribute(p, "DURATION"))
		require.LessOrEqual(t, d, part+1e-9, l)
		last := !strings.HasPrefix(all[i+1], "#EXT-X-PART:") && !strings.HasPrefix(all[i+1], "#EXT-X-PRELOAD")
		if !last && attribute(p, "INDEPENDENT") == "" && attribute(p, "GAP") == "" {
			require.GreaterOrEqual(t, d, .85*part, l)
		}
	}
}

// track is what the files of a rendition add up to.
type track struct {
	file    []byte // initialisation segment and all parts in a row
	samples int
	start   uint64 // decode time of the first sample
	end     uint64 // and after the last
	jumps   int    // parts that do not begin where the one before ended
}

// readTrack fetches the parts of a playlist's newest epoch and looks at their boxes with a reader that did not write them.
func (s *studio) readTrack(list string) (k track) {
	s.t.Helper()
	init := s.fetch(attribute(lastOf(lines(list, "#EXT-X-MAP:")), "URI"))
	k.file = []byte(init.body)
	for _, p := range lines(list, "#EXT-X-PART:") {
		if attribute(p, "GAP") != "" {
			continue
		}
		body := s.fetch(attribute(p, "URI")).body
		k.file = append(k.file, body...)
		f, err := mp4.DecodeFile(strings.NewReader(init.body + body))
		require.NoError(s.t, err)
		require.Len(s.t, f.Segments, 1)
		require.Len(s.t, f.Segments[0].Fragments, 1)
		frag := f.Segments[0].Fragments[0]
		traf := frag.Moof.Traf
		at := traf.Tfdt.BaseMediaDecodeTime()
		if k.samples == 0 {
			k.start = at
		} else if at != k.end {
			k.jumps++
			s.t.Logf("%s begins %d ticks after the end of the part before", p, int64(at-k.end))
		}
		k.end = at
		samples, err := frag.GetFullSamples(f.Init.Moov.Mvex.Trex)
		require.NoError(s.t, err)
		for i, x := range samples {
			k.end += uint64(x.Dur)
			k.samples++
			if i == 0 && attribute(p, "INDEPENDENT") != "" {
				require.True(s.t, x.IsSync(), p)
			}
		}
	}
	return k
}

func lastOf(s []string) string { return s[len(s)-1] }

// decode has FFmpeg decode a file without an error, and returns how many frames it found.
func decode(t *testing.T, file []byte, stream string) int {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "this test decodes with FFmpeg: apt install ffmpeg")
	path := filepath.Join(t.TempDir(), "track.mp4")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	cmd := exec.Command(ffmpeg, "-v", "error", "-xerror", "-i", path, "-map", "0:"+stream, "-fps_mode", "passthrough", "-f", "framecrc", "-")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), errs.String())
	require.Empty(t, errs.String())
	n := 0
	for l := range strings.Lines(out.String()) {
		if !strings.HasPrefix(l, "#") {
			n++
		}
	}
	return n
}

func TestPicturesAndSound(t *testing.T) {
	s := newStudio(t, nil)
	src, open := began(t, s, true)
	src.send(94 + 15) // to the end of the GOP, and five parts more
	list := s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=4", open+1))
	checkPlaylist(t, list)
	// All is fetched before anything is decoded: that takes its time on a busy machine, and what nobody asks for is packaged for half a minute only.
	pictures := s.readTrack(list)
	sound := s.fetch("a0.m3u8").body
	heard := s.readTrack(sound)
	index := s.fetch("index.m3u8").body
	compat := s.fetch("compat.m3u8").body
	transport := s.fetch(lastOf(strings.Split(strings.TrimSpace(compat), "\n")))
	segment := s.fetch(fmt.Sprintf("%s/v0/%d.m4s", s.bridge.packager(s.stream).gen.Load().epoch, open))
	init := s.fetch(attribute(lines(list, "#EXT-X-MAP:")[0], "URI"))

	require.Equal(t, 215, pictures.samples, "from the second GOP on")
	require.Zero(t, pictures.jumps)
	require.EqualValues(t, 215*3600, pictures.end-pictures.start)
	require.Equal(t, 215, decode(t, pictures.file, "v"))

	checkPlaylist(t, sound)
	require.Zero(t, heard.jumps)
	require.InDelta(t, float64(pictures.start)/90000, float64(heard.start)/48000, 1024./48000, "renditions begin together")
	require.Equal(t, heard.samples, decode(t, heard.file, "a"))
	require.EqualValues(t, 1024*heard.samples, heard.end-heard.start)

	require.Equal(t, lines(list, "#EXT-X-MEDIA-SEQUENCE:"), lines(sound, "#EXT-X-MEDIA-SEQUENCE:"))
	require.Equal(t, lines(list, "#EXT-X-SERVER-CONTROL:"), lines(sound, "#EXT-X-SERVER-CONTROL:"))
	require.Contains(t, list, `#EXT-X-RENDITION-REPORT:URI="a0.m3u8",LAST-MSN=`)
	require.Contains(t, sound, fmt.Sprintf("#EXT-X-RENDITION-REPORT:URI=\"v0.m3u8\",LAST-MSN=%d,LAST-PART=4\n", open+1))

	require.Contains(t, index, `CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=25.000`)
	require.Contains(t, index, `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a"`)

	require.NotContains(t, compat, "#EXT-X-PART")
	require.Equal(t, "video/mp2t", transport.Header.Get("Content-Type"))
	require.Equal(t, 100, decode(t, []byte(transport.body), "v"))
	require.InDelta(t, 4*48000/1024, decode(t, []byte(transport.body), "a"), 2)

	require.Equal(t, 100, decode(t, append([]byte(init.body), segment.body...), "v"))
}

func TestBFrames(t *testing.T) {
	s := newStudio(t, nil)
	src := s.connect("bframes", false)
	src.send(65)
	require.Equal(t, 200, s.fetch("v0.m3u8").StatusCode)
	open := s.bridge.packager(s.stream).gen.Load().views[0].lastMSN
	src.send(100)
	list := s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=0", open+2))
	checkPlaylist(t, list)
	k := s.readTrack(list)
	require.Equal(t, k.samples, decode(t, k.file, "v"))
	require.Zero(t, k.jumps)
}

// A source that comes back with other parameter sets begins after a discontinuity, with an initialisation segment of its own.
func TestSourceChanges(t *testing.T) {
	s := newStudio(t, nil)
	_, open := began(t, s, true)
	src := s.connect("coast", true)
	src.send(9)
	list := s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=1", open+1))
	checkPlaylist(t, list)
	require.Equal(t, 1, strings.Count(list, "#EXT-X-DISCONTINUITY\n"))
	require.Len(t, lines(list, "#EXT-X-MAP:"), 2)
	after := list[strings.Index(list, "#EXT-X-DISCONTINUITY\n"):]
	require.Contains(t, strings.SplitN(after, "#EXT-X-PART:", 2)[0], "init1.mp4", "before the first part")
	k := s.readTrack(after)
	require.Equal(t, k.samples, decode(t, k.file, "v"))
	sound := s.fetch(fmt.Sprintf("a0.m3u8?_HLS_msn=%d&_HLS_part=0", open+1)).body
	require.Equal(t, 1, strings.Count(sound, "#EXT-X-DISCONTINUITY\n"), "in every rendition")
}

// A source that stops is followed by gaps, and by pictures when it is back.
func TestGaps(t *testing.T) {
	s := newStudio(t, func(c *Config) { c.away = 200 * time.Millisecond })
	_, open := began(t, s, true)
	list := s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=3", open+1))
	checkPlaylist(t, list)
	require.Contains(t, list, "GAP=YES")
	r := s.fetch(fmt.Sprintf("a0.m3u8?_HLS_msn=%d&_HLS_part=3", open+1))
	require.Contains(t, r.body, "GAP=YES")
	gap := attribute(lastOf(lines(list, "#EXT-X-PART:")), "URI")
	require.Equal(t, 404, s.fetch(gap).StatusCode)

	src := s.connect("river", true)
	src.send(6)
	list = s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=1", s.bridge.packager(s.stream).gen.Load().views[0].lastComplete+1))
	checkPlaylist(t, list)
}

// TestNoPlaylistBeginsWithThePast: the first request comes when the source has been away for a while, and gets nothing that was live once.
func TestNoPlaylistBeginsWithThePast(t *testing.T) {
	s := newStudio(t, func(c *Config) { c.away = time.Second })
	src := s.connect("coast", false)
	src.began = src.began.Add(-time.Hour)
	for range 150 { // without the packager, which nobody has asked for anything
		at := src.began.Add(time.Duration(src.sent) * 40 * time.Millisecond)
		require.NoError(t, src.writers[0].Write(sfu.Unit{Parts: src.clip.units[src.sent], PTS: int64(src.sent) * 3600, Arrival: at}))
		src.sent++
	}
	p := s.bridge.packager(s.stream)
	layers, _ := pick(s.stream)
	require.Len(t, layers, 1)
	require.Nil(t, p.open(layers, time.Now()), "packaging began with a picture of an hour ago")
}
