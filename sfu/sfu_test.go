package sfu_test

import (
	"context"
	"errors"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/sfu/mediatest"
	"watershed/sfu/peer"
)

// node runs a media plane on loopback for one test and checks that nothing is left of it.
func node(t *testing.T, edit func(*sfu.Config)) *sfu.SFU {
	t.Helper()
	return nodeAt(t, "127.0.0.1:0", edit)
}

// nodeAt is a node whose media port is at an address.
func nodeAt(t *testing.T, listen string, edit func(*sfu.Config)) *sfu.SFU {
	t.Helper()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	port, err := leg.Listen(ctx, leg.Config{Listen: listen, Shards: 2})
	require.NoError(t, err)
	cfg := sfu.Config{Port: port}
	if edit != nil {
		edit(&cfg)
	}
	s := sfu.New(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, "goroutines left: %v", stacks{})
	})
	return s
}

// stacks prints all goroutines when it is formatted.
type stacks struct{}

func (stacks) String() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func eventually(t *testing.T, ok func() bool, format string, args ...any) {
	t.Helper()
	within(t, 30*time.Second, ok, format, args...) // the end of waiting for what never comes
}

func within(t *testing.T, limit time.Duration, ok func() bool, format string, args ...any) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf(format, args...)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var h264 = media.Config{Codec: media.H264, ClockRate: 90000}

// source publishes a clip frame by frame.
type source struct {
	t       *testing.T
	session *sfu.Session
	writer  *sfu.Writer
	clip    [][][]byte
	n       int
	pts     int64
}

func publish(t *testing.T, st *sfu.Stream, clip string) *source {
	t.Helper()
	session, writers, err := st.Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: h264}}, Pushed: true})
	require.NoError(t, err)
	return &source{t: t, session: session, writer: writers[0], clip: mediatest.Clip(t, clip)}
}

func (s *source) write(frames int) {
	s.t.Helper()
	for range frames {
		require.NoError(s.t, s.writer.Write(sfu.Unit{Parts: s.clip[s.n%len(s.clip)], PTS: s.pts, Arrival: time.Now()}))
		s.n++
		s.pts += 3600
	}
}

// show writes frames in portions that a socket's buffer holds, and waits until the viewer has them.
func (s *source) show(check *mediatest.Checker, frames int) {
	s.t.Helper()
	_, seen := check.Seen()
	for frames > 0 {
		n := min(frames, 10)
		s.write(n)
		frames -= n
		seen += n
		eventually(s.t, func() bool { _, f := check.Seen(); return f >= seen }, "picture %d did not come", seen)
	}
}

// playUntil writes frames at a camera's pace until something holds.
func (s *source) playUntil(holds func() bool, format string, args ...any) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond) // 2.5 times real time: tests are in a hurry, timestamps do not care
	defer tick.Stop()
	eventually(s.t, func() bool { <-tick.C; s.write(1); return holds() }, format, args...)
}

func watch(t *testing.T, s *sfu.SFU, st *sfu.Stream, cfg peer.Config) (*peer.Peer, *sfu.Viewer) {
	t.Helper()
	var v *sfu.Viewer
	cfg.Exchange = func(_ context.Context, offer string) (string, error) {
		var err error
		if v, err = s.Answer(sfu.ViewerOptions{Offer: offer}); err != nil {
			return "", err
		}
		for _, sl := range v.Slots {
			sl.Bind(st, "")
		}
		return v.Answer, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p, err := peer.Dial(ctx, cfg)
	require.NoError(t, err)
	runCtx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { p.Run(runCtx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	return p, v
}

func TestViewerStartsAtTheKeyframeInTheRing(t *testing.T) {
	for name, edit := range map[string]func(*sfu.Config){
		"from zero":        nil,
		"across all wraps": func(c *sfu.Config) { c.TimelineStart, c.FirstSeq = (1<<32)/90000*time.Second-time.Second, 1<<32-20 },
	} {
		t.Run(name, func(t *testing.T) {
			s := node(t, edit)
			st := s.Declare("cam", sfu.Spec{})
			src := publish(t, st, "coast")
			src.write(60) // more than half of a GOP of 100
			check := &mediatest.Checker{Kind: "video"}
			watch(t, s, st, peer.Config{Verify: 1, OnPacket: check.Packet})
			eventually(t, func() bool { _, f := check.Seen(); return f == 60 }, "the cached GOP did not come")
			src.show(check, 150)
			require.NoError(t, check.Err())
		})
	}
}

func TestViewersStayWhileTheSourceIsAway(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	src := publish(t, st, "coast")
	src.write(30)
	check := &mediatest.Checker{Kind: "video"}
	_, v := watch(t, s, st, peer.Config{Verify: 1, OnPacket: check.Packet})
	eventually(t, func() bool { _, f := check.Seen(); return f == 30 }, "the cached GOP did not come")
	for _, clip := range []string{"lake", "river", "coast"} { // the second time with another resolution
		src.session.Close(errors.New("gone"))
		require.Equal(t, sfu.Offline, st.Status().State)
		src = publish(t, st, clip)
		src.show(check, 25)
	}
	require.NoError(t, check.Err())
	require.True(t, v.Connected())
	require.Equal(t, sfu.Live, st.Status().State)
}

func TestSecondPublisherIsRefusedUnlessItTakesOver(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	first := publish(t, st, "coast")
	_, _, err := st.Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: h264}}, Pushed: true})
	require.ErrorIs(t, err, sfu.ErrBusy)
	_, _, err = st.Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: h264}}, Pushed: true, Takeover: true})
	require.NoError(t, err)
	require.ErrorIs(t, first.writer.Write(sfu.Unit{Parts: first.clip[0]}), sfu.ErrTakenOver)
}

func TestLostPacketsAreRepeated(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	src := publish(t, st, "river")
	src.write(1)
	check := &mediatest.Checker{Kind: "video", Lossy: true}
	p, _ := watch(t, s, st, peer.Config{Verify: 1, Loss: 0.05, OnPacket: check.Packet})
	track := p.Tracks[0]
	src.playUntil(func() bool { packets, _ := check.Seen(); return packets > 1000 && track.Repeated.Load() > 0 }, "packets did not come, or again")
	require.NoError(t, check.Err())
	require.Zero(t, p.Rejected())
	require.Positive(t, track.NACKs.Load())
}

func TestStreamRemovedEndsItsViewers(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	closed := make(chan error, 1)
	var v *sfu.Viewer
	p, err := peer.Dial(context.Background(), peer.Config{Exchange: func(_ context.Context, offer string) (string, error) {
		var err error
		v, err = s.Answer(sfu.ViewerOptions{Offer: offer, Closed: func(_ *sfu.Viewer, reason error) { closed <- reason }})
		if err != nil {
			return "", err
		}
		v.Slots[0].Bind(st, "")
		return v.Answer, nil
	}})
	require.NoError(t, err)
	eventually(t, v.Connected, "not connected")
	s.Remove("cam")
	require.ErrorIs(t, <-closed, sfu.ErrStreamGone)
	p.Run(context.Background()) // ends by the server's close_notify
}

func TestHostileFeedbackHarmsNobody(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	src := publish(t, st, "coast")
	src.write(10)
	check := &mediatest.Checker{Kind: "video"}
	watch(t, s, st, peer.Config{Verify: 1, OnPacket: check.Packet})
	bad, v := watch(t, s, st, peer.Config{})
	eventually(t, func() bool { // what comes before this side has keys is nothing to it
		bad.Tracks[0].RequestKeyframe()
		return v.Quality().PLIs > 0
	}, "PLIs not counted")
	for range 200 {
		bad.Tracks[0].RequestKeyframe()
		bad.SendREMB(1)
	}
	eventually(t, func() bool { _, f := check.Seen(); return f == 10 }, "the cached GOP did not come")
	src.show(check, 100)
	require.NoError(t, check.Err())
}

func TestOfferErrors(t *testing.T) {
	s := node(t, nil)
	for name, c := range map[string]struct{ offer, want string }{
		"garbage":      {"hello", "parse SDP offer"},
		"no transport": {"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\n", "ice-ufrag"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Answer(sfu.ViewerOptions{Offer: c.offer})
			require.Error(t, err)
			require.True(t, strings.Contains(err.Error(), c.want), err)
		})
	}
}

// TestSoundAloneGoesLive: also when the stream had pictures before, which were converted for somebody.
func TestSoundAloneGoesLive(t *testing.T) {
	s := node(t, func(c *sfu.Config) { c.Converter = idleConverter{} })
	st := s.Declare("cam", sfu.Spec{})
	src := publish(t, st, "coast")
	src.write(1)
	release := st.Require(media.Video, media.VP8, func(c *media.Config) bool { return c.Codec == media.VP8 })
	defer release()
	eventually(t, func() bool { return len(st.Track(media.Video).Layers()) == 2 }, "nothing converted")
	src.session.Close(errors.New("gone"))
	_, writers, err := st.Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: media.Config{Codec: media.Opus, ClockRate: 48000}}}, Pushed: true})
	require.NoError(t, err)
	require.NoError(t, writers[0].Write(sfu.Unit{Parts: [][]byte{{1, 2}}, Arrival: time.Now()}))
	require.Equal(t, sfu.Live, st.Status().State)
	require.Nil(t, st.Track(media.Video))
}

// idleConverter converts one picture, whatever it is, and waits.
type idleConverter struct{}

func (idleConverter) CanConvert(*media.Config, media.Codec) error { return nil }
func (idleConverter) Convert(ctx context.Context, _ *sfu.Layer, to *sfu.Writer) error {
	err := to.Write(sfu.Unit{Parts: [][]byte{{0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0}}, Arrival: time.Now()})
	<-ctx.Done()
	return err
}

func (idleConverter) Ladder(ctx context.Context, _ *sfu.Layer, _ []*sfu.Writer) error {
	<-ctx.Done()
	return nil
}

// TestPicturesInOrderAgain: a publisher turns B-frames off and comes back; those who could not be shown the stream are shown it.
func TestPicturesInOrderAgain(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	src := publish(t, st, "bframes")
	src.write(1)
	src.pts += 7200
	src.write(1)
	src.pts -= 7200
	src.write(1)
	require.Equal(t, sfu.Degraded, st.Status().State)
	check := &mediatest.Checker{Kind: "video"}
	watch(t, s, st, peer.Config{Verify: 1, OnPacket: check.Packet})
	src.session.Close(errors.New("gone"))
	src = publish(t, st, "coast")
	src.show(check, 30)
	require.NoError(t, check.Err())
}

// TestTakeoverHasOneWriter: the publisher who is replaced may be in the middle of a picture.
func TestTakeoverHasOneWriter(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	first := publish(t, st, "coast")
	first.write(1)
	ring := st.Track(media.Video).Layers()[0].Ring()
	for range 20 {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for first.writer.Write(sfu.Unit{Parts: first.clip[0], Arrival: time.Now()}) == nil {
			}
		}()
		session, writers, err := st.Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: h264}}, Pushed: true, Takeover: true})
		require.NoError(t, err)
		second := &source{t: t, session: session, writer: writers[0], clip: first.clip}
		second.write(20)
		<-ended
		first = second
	}
	seq := ring.At(ring.Tail()).FirstSeq
	for n := ring.Tail(); n < ring.Next(); n++ {
		require.Equal(t, seq, ring.At(n).FirstSeq, "frame %d", n)
		seq = ring.At(n).LastSeq()
	}
}

// TestRemovedStreamsPullNothing: a declaration may come while the stream is removed.
func TestRemovedStreamsPullNothing(t *testing.T) {
	var pulls atomic.Int64
	s := node(t, func(c *sfu.Config) {
		c.Pullers = map[string]sfu.Puller{"test": func(ctx context.Context, _ *url.URL, _ *sfu.Feed) error {
			pulls.Add(1)
			defer pulls.Add(-1)
			<-ctx.Done()
			return ctx.Err()
		}}
	})
	for range 200 {
		var both sync.WaitGroup
		both.Go(func() { s.Declare("cam", sfu.Spec{Inputs: []sfu.Input{{High: "test://1"}}}) })
		both.Go(func() { s.Declare("cam", sfu.Spec{Inputs: []sfu.Input{{High: "test://2"}}}) })
		both.Go(func() { s.Remove("cam") })
		both.Wait()
		if st, ok := s.Stream("cam"); ok {
			require.LessOrEqual(t, len(st.Status().Feeds), 1)
		}
		s.Remove("cam")
	}
	eventually(t, func() bool { return pulls.Load() == 0 }, "removed streams are pulled")
}

// TestNobodyIsShownAnEarlierHour: a stream on demand that was let go has nothing to begin with for the next viewer, but a picture for its poster.
func TestNobodyIsShownAnEarlierHour(t *testing.T) {
	var sessions atomic.Int64
	s := node(t, func(c *sfu.Config) {
		c.Pullers = map[string]sfu.Puller{"test": func(ctx context.Context, _ *url.URL, f *sfu.Feed) error {
			session, writers, err := f.Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: h264}}})
			if err != nil {
				return err
			}
			defer session.Close(nil)
			sessions.Add(1)
			src := &source{t: t, session: session, writer: writers[0], clip: mediatest.Clip(t, "coast")}
			src.write(5)
			<-ctx.Done()
			return ctx.Err()
		}}
	})
	st := s.Declare("cam", sfu.Spec{Inputs: []sfu.Input{{High: "test://1"}}, Demand: true, Idle: time.Millisecond})
	for n := range int64(2) {
		release := st.Hold("test")
		eventually(t, func() bool { return sessions.Load() == n+1 && st.Status().State == sfu.Live }, "not pulled")
		ring := st.Track(media.Video).Layers()[0].Ring()
		_, ok := ring.Keyframe()
		require.True(t, ok)
		release()
		eventually(t, func() bool { return st.Status().State == sfu.Idle }, "not let go")
		_, ok = ring.Keyframe()
		require.False(t, ok, "the next viewer would be shown this")
		require.True(t, ring.Picture().Keyframe)
	}
}

// TestCodecsChangeUnderAViewer: its source comes back with other codecs, in video and in sound.
func TestCodecsChangeUnderAViewer(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	type sent struct {
		pt uint8
		ts uint32
	}
	var mu sync.Mutex
	last, back := map[string]sent{}, map[string]int32{}
	watch(t, s, st, peer.Config{Verify: 1, OnPacket: func(p peer.Packet) {
		mu.Lock()
		defer mu.Unlock()
		if was, ok := last[p.Track.Kind]; ok {
			back[p.Track.Kind] = min(back[p.Track.Kind], int32(p.Header.TS-was.ts))
		}
		last[p.Track.Kind] = sent{p.Header.PT, p.Header.TS}
	}})
	picture := map[media.Codec][][]byte{
		media.H264: mediatest.Clip(t, "coast")[0], media.VP8: {{0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0}},
	}
	for _, c := range []struct {
		video, audio media.Codec
		rate         int
		videoPT      uint8
		audioPT      uint8
	}{
		{media.H264, media.Opus, 48000, 96, 111}, {media.VP8, media.PCMU, 8000, 98, 0}, {media.H264, media.PCMA, 8000, 96, 8}, {media.VP8, media.Opus, 48000, 98, 111},
	} {
		session, writers, err := st.Begin(sfu.SessionOptions{Pushed: true, Tracks: []sfu.TrackSpec{
			{Config: media.Config{Codec: c.video, ClockRate: 90000}}, {Config: media.Config{Codec: c.audio, ClockRate: c.rate, Channels: 1}},
		}})
		require.NoError(t, err)
		n := int64(0)
		eventually(t, func() bool {
			require.NoError(t, writers[0].Write(sfu.Unit{Parts: picture[c.video], PTS: n * 3600, Arrival: time.Now()}))
			require.NoError(t, writers[1].Write(sfu.Unit{Parts: [][]byte{{1, 2}}, PTS: n * int64(c.rate) / 25, Arrival: time.Now()}))
			n++
			mu.Lock()
			defer mu.Unlock()
			return last["video"].pt == c.videoPT && last["audio"].pt == c.audioPT
		}, "neither %v nor %v", c.video, c.audio)
		session.Close(errors.New("gone"))
	}
	mu.Lock()
	defer mu.Unlock()
	require.Zero(t, back["video"], "timestamps go back")
	require.Zero(t, back["audio"], "timestamps go back")
}
