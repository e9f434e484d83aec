package transcode

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/media"
)

// TestLadder: while somebody watches, one child makes the rungs that are smaller than the source. They have the source's times and keyframes
// at the same pictures, the source's among them.
func TestLadder(t *testing.T) {
	t.Run("software", func(t *testing.T) { ladder(t, NewConverter(found(t), slog.New(slog.DiscardHandler))) })
	for name, there := range map[string]devices{"h264_nvenc": nvidia, "h264_vaapi": render, "h264_qsv": render} {
		t.Run(name, func(t *testing.T) {
			f, ran := stand(t, map[string]string{name: works})
			c, log := there.converter(t, f)
			ladder(t, c)
			require.Equal(t, []string{name + "?", name}, ran())
			require.Equal(t, 1, log.count("converting"))
			require.Zero(t, log.count("encoder=libx264"))
		})
	}
}

func ladder(t *testing.T, converter *Converter) {
	leakCheck(t)
	c := encode(t, media.H264, numbered(110), "-s", "640x360", "-sws_flags", "neighbor", "-c:v", "libx264", "-sc_threshold", "0", "-g", "35", "-bf", "0", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")
	r := newRig(t, c.config, converter)
	r.sfu.Declare(r.stream.Name, sfu.Spec{Ladder: []string{"120p", "360p", "240p", "720p"}})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	collecting, stop := context.WithCancel(ctx)
	source := r.stream.Track(media.Video).Layers()[0]
	originals := make(chan []*media.Frame, 1)
	go func() { originals <- collect(collecting, source, 1) }()
	playing := make(chan struct{})
	go func() { defer close(playing); r.play(ctx, c) }()
	require.NoError(t, r.stream.WaitLive(ctx))
	require.Empty(t, children(t), "nobody watches")
	release := r.stream.Hold("test")
	rungs := r.rungs(ctx, 2)
	require.Len(t, children(t), 1)
	made := []chan []*media.Frame{make(chan []*media.Frame, 1), make(chan []*media.Frame, 1)}
	for i, l := range rungs {
		go func() { made[i] <- collect(collecting, l, 1) }()
	}
	<-playing
	idle(ctx, rungs[1])
	stop()
	from := <-originals
	var keys [2][]int64
	for i, height := range []int{240, 120} {
		frames := <-made[i]
		sequential(t, frames)
		require.Equal(t, height, frames[0].Config.Height)
		inTime(t, from, frames)
		keys[i] = keyframes(frames)
	}
	require.Equal(t, keys[0], keys[1])
	for _, k := range keyframes(from) {
		if k > keys[0][0] {
			require.Contains(t, keys[0], k)
		}
	}
	release()
	require.Eventually(t, func() bool { return len(children(t)) == 0 }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, []*sfu.Layer{source}, r.stream.Track(media.Video).Layers())
}

// rungs waits until the stream has so many.
func (r *rig) rungs(ctx context.Context, n int) []*sfu.Layer {
	for {
		changed := r.stream.Changed()
		rungs := slices.DeleteFunc(slices.Clone(r.stream.Track(media.Video).Layers()), func(l *sfu.Layer) bool { return !l.Converted })
		if len(rungs) == n {
			return rungs
		}
		select {
		case <-changed:
		case <-ctx.Done():
			require.Fail(r.t, "the ladder has not so many rungs", "%d", len(rungs))
		}
	}
}

func keyframes(frames []*media.Frame) (pts []int64) {
	for _, f := range frames {
		if f.Keyframe {
			pts = append(pts, f.PTS)
		}
	}
	return pts
}

func TestRungs(t *testing.T) {
	for label, lines := range map[string]int{"720p": 720, "90p": 90, "4320p": 4320} {
		n, err := sfu.ParseRung(label)
		require.NoError(t, err)
		require.Equal(t, lines, n)
	}
	for _, label := range []string{"", "p", "720", "721p", "-720p", "72 0p", "88p", "9999999999999999999p", "high"} {
		_, err := sfu.ParseRung(label)
		require.Error(t, err, label)
	}
}
