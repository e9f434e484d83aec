package nut

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var opus = Stream{FourCC: "Opus", Num: 1, Den: 48000, Rate: 48000, Channels: 2, Extra: []byte("OpusHead")}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, opus)
	require.NoError(t, err)
	frames := []Frame{
		{PTS: 0, Keyframe: true, Data: []byte{1, 2, 3}},
		{PTS: 960, Data: bytes.Repeat([]byte{7}, 5000)},
		{PTS: 961, Keyframe: true, Data: bytes.Repeat([]byte{9}, 200_000)},
		{PTS: 500, Data: []byte{}},                 // back: out of order
		{PTS: 1 << 32, Data: []byte{1}},            // beyond every 32-bit clock
		{PTS: math.MaxInt64 >> 8, Data: []byte{5}}, // and of any length of service
	}
	for _, f := range frames {
		require.NoError(t, w.Write(f.PTS, f.Keyframe, f.Data[:len(f.Data)/2], f.Data[len(f.Data)/2:]))
	}
	r, err := NewReader(&buf)
	require.NoError(t, err)
	require.Equal(t, []Stream{opus}, r.Streams())
	for _, want := range frames {
		f, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, want, f)
	}
	_, err = r.Next()
	require.Equal(t, io.EOF, err)
}

func TestNumbers(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 16383, 16384, 1<<32 - 1, 1 << 32, math.MaxUint64} {
		f := fields{b: putV(nil, v)}
		require.Equal(t, v, f.v())
		require.NoError(t, f.err)
	}
	for code, want := range map[byte]int64{1: 1, 2: -1, 3: 2, 4: -2, 0: 0} {
		f := fields{b: []byte{code}}
		require.Equal(t, want, f.s(), code)
	}
}

func TestShortTimes(t *testing.T) {
	s := stream{shift: 7, last: 1000}
	require.EqualValues(t, 1001, s.full(1001&127))
	require.EqualValues(t, 940, s.full(940&127))
	require.EqualValues(t, 5, s.full(5+128))
}

// ffmpeg runs the real one; make test installs it.
func ffmpeg(t *testing.T, stdin io.Reader, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "this test needs FFmpeg: apt-get install ffmpeg")
	cmd := exec.Command(path, append([]string{"-v", "error"}, args...)...)
	cmd.Stdin = stdin
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	require.NoError(t, cmd.Run(), stderr.String())
	require.Empty(t, stderr.String())
	return out.Bytes()
}

// TestFFmpegWrites reads what FFmpeg writes, of every kind that a conversion makes.
func TestFFmpegWrites(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		frames int
		step   int64
	}{
		"pcm":  {[]string{"-f", "lavfi", "-i", "sine=440:r=8000:d=1", "-c:a", "pcm_mulaw"}, 0, 0},
		"opus": {[]string{"-f", "lavfi", "-i", "sine=440:r=48000:d=1", "-c:a", "libopus"}, 51, 960},
		"aac":  {[]string{"-f", "lavfi", "-i", "sine=440:r=48000:d=1", "-c:a", "aac"}, 48, 1024},
		"h264": {[]string{"-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=2", "-c:v", "libx264", "-bf", "0", "-enc_time_base", "1:90000"}, 50, 3600},
		"two":  {[]string{"-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=1", "-f", "lavfi", "-i", "sine=440:r=48000:d=1", "-c:v", "libx264", "-c:a", "libopus"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			data := ffmpeg(t, nil, append(c.args, "-avoid_negative_ts", "disabled", "-output_ts_offset", "2", "-f", "nut", "-")...)
			r, err := NewReader(bytes.NewReader(data))
			require.NoError(t, err)
			last := map[int]int64{}
			n := 0
			for {
				f, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				if c.step > 0 && n > 0 {
					require.Equal(t, last[f.Stream]+c.step, f.PTS)
				}
				last[f.Stream] = f.PTS
				n++
			}
			require.GreaterOrEqual(t, n, 8)
			if c.frames > 0 {
				require.Equal(t, c.frames, n)
			}
		})
	}
}

// TestFFmpegReads has FFmpeg read what is written, and checks the times that it sees.
func TestFFmpegReads(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, Stream{FourCC: "\x07\x00", Num: 1, Den: 8000, Rate: 8000, Channels: 1})
	require.NoError(t, err)
	const start = 1 << 33
	for i := range int64(50) {
		require.NoError(t, w.Write(start+i*160, true, bytes.Repeat([]byte{0xff}, 160)))
	}
	out := ffmpeg(t, &buf, "-f", "nut", "-i", "-", "-copyts", "-c", "copy", "-f", "framecrc", "-")
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Contains(t, lines[len(lines)-1], "8589942432", "the last frame's time: "+lines[len(lines)-1])
}

// TestFFmpegReadsTheRate as it was told, though the times look otherwise.
func TestFFmpegReadsTheRate(t *testing.T) {
	for millihertz, want := range map[int]string{12500: "12500/1000", 29970: "29970/1000", 0: "15/1"} {
		var buf bytes.Buffer
		w, err := NewWriter(&buf, Stream{Video: true, FourCC: "VP80", Num: 1, Den: 90000, Width: 320, Height: 180, Millihertz: millihertz})
		require.NoError(t, err)
		for i := range int64(30) {
			require.NoError(t, w.Write(90000+i*6000, i == 0, bytes.Repeat([]byte{0x11}, 100)))
		}
		cmd := exec.Command("ffprobe", "-v", "quiet", "-f", "nut", "-show_entries", "stream=r_frame_rate", "-of", "csv=p=0", "-")
		cmd.Stdin = &buf
		out, err := cmd.Output()
		require.NoError(t, err)
		require.Equal(t, want, strings.TrimSpace(string(out)))
	}
}

func FuzzReader(f *testing.F) {
	var buf bytes.Buffer
	w, _ := NewWriter(&buf, opus)
	w.Write(960, true, []byte{1, 2, 3})
	f.Add(buf.Bytes())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data))
		for n := 0; err == nil; n++ {
			require.LessOrEqual(t, n, len(data), "every frame takes bytes")
			_, err = r.Next()
		}
	})
}
