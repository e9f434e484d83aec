package transcode

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/sfu/timeline"
	"watershed/sfu/transcode/nut"
)

// found is the FFmpeg of these tests; make test installs it.
func found(t testing.TB) *FFmpeg {
	t.Helper()
	f := Find(context.Background())
	require.NoError(t, f.Err(), "these tests need FFmpeg: apt-get install ffmpeg")
	return f
}

// run has FFmpeg make something of its input.
func run(t testing.TB, stdin io.Reader, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-v", "error"}, args...)...)
	cmd.Stdin = stdin
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	require.NoError(t, cmd.Run(), stderr.String())
	require.Empty(t, stderr.String(), "FFmpeg complained")
	return out.Bytes()
}

// clip is encoded media, ready to be written to a layer.
type clip struct {
	config media.Config
	units  []sfu.Unit // PTS from zero
}

// encode has FFmpeg make a clip from a lavfi source.
func encode(t testing.TB, codec media.Codec, lavfi string, args ...string) clip {
	t.Helper()
	data := run(t, nil, append(append([]string{"-f", "lavfi", "-i", lavfi}, args...), "-avoid_negative_ts", "disabled", "-output_ts_offset", "1", "-f", "nut", "-")...)
	r, err := nut.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	info := r.Streams()[0]
	c := clip{config: media.Config{Codec: codec, ClockRate: 90000}}
	if codec.Kind() == media.Audio {
		c.config.ClockRate, c.config.Channels = info.Rate, info.Channels
	}
	if codec == media.AAC {
		c.config.ASC = info.Extra
	}
	for {
		f, err := r.Next()
		if err == io.EOF {
			return c
		}
		require.NoError(t, err)
		c.units = append(c.units, sfu.Unit{Parts: split(t, codec, info.Extra, f), PTS: scaled(f.PTS, info.Num, info.Den, c.config.ClockRate) - int64(c.config.ClockRate)})
	}
}

func split(t testing.TB, codec media.Codec, extra []byte, f nut.Frame) [][]byte {
	switch codec {
	case media.H264, media.H265:
		units := annexB(f.Data)
		if f.Keyframe {
			units = append(annexB(extra), units...)
		}
		return units
	case media.AV1:
		var tu av1.Bitstream
		require.NoError(t, tu.Unmarshal(f.Data))
		return tu
	}
	return [][]byte{f.Data}
}

// rig is a media plane with one stream that a clip is played into.
type rig struct {
	t      testing.TB
	sfu    *sfu.SFU
	stream *sfu.Stream
	writer *sfu.Writer
}

func newRig(t testing.TB, cfg media.Config, converter sfu.Converter) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	s := sfu.New(sfu.Config{Port: port, Converter: converter, Log: slog.New(slog.NewTextHandler(testLog{t}, nil))})
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	r := &rig{t: t, sfu: s, stream: s.Declare(id.Stream("cam"), sfu.Spec{})}
	r.begin(cfg)
	return r
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// begin opens a publisher's session, in the place of the last.
func (r *rig) begin(cfg media.Config) {
	r.t.Helper()
	_, writers, err := r.stream.Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: cfg}}, Pushed: true, Takeover: true, Name: "test"})
	require.NoError(r.t, err)
	r.writer = writers[0]
}

// play writes a clip at the rate of its clock until it ends or ctx does.
func (r *rig) play(ctx context.Context, c clip) {
	start := time.Now()
	highest := int64(math.MinInt64)
	for _, u := range c.units {
		highest = max(highest, u.PTS) // pictures out of order leave when the earlier ones would
		select {
		case <-time.After(time.Until(start.Add(timeline.Duration(highest, c.config.ClockRate)))):
		case <-ctx.Done():
			return
		}
		u.Arrival = time.Now()
		if err := r.writer.Write(u); err != nil {
			r.t.Error(err)
			return
		}
	}
}

// converted requires a codec and waits for its layer.
func (r *rig) converted(ctx context.Context, codec media.Codec) (*sfu.Layer, func()) {
	r.t.Helper()
	accept := func(c *media.Config) bool { return c.Codec == codec && !c.BFrames }
	release := r.stream.Require(codec.Kind(), codec, accept)
	for {
		changed := r.stream.Changed()
		if t := r.stream.Track(codec.Kind()); t != nil {
			for _, l := range t.Layers() {
				if l.Converted && l.Codec == codec {
					return l, release
				}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			require.Fail(r.t, "no converted layer came", codec.String())
		}
	}
}

// collect keeps a layer's frames until ctx ends.
func collect(ctx context.Context, l *sfu.Layer, start uint64) (frames []*media.Frame) {
	r := l.Ring().ReadFrom(start)
	for {
		f, err := r.Next(ctx)
		if err != nil {
			return frames
		}
		frames = append(frames, f)
	}
}

// session plays a clip through a conversion and returns the frames of both sides.
func session(t *testing.T, c clip, to media.Codec) (from, made []*media.Frame) {
	t.Helper()
	return sessionBy(t, NewConverter(found(t), slog.New(slog.DiscardHandler)), c, to)
}

func sessionBy(t *testing.T, converter *Converter, c clip, to media.Codec) (from, made []*media.Frame) {
	t.Helper()
	r := newRig(t, c.config, converter)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	source := r.stream.Track(to.Kind()).Layers()[0]
	collecting, stop := context.WithCancel(ctx)
	originals := make(chan []*media.Frame, 1)
	go func() { originals <- collect(collecting, source, 1) }()
	playing := make(chan struct{})
	go func() { defer close(playing); r.play(ctx, c) }()
	l, release := r.converted(ctx, to)
	defer release()
	out := make(chan []*media.Frame, 1)
	go func() { out <- collect(collecting, l, 1) }()
	<-playing
	idle(ctx, l)
	stop()
	return <-originals, <-out
}

// idle waits until a layer has had nothing new for a second: what the child had been given came out.
func idle(ctx context.Context, l *sfu.Layer) {
	for {
		select {
		case <-l.Ring().Wake():
		case <-time.After(time.Second):
			return
		case <-ctx.Done():
			return
		}
	}
}

// decode has FFmpeg decode a layer's frames, which must not complain; args end its command line.
func decode(t testing.TB, frames []*media.Frame, args ...string) []byte {
	t.Helper()
	cfg := frames[0].Config
	var buf bytes.Buffer
	w, err := nut.NewWriter(&buf, source(cfg))
	require.NoError(t, err)
	for _, f := range frames {
		require.NoError(t, w.Write(f.PTS-frames[0].PTS+int64(cfg.ClockRate), f.Keyframe, parts(f)...))
	}
	return run(t, &buf, append([]string{"-f", "nut", "-i", "-"}, args...)...)
}

func seconds(f *media.Frame) float64 {
	return timeline.Duration(f.PTS, f.Config.ClockRate).Seconds()
}

// clicks finds the times, in seconds of the timeline, at which bursts of sound begin in a layer.
func clicks(t testing.TB, frames []*media.Frame) (at []float64) {
	t.Helper()
	const rate = 48000
	pcm := decode(t, frames, "-ac", "1", "-ar", strconv.Itoa(rate), "-f", "s16le", "-")
	quiet := rate
	for i := 0; i+1 < len(pcm); i += 2 {
		v := int16(binary.LittleEndian.Uint16(pcm[i:]))
		if v > 6000 || v < -6000 {
			if quiet > rate/10 {
				at = append(at, seconds(frames[0])+float64(i/2)/rate)
			}
			quiet = 0
		}
		quiet++
	}
	return at
}

// children of this process that are FFmpeg.
func children(t testing.TB) (pids []int) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	for _, task := range tasks {
		list, _ := os.ReadFile(task)
		for _, f := range strings.Fields(string(list)) {
			comm, _ := os.ReadFile("/proc/" + f + "/comm")
			if strings.TrimSpace(string(comm)) == "ffmpeg" {
				pid, _ := strconv.Atoi(f)
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// leakCheck fails the test if it leaves goroutines behind. It is called before anything is started.
func leakCheck(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; <-tick.C {
			if time.Now().After(deadline) {
				t.Error("goroutines are left")
				pprof.Lookup("goroutine").WriteTo(testLog{t}, 1)
				return
			}
		}
	})
}
