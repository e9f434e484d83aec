package transcode

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/media"
)

// gallery is a running Stills.
func gallery(t testing.TB) *Stills {
	s := NewStills(found(t), slog.New(slog.NewTextHandler(testLog{t}, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// shows reads the number of a picture made from numbered.
func shows(t testing.TB, still *Still) (n int) {
	t.Helper()
	p, err := jpeg.Decode(bytes.NewReader(still.JPEG))
	require.NoError(t, err)
	b := p.Bounds()
	for bit := range 8 {
		y := p.(*image.YCbCr).YCbCrAt(b.Dx()*(2*bit+1)/16, b.Dy()/2).Y
		if y > 128 {
			n |= 1 << bit
		}
	}
	return n
}

func TestPictures(t *testing.T) {
	found(t)
	for name, c := range map[string]struct {
		codec media.Codec
		size  string
		args  []string
		want  image.Point
	}{
		"H.264":    {media.H264, "1280x720", []string{"-c:v", "libx264", "-sc_threshold", "0", "-g", "20", "-bf", "2"}, image.Pt(640, 360)},
		"portrait": {media.H264, "720x1280", []string{"-c:v", "libx264", "-sc_threshold", "0", "-g", "20"}, image.Pt(360, 640)},
		"small":    {media.H264, "320x180", []string{"-c:v", "libx264", "-sc_threshold", "0", "-g", "20"}, image.Pt(320, 180)},
		"H.265":    {media.H265, "640x360", []string{"-c:v", "libx265", "-x265-params", "keyint=20:log-level=none"}, image.Pt(640, 360)},
		"VP8":      {media.VP8, "640x360", []string{"-c:v", "libvpx", "-deadline", "realtime", "-g", "20", "-b:v", "2M"}, image.Pt(640, 360)},
		"VP9":      {media.VP9, "640x360", []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "20"}, image.Pt(640, 360)},
		"AV1":      {media.AV1, "320x180", []string{"-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "20"}, image.Pt(320, 180)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c2 := encode(t, c.codec, numbered(25), append(c.args, "-s", c.size, "-sws_flags", "neighbor", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")...)
			r := newRig(t, c2.config, nil)
			r.play(context.Background(), c2)
			still, err := gallery(t).Picture(context.Background(), r.stream)
			require.NoError(t, err)
			p, err := jpeg.DecodeConfig(bytes.NewReader(still.JPEG))
			require.NoError(t, err)
			require.Equal(t, c.want, image.Pt(p.Width, p.Height))
			f := newestKeyframe(r.stream)
			require.Equal(t, f.Server, still.Time.UnixNano())
			require.Equal(t, 20, shows(t, still), "the second keyframe")
			require.Less(t, len(still.JPEG), 100_000)
		})
	}
}

// TestPictureOfATime asks for the past, and for what nobody has.
func TestPictureOfATime(t *testing.T) {
	c := encode(t, media.H264, numbered(60), "-c:v", "libx264", "-sc_threshold", "0", "-g", "20", "-bf", "0", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")
	r := newRig(t, c.config, nil)
	r.play(context.Background(), c)
	s := gallery(t)
	ring := r.stream.Track(media.Video).Layers()[0].Ring()
	for _, want := range []int{20, 40, 0} {
		f := ring.At(uint64(want + 1))
		still, err := s.At(context.Background(), r.stream, time.Unix(0, f.Server).Add(300*time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, want, shows(t, still))
		require.Equal(t, f.Server, still.Time.UnixNano())
	}
	_, err := s.At(context.Background(), r.stream, time.Unix(0, ring.At(1).Server).Add(-time.Millisecond))
	require.ErrorIs(t, err, ErrPast)
}

// TestPictureOfARecording: what the ring has no more is read once, and kept for who asks next; what nobody waits for is not made.
func TestPictureOfARecording(t *testing.T) {
	c := encode(t, media.H264, numbered(30), "-c:v", "libx264", "-sc_threshold", "0", "-g", "20", "-bf", "0", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")
	r := newRig(t, c.config, nil)
	r.play(context.Background(), c)
	frame := newestKeyframe(r.stream)
	long := time.Unix(0, frame.Server).Add(-time.Hour)
	reads := 0
	s := NewStills(found(t), slog.New(slog.DiscardHandler))
	s.Recorded = func(name id.Stream, at time.Time) (time.Time, func() (*media.Frame, error), bool) {
		older := *frame
		older.Server = at.Truncate(time.Minute).UnixNano()
		return at.Truncate(time.Minute), func() (*media.Frame, error) { reads++; return &older, nil }, name == r.stream.Name && at.After(long)
	}
	impatient, leave := context.WithCancel(context.Background())
	leave()
	_, err := s.At(impatient, r.stream, long.Add(30*time.Minute))
	require.ErrorIs(t, err, context.Canceled)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	minute := long.Add(10 * time.Minute).Truncate(time.Minute)
	for _, later := range []time.Duration{0, time.Second, 59 * time.Second} {
		still, err := s.At(context.Background(), r.stream, minute.Add(later))
		require.NoError(t, err)
		require.Equal(t, 20, shows(t, still))
		require.True(t, minute.Equal(still.Time))
	}
	_, err = s.At(context.Background(), r.stream, long.Add(-time.Hour))
	require.ErrorIs(t, err, ErrPast)
	cancel()
	<-done
	require.Equal(t, 1, reads)
	require.Len(t, s.past, 1)
}

// TestManyAskForOnePicture: many who ask at once get one picture made; what was made stays when the stream is gone offline, and nothing is made of nothing.
func TestManyAskForOnePicture(t *testing.T) {
	c := encode(t, media.H264, numbered(10), "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")
	r := newRig(t, c.config, nil)
	s := gallery(t)
	_, err := s.Picture(context.Background(), r.stream)
	require.ErrorIs(t, err, ErrNoPicture)
	r.play(context.Background(), c)
	var all sync.WaitGroup
	stills := make([]*Still, 20)
	for i := range stills {
		all.Go(func() { stills[i], _ = s.Picture(context.Background(), r.stream) })
	}
	all.Wait()
	for _, still := range stills {
		require.NotNil(t, still)
		require.Same(t, stills[0], still)
	}
	r.writer.Session().Close(nil)
	again, err := s.Picture(context.Background(), r.stream)
	require.NoError(t, err)
	require.Same(t, stills[0], again)
	anew := newRig(t, c.config, nil)
	_, err = s.Picture(context.Background(), anew.stream)
	require.ErrorIs(t, err, ErrNoPicture, "another stream of the same name")
}

// TestGarbledKeyframe: a picture that cannot be decoded is an error with words, once, and not again for each who asks.
func TestGarbledKeyframe(t *testing.T) {
	r := newRig(t, media.Config{Codec: media.VP8, ClockRate: 90000}, nil)
	frame := append([]byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0}, bytes.Repeat([]byte{0xff}, 3)...)
	require.NoError(t, r.writer.Write(sfu.Unit{Parts: [][]byte{frame}, Arrival: time.Now()}))
	s := gallery(t)
	_, err := s.Picture(context.Background(), r.stream)
	require.Error(t, err)
	t.Log(err)
	_, again := s.Picture(context.Background(), r.stream)
	require.Same(t, err, again)
	require.Empty(t, children(t))
}

func TestNoPicturesWithoutFFmpeg(t *testing.T) {
	c := encode(t, media.H264, numbered(3), "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p", "-enc_time_base", "1:90000")
	r := newRig(t, c.config, nil)
	r.play(context.Background(), c)
	t.Setenv("PATH", t.TempDir())
	s := NewStills(Find(context.Background()), slog.New(slog.DiscardHandler))
	_, err := s.Picture(context.Background(), r.stream)
	require.ErrorIs(t, err, ErrNoFFmpeg)
}
