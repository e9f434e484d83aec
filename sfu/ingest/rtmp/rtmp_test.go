package rtmp

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/gortmplib/pkg/message"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/ingest/ingesttest"
	"watershed/sfu/media"
)

// newServer runs a server until the test ends, and returns its URL.
func newServer(t *testing.T, s *sfu.SFU) string {
	t.Helper()
	srv, err := Listen("127.0.0.1:0", nil, ingesttest.Door(t, s))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return "rtmp://" + srv.Addr().String()
}

func dial(t *testing.T, address string) *gortmplib.Client {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	c := &gortmplib.Client{URL: u, Publish: true}
	require.NoError(t, c.Initialize(context.Background()))
	t.Cleanup(c.Close)
	return c
}

var (
	h264Track = &gortmplib.Track{Codec: &codecs.H264{SPS: ingesttest.SPS, PPS: ingesttest.PPS}}
	aacTrack  = &gortmplib.Track{Codec: &codecs.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 44100, ChannelConfig: 2,
	}}}
	opusTrack = &gortmplib.Track{Codec: &codecs.Opus{IDHeader: &opus.IDHeader{Version: 1, ChannelCount: 2}}}
)

func writer(t *testing.T, c gortmplib.Conn, tracks ...*gortmplib.Track) *gortmplib.Writer {
	t.Helper()
	w := &gortmplib.Writer{Conn: c, Tracks: tracks}
	require.NoError(t, w.Initialize())
	return w
}

// at is FLV's time: 32 bits of milliseconds.
func at(start uint32, i, ms int) time.Duration {
	return time.Duration(start+uint32(i*ms)) * time.Millisecond
}

// Pictures and sound go over the wrap of the 32 bits; AAC's times are as even as its samples.
func TestPublishOverTheWrap(t *testing.T) {
	s := ingesttest.Node(t, nil)
	w := writer(t, dial(t, newServer(t, s)+"/river"), h264Track, aacTrack)
	start := ^uint32(0) - 1000
	go func() {
		sound := 0
		for i := range 60 {
			for ; sound*1024 <= i*1764; sound++ { // 40 ms of 44.1 kHz
				w.WriteMPEG4Audio(aacTrack, time.Duration(start+uint32(sound*1024*1000/44100))*time.Millisecond, []byte{1, 2, 3, byte(sound)})
			}
			w.WriteH264(h264Track, at(start, i, 40), at(start, i, 40), ingesttest.Picture(i))
		}
	}()
	st := ingesttest.Stream(t, s, "river")
	ingesttest.Check(t, ingesttest.Layer(t, st, media.Video), 60)
	audio := ingesttest.Layer(t, st, media.Audio)
	sounds := ingesttest.Read(t, audio, audio.Ring().Tail(), 70) // the ring keeps 76; all have come, the last picture after them
	for i, f := range sounds[1:] {
		require.Equal(t, int64(1024), f.PTS-sounds[i].PTS)
	}
	require.Equal(t, 44100, sounds[0].Config.ClockRate)
}

// A source that announces what never comes, or announces nothing, is live all the same.
func TestPublishWithoutWhatWasAnnounced(t *testing.T) {
	s := ingesttest.Node(t, nil)
	address := newServer(t, s)
	silent := writer(t, dial(t, address+"/silent"), h264Track, aacTrack)
	c := dial(t, address+"/bare")
	require.NoError(t, c.Write(&message.Video{
		ChunkStreamID: message.VideoChunkStreamID, MessageStreamID: 0x1000000, Codec: message.CodecH264, IsKeyFrame: true,
		Type: message.VideoTypeConfig, AVCConfig: avcConfig(),
	}))
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		tick := time.NewTicker(25 * time.Millisecond) // what waits until it is known what comes must fit the ring
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			silent.WriteH264(h264Track, at(0, i, 40), at(0, i, 40), ingesttest.Picture(i))
			au, _ := h264.AVCC(ingesttest.Picture(i)).Marshal()
			c.Write(&message.Video{
				ChunkStreamID: message.VideoChunkStreamID, MessageStreamID: 0x1000000, Codec: message.CodecH264,
				Type: message.VideoTypeAU, AU: au, DTS: at(0, i, 40),
			})
		}
	}()
	for _, name := range []string{"silent", "bare"} {
		st := ingesttest.Stream(t, s, idOf(name))
		ingesttest.Check(t, ingesttest.Layer(t, st, media.Video), 30)
	}
}

// Composition offsets are 24 bits with a sign; B-frames show.
func TestCompositionOffsets(t *testing.T) {
	for ms, want := range map[uint32]int64{0: 0, 40: 40, 0x7fffff: 0x7fffff, 0xffffd8: -40, 0x800000: -0x800000} {
		require.Equal(t, want, composition(time.Duration(ms)*time.Millisecond), "%x", ms)
	}
	s := ingesttest.Node(t, nil)
	w := writer(t, dial(t, newServer(t, s)+"/river"), h264Track)
	go func() {
		for i := range 40 {
			delta := []int{1, 2, 0}[i%3] // P B B in the order of decoding: shown at 1 3 2
			w.WriteH264(h264Track, at(0, i+delta, 40), at(0, i, 40), ingesttest.Picture(i))
		}
	}()
	frames := ingesttest.Read(t, ingesttest.Layer(t, ingesttest.Stream(t, s, "river"), media.Video), 1, 40)
	for i, f := range frames[1:] {
		require.Equal(t, int64(ingesttest.FrameTicks), f.DTS-frames[i].DTS)
		require.Equal(t, int64([]int{1, 2, 0}[(i+1)%3]*ingesttest.FrameTicks), f.PTS-f.DTS)
	}
	require.True(t, frames[39].Config.BFrames)
}

func TestClockWraps(t *testing.T) {
	var c clock
	require.Equal(t, int64(0xfffffff0), c.unwrap(0xfffffff0*time.Millisecond))
	require.Equal(t, int64(0x100000010), c.unwrap(0x10*time.Millisecond))
	require.Equal(t, int64(0xfffffff8), c.unwrap(0xfffffff8*time.Millisecond), "sound that is a little behind")
	require.Equal(t, int64(0x100000020), c.unwrap(0x20*time.Millisecond))
}

// Enhanced RTMP's codecs arrive as what they are.
func TestEnhancedCodecs(t *testing.T) {
	vps, sps, pps := []byte{0x40, 1, 12, 1}, h265SPS, []byte{0x44, 1, 0xc1, 0x73}
	hevc := &gortmplib.Track{Codec: &codecs.H265{VPS: vps, SPS: sps, PPS: pps}}
	s := ingesttest.Node(t, nil)
	w := writer(t, dial(t, newServer(t, s)+"/river"), hevc, opusTrack)
	go func() {
		for i := range 40 {
			w.WriteOpus(opusTrack, at(0, i, 20), []byte{0xfc, byte(i)})
			w.WriteH265(hevc, at(0, i, 20), at(0, i, 20), [][]byte{{0x26, 1, 0xaf, byte(i), 5}}) // IDR_W_RADL
		}
	}()
	st := ingesttest.Stream(t, s, "river")
	frames := ingesttest.Read(t, ingesttest.Layer(t, st, media.Video), 1, 40)
	require.Equal(t, media.H265, frames[0].Config.Codec)
	require.Equal(t, 1920, frames[0].Config.Width)
	require.Equal(t, [][]byte{vps, sps, pps, {0x26, 1, 0xaf, 0, 5}}, frames[0].Units)
	sounds := ingesttest.Read(t, ingesttest.Layer(t, st, media.Audio), 1, 40)
	require.Equal(t, media.Opus, sounds[0].Config.Codec)
	require.Equal(t, int64(960), sounds[1].PTS-sounds[0].PTS)
}

// The pulling side, from a server of the library.
func TestPull(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	asked := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		sc := &gortmplib.ServerConn{RW: c}
		if sc.Initialize() != nil || sc.Accept() != nil {
			return
		}
		asked <- sc.URL.RequestURI()
		w := &gortmplib.Writer{Conn: sc, Tracks: []*gortmplib.Track{h264Track}}
		w.Initialize()
		for i := 0; w.WriteH264(h264Track, at(0, i, 40), at(0, i, 40), ingesttest.Picture(i)) == nil; i++ {
			time.Sleep(10 * time.Millisecond)
		}
	}()
	s := ingesttest.Node(t, map[string]sfu.Puller{"rtmp": Pull})
	s.Declare("river", sfu.Spec{Inputs: []sfu.Input{{High: "rtmp://" + l.Addr().String() + "/live/cam?sign=abc"}}})
	ingesttest.Check(t, ingesttest.Layer(t, ingesttest.Stream(t, s, "river"), media.Video), 60)
	require.Equal(t, "/live/cam?sign=abc", <-asked)
}

func TestWish(t *testing.T) {
	for raw, want := range map[string]struct{ path, key string }{
		"rtmp://h/river?key=K":            {"river", "K"},
		"rtmp://h/live/river?key=K":       {"river", "K"},
		"rtmp://h/live?key=K/river":       {"river", "K"},
		"rtmp://h/river/?key=K":           {"river", "K"},
		"rtmp://h/acme~river?key=a.b-c_d": {"acme~river", "a.b-c_d"},
		"rtmp://h/live/":                  {"live", ""},
		"rtmp://h/":                       {"", ""},
	} {
		u, err := url.Parse(raw)
		require.NoError(t, err)
		path, p := wish(u)
		require.Equal(t, want.path, path, raw)
		require.Equal(t, want.key, p.Key, raw)
	}
}
