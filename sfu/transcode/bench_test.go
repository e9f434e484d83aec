package transcode

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"watershed/sfu/media"
	"watershed/sfu/timeline"
)

// BenchmarkDelay tells how much later than its source a converted frame can be read, in milliseconds: from the moment at which the source's clock was
// at the frame's time. What a codec must wait for (a frame of 20 or 21 ms, B-frames) is in it.
func BenchmarkDelay(b *testing.B) {
	picture := []string{"-pix_fmt", "yuv420p", "-enc_time_base", "1:90000"}
	for _, c := range []struct {
		name     string
		from, to media.Codec
		lavfi    string
		args     []string
	}{
		{"PCMU-Opus", media.PCMU, media.Opus, click(8000, 4), []string{"-af", "asetnsamples=160", "-c:a", "pcm_mulaw"}},
		{"AAC-Opus", media.AAC, media.Opus, click(44100, 4), []string{"-c:a", "aac"}},
		{"Opus-AAC", media.Opus, media.AAC, click(48000, 4), []string{"-c:a", "libopus"}},
		{"VP8-H264-720p", media.VP8, media.H264, "testsrc=s=1280x720:r=25:d=4", append([]string{"-c:v", "libvpx", "-deadline", "realtime", "-g", "50", "-b:v", "2M"}, picture...)},
		{"H265-H264-720p", media.H265, media.H264, "testsrc=s=1280x720:r=25:d=4", append([]string{"-c:v", "libx265", "-x265-params", "keyint=50:bframes=0:log-level=none", "-preset", "ultrafast"}, picture...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			clip := encode(b, c.from, c.lavfi, c.args...)
			for range b.N {
				d := delays(b, clip, c.to)
				b.ReportMetric(float64(d[len(d)/2].Microseconds())/1000, "ms-p50")
				b.ReportMetric(float64(d[len(d)*95/100].Microseconds())/1000, "ms-p95")
			}
		})
	}
}

// seen is when a position of the timeline could be read.
type seen struct {
	position time.Duration
	at       time.Time
}

// delays of a conversion's second half, in order of length.
func delays(b *testing.B, c clip, to media.Codec) (d []time.Duration) {
	r := newRig(b, c.config, NewConverter(found(b), slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	source := make(chan []seen, 1)
	first := r.stream.Track(to.Kind()).Layers()[0]
	watching, stop := context.WithCancel(ctx)
	go func() { source <- watch(watching, first.Ring().ReadFrom(1).Next) }()
	playing := make(chan struct{})
	go func() { defer close(playing); r.play(ctx, c) }()
	l, release := r.converted(ctx, to)
	defer release()
	made := make(chan []seen, 1)
	go func() { made <- watch(watching, l.Ring().ReadFrom(1).Next) }()
	<-playing
	idle(ctx, l)
	stop()
	in, out := <-source, <-made
	slices.SortFunc(in, func(a, b seen) int { return int(a.position - b.position) })
	for _, o := range out[len(out)/2:] {
		i, _ := slices.BinarySearchFunc(in, o.position+1, func(s seen, p time.Duration) int { return int(s.position - p) })
		s := in[max(0, i-1)]
		d = append(d, o.at.Sub(s.at.Add(o.position-s.position)))
	}
	slices.Sort(d)
	return d
}

func watch(ctx context.Context, next func(context.Context) (*media.Frame, error)) (all []seen) {
	for {
		f, err := next(ctx)
		if err != nil {
			return all
		}
		all = append(all, seen{timeline.Duration(f.PTS, f.Config.ClockRate), time.Now()})
	}
}

// BenchmarkStill tells what one picture takes, and what of it the start of a process takes that does nothing.
func BenchmarkStill(b *testing.B) {
	c := encode(b, media.H264, "testsrc=s=1280x720:r=25:d=0.04", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")
	r := newRig(b, c.config, nil)
	r.play(context.Background(), c)
	f, frame := found(b), newestKeyframe(r.stream)
	b.Run("720p", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.still(context.Background(), frame); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("process", func(b *testing.B) {
		for b.Loop() {
			run(b, nil, "-version")
		}
	})
}
