package transcode

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/media"
)

// click is a source of sound: a burst of 20 ms at each half second, and as long as needed.
func click(rate int, length float64) string {
	return fmt.Sprintf("aevalsrc='if(lt(mod(t+0.25\\,0.5)\\,0.02)\\,0.8*sin(2*PI*900*t)\\,0)':s=%d:d=%g", rate, length)
}

func TestSoundKeepsItsTime(t *testing.T) {
	found(t)
	for _, c := range []struct {
		name  string
		codec media.Codec
		rate  int
		args  []string
		to    media.Codec
	}{
		{"PCMU to Opus", media.PCMU, 8000, []string{"-af", "asetnsamples=160", "-c:a", "pcm_mulaw"}, media.Opus},
		{"PCMA to Opus", media.PCMA, 8000, []string{"-af", "asetnsamples=160", "-c:a", "pcm_alaw"}, media.Opus},
		{"AAC to Opus", media.AAC, 44100, []string{"-c:a", "aac"}, media.Opus},
		{"stereo AAC to Opus", media.AAC, 48000, []string{"-ac", "2", "-c:a", "aac"}, media.Opus},
		{"Opus to AAC", media.Opus, 48000, []string{"-c:a", "libopus"}, media.AAC},
		{"PCMU to AAC", media.PCMU, 8000, []string{"-af", "asetnsamples=160", "-c:a", "pcm_mulaw"}, media.AAC},
		{"PCMA to AAC", media.PCMA, 8000, []string{"-af", "asetnsamples=320", "-c:a", "pcm_alaw"}, media.AAC},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			from, made := session(t, encode(t, c.codec, click(c.rate, 3), c.args...), c.to)
			sequential(t, made)
			length := seconds(made[len(made)-1]) - seconds(made[0])
			require.Greater(t, length, 1.5, "of 3 s, and FFmpeg had to start")
			step := int64(960)
			if c.to == media.AAC {
				step = 1024
			}
			for i := 1; i < len(made); i++ {
				require.InDelta(t, step, made[i].PTS-made[i-1].PTS, 8, "frame %d", i)
			}
			sameClicks(t, clicks(t, from), clicks(t, made))
		})
	}
}

// sameClicks says that what is heard on one side is heard at the same time of the timeline on the other.
func sameClicks(t *testing.T, from, made []float64) {
	t.Helper()
	require.Greater(t, len(made), 2)
	worst := 0.0
	for _, at := range made {
		nearest := slices.MinFunc(from, func(a, b float64) int { return int(math.Copysign(1, math.Abs(a-at)-math.Abs(b-at))) })
		worst = math.Max(worst, math.Abs(nearest-at))
	}
	t.Logf("%d clicks, at most %.3f ms off", len(made), worst*1000)
	require.Less(t, worst, 0.040)
}

// sequential is what every reader of a layer relies on.
func sequential(t *testing.T, frames []*media.Frame) {
	t.Helper()
	require.NotEmpty(t, frames)
	require.True(t, frames[0].Keyframe)
	for i, f := range frames[1:] {
		require.Equal(t, frames[i].Number+1, f.Number)
		require.Greater(t, f.DTS, frames[i].DTS)
		require.GreaterOrEqual(t, f.PTS, f.DTS)
	}
}

// numbered is a source of pictures that show their number: eight columns, white for the bits that are one.
func numbered(frames int) string {
	return fmt.Sprintf("color=black:s=320x180:r=25:d=%g,geq=lum='if(mod(floor(N/pow(2\\,floor(X*8/W)))\\,2)\\,235\\,16)':cb=128:cr=128", float64(frames)/25)
}

// numbers reads the pictures' numbers in the order in which they are shown.
func numbers(t testing.TB, frames []*media.Frame) (all []int) {
	t.Helper()
	raw := decode(t, frames, "-vf", "scale=8:1:flags=area", "-pix_fmt", "gray", "-f", "rawvideo", "-vsync", "passthrough", "-")
	for picture := range slices.Chunk(raw, 8) {
		n := 0
		for bit, v := range picture {
			if v > 128 {
				n |= 1 << bit
			}
		}
		all = append(all, n)
	}
	return all
}

func TestPicturesKeepTheirTime(t *testing.T) {
	found(t)
	const length = 110
	for _, c := range []struct {
		name  string
		codec media.Codec
		args  []string
	}{
		{"H.264 with B-frames", media.H264, []string{"-c:v", "libx264", "-g", "50", "-bf", "3", "-x264-params", "b-adapt=0:b-pyramid=normal:scenecut=0"}},
		{"H.265", media.H265, []string{"-c:v", "libx265", "-x265-params", "keyint=50:bframes=3:log-level=none", "-preset", "ultrafast"}},
		{"VP8", media.VP8, []string{"-c:v", "libvpx", "-deadline", "realtime", "-g", "50", "-b:v", "500k"}},
		{"VP9", media.VP9, []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "50", "-lag-in-frames", "0"}},
		{"AV1", media.AV1, []string{"-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "50", "-lag-in-frames", "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := encode(t, c.codec, numbered(length), append(c.args, "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")...)
			from, made := session(t, source, media.H264)
			require.Len(t, source.units, length)
			sequential(t, made)
			require.False(t, made[len(made)-1].Config.BFrames)
			inTime(t, from, made)
			keyframesEvery(t, made, 2)
		})
	}
}

// inTime says that each converted picture shows what its source showed at its time, and that none is missing.
func inTime(t *testing.T, from, made []*media.Frame) {
	t.Helper()
	shown := slices.Clone(from)
	slices.SortFunc(shown, func(a, b *media.Frame) int { return int(a.PTS - b.PTS) })
	want := map[int64]int{}
	for i, n := range numbers(t, from) {
		want[shown[i].PTS] = n
	}
	require.Greater(t, len(made), 60, "of 110 at least, and FFmpeg had to start")
	for i, n := range numbers(t, made) {
		require.Contains(t, want, made[i].PTS, "picture %d has a time that no source picture has", i)
		require.Equal(t, want[made[i].PTS], n, "picture %d", i)
		if i > 0 {
			require.EqualValues(t, 3600, made[i].PTS-made[i-1].PTS, "picture %d", i)
		}
	}
}

func keyframesEvery(t *testing.T, frames []*media.Frame, interval float64) {
	t.Helper()
	last := seconds(frames[0])
	for _, f := range frames {
		if f.Keyframe {
			last = seconds(f)
		}
		require.Less(t, seconds(f)-last, interval+.04)
	}
}

// TestKilledChildIsReplaced and what follows in it are one story: a conversion is killed, comes back with later times, ends with its
// last reader and leaves nothing.
func TestKilledChildIsReplaced(t *testing.T) {
	leakCheck(t)
	c := encode(t, media.PCMU, click(8000, 20), "-af", "asetnsamples=160", "-c:a", "pcm_mulaw")
	r := newRig(t, c.config, NewConverter(found(t), slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	playing := make(chan struct{})
	go func() { defer close(playing); r.play(ctx, c) }()
	l, release := r.converted(ctx, media.Opus)
	require.Len(t, children(t), 1)
	before := l.Ring().Latest()
	require.NoError(t, syscall.Kill(children(t)[0], syscall.SIGKILL))
	reader := l.Ring().ReadFrom(l.Ring().Next())
	after, err := reader.Next(ctx)
	for ; err == nil && !after.Discontinuity; after, err = reader.Next(ctx) { // what was in the pipe
		before = after
	}
	require.NoError(t, err)
	require.Greater(t, after.PTS, before.PTS)
	release()
	require.Eventually(t, func() bool { return len(children(t)) == 0 }, 30*time.Second, 10*time.Millisecond, "no process is left, not even a dead one")
	cancel()
	<-playing
}

// TestNeedsShareAChild: needs of the same kind share one child, and it stays until the last is gone.
func TestNeedsShareAChild(t *testing.T) {
	leakCheck(t)
	c := encode(t, media.PCMA, click(8000, 20), "-af", "asetnsamples=160", "-c:a", "pcm_alaw")
	r := newRig(t, c.config, NewConverter(found(t), slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	playing := make(chan struct{})
	go func() { defer close(playing); r.play(ctx, c) }()
	a, releaseA := r.converted(ctx, media.Opus)
	b, releaseB := r.converted(ctx, media.Opus)
	require.Same(t, a, b)
	require.Len(t, children(t), 1)
	releaseA()
	_, err := a.Ring().ReadFrom(a.Ring().Next()).Next(ctx)
	require.NoError(t, err)
	releaseB()
	require.Eventually(t, func() bool { return len(children(t)) == 0 }, 30*time.Second, 10*time.Millisecond)
	cancel()
	<-playing
}

// TestGarbage: what cannot be decoded ends with words for it, in time; be it that FFmpeg gives up, or that it never does.
func TestGarbage(t *testing.T) {
	for name, asc := range map[string][]byte{"parameters": {0xff, 0xff, 0xff, 0xff}, "frames": {0x11, 0x90}} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			cfg := media.Config{Codec: media.AAC, ClockRate: 48000, Channels: 2, ASC: asc}
			c := clip{config: cfg}
			noise := rand.New(rand.NewPCG(1, 2))
			for i := range int64(300) {
				frame := make([]byte, 200)
				for j := range frame {
					frame[j] = byte(noise.Uint32())
				}
				c.units = append(c.units, sfu.Unit{Parts: [][]byte{frame}, PTS: i * 1024})
			}
			converter := NewConverter(found(t), slog.New(slog.DiscardHandler))
			converter.silence = 2 * time.Second
			r := newRig(t, cfg, nil)
			target := newRig(t, media.Config{Codec: media.Opus, ClockRate: 48000, Channels: 2}, nil)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			playing := make(chan struct{})
			go func() { defer close(playing); r.play(ctx, c) }()
			err := converter.Convert(ctx, r.stream.Track(media.Audio).Layers()[0], target.writer)
			require.Error(t, err)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			t.Log(err)
			require.Empty(t, children(t))
			cancel()
			<-playing
		})
	}
}

// TestSourceComesBack: the conversion follows its source to another session, and does not fill the hours between with silence.
func TestSourceComesBack(t *testing.T) {
	leakCheck(t)
	c := encode(t, media.PCMU, click(8000, 3), "-af", "asetnsamples=160", "-c:a", "pcm_mulaw")
	r := newRig(t, c.config, NewConverter(found(t), slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	go r.play(ctx, c)
	l, release := r.converted(ctx, media.Opus)
	defer release()
	collecting, stop := context.WithCancel(ctx)
	out := make(chan []*media.Frame, 1)
	go func() { out <- collect(collecting, l, 1) }()
	idle(ctx, r.stream.Track(media.Audio).Layers()[0])
	r.begin(c.config)
	r.play(ctx, c)
	idle(ctx, l)
	stop()
	made := <-out
	sequential(t, made)
	holes := 0
	for i := 1; i < len(made); i++ {
		if made[i].PTS-made[i-1].PTS > 24000 {
			holes++
		}
	}
	require.Equal(t, 1, holes, "the pause is not filled")
	require.Greater(t, seconds(made[len(made)-1])-seconds(made[0]), 5.)
}

// TestPictureGrows: a source that changes its resolution is followed, with times that go on.
func TestPictureGrows(t *testing.T) {
	args := []string{"-c:v", "libx265", "-x265-params", "keyint=50:log-level=none", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000"}
	small := encode(t, media.H265, numbered(75), args...)
	large := encode(t, media.H265, numbered(75), append(args, "-s", "640x360", "-sws_flags", "neighbor")...)
	for _, u := range large.units {
		u.PTS += 75 * 3600
		small.units = append(small.units, u)
	}
	from, made := session(t, small, media.H264)
	sequential(t, made)
	grown := slices.IndexFunc(made, func(f *media.Frame) bool { return f.Config.Width == 640 })
	require.Positive(t, grown)
	require.True(t, made[grown].Keyframe)
	require.Equal(t, 320, made[grown-1].Config.Width)
	require.Greater(t, made[grown].Config.Version, made[grown-1].Config.Version)
	require.EqualValues(t, from[75].Config.Width, 640)
	require.GreaterOrEqual(t, made[grown].PTS, from[75].PTS)
	for i, n := range numbers(t, made[grown:]) {
		require.EqualValues(t, (made[grown+i].PTS-from[75].PTS)/3600, n, "picture %d", i)
	}
}

func TestWithoutFFmpeg(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := Find(context.Background())
	require.ErrorIs(t, f.Err(), ErrNoFFmpeg)
	err := NewConverter(f, nil).CanConvert(&media.Config{Codec: media.AAC}, media.Opus)
	require.ErrorContains(t, err, "FFmpeg is not installed")
}

func TestCanConvert(t *testing.T) {
	c := NewConverter(found(t), nil)
	require.NoError(t, c.CanConvert(&media.Config{Codec: media.AAC}, media.Opus))
	require.NoError(t, c.CanConvert(&media.Config{Codec: media.H265}, media.H264))
	require.NoError(t, c.CanConvert(&media.Config{Codec: media.H264, BFrames: true}, media.H264))
	require.Error(t, c.CanConvert(&media.Config{Codec: media.H264}, media.VP8), "nobody needs that")
	require.Error(t, c.CanConvert(&media.Config{Codec: media.H264}, media.Opus))
	poor := &FFmpeg{Version: "6.0", decoders: map[string]bool{"aac": true}}
	require.ErrorContains(t, NewConverter(poor, nil).CanConvert(&media.Config{Codec: media.AAC}, media.Opus), "libopus")
}

func TestVersions(t *testing.T) {
	for v, want := range map[string]bool{"4.3.6-0+deb11u1": false, "5.0": false, "5.1.9-0+deb12u1": true, "n7.1": true, "N-112-gabc": true, "6.0-static": true} {
		require.Equal(t, want, modern(v), v)
	}
}

func TestTail(t *testing.T) {
	var b tail
	for i := range 1000 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	require.LessOrEqual(t, len(b.String()), tailSize*2)
	require.True(t, strings.HasSuffix(b.String(), "line 998; line 999"))
}
