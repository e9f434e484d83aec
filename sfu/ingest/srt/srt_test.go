package srt

import (
	"bufio"
	"context"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	srt "github.com/datarhei/gosrt"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/ingest/ingesttest"
	"watershed/sfu/media"
)

const passphrase = "correct horse battery"

// newServer runs a server until the test ends, and returns its address.
func newServer(t *testing.T, s *sfu.SFU) string {
	t.Helper()
	srv, err := Listen("127.0.0.1:0", passphrase, 0, ingesttest.Door(t, s))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return srv.Addr().String()
}

// send writes pictures and sound, the clock's 33 bits wrapping among them, until the connection fails.
func send(c srt.Conn) {
	video := &mpegts.Track{PID: 256, Codec: &codecs.H264{}}
	audio := &mpegts.Track{PID: 257, Codec: &codecs.MPEG4Audio{Config: mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
	}}}
	b := bufio.NewWriterSize(c, 1316)
	w := &mpegts.Writer{W: b, Tracks: []*mpegts.Track{video, audio}}
	if w.Initialize() != nil {
		return
	}
	const start = 1<<33 - 20*ingesttest.FrameTicks
	sound := int64(0)
	for i := 0; ; i++ {
		for ; sound*1920 <= int64(i)*ingesttest.FrameTicks; sound++ { // 1,024 samples are 1,920 ticks
			w.WriteMPEG4Audio(audio, (start+sound*1920)&(1<<33-1), [][]byte{{1, 2, 3, 4}})
		}
		at := (start + int64(i)*ingesttest.FrameTicks) & (1<<33 - 1)
		if w.WriteH264(video, at, at, ingesttest.Picture(i)) != nil || b.Flush() != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func check(t *testing.T, st *sfu.Stream) {
	t.Helper()
	ingesttest.Check(t, ingesttest.Layer(t, st, media.Video), 60)
	audio := ingesttest.Layer(t, st, media.Audio)
	sounds := ingesttest.Read(t, audio, audio.Ring().Tail(), 70)
	for i, f := range sounds[1:] {
		require.Equal(t, int64(1024), f.PTS-sounds[i].PTS)
	}
}

func TestPublishOverTheWrap(t *testing.T) {
	s := ingesttest.Node(t, nil)
	cfg := srt.DefaultConfig()
	cfg.StreamId, cfg.Passphrase = "publish:river:key", passphrase
	c, err := srt.Dial("srt", newServer(t, s), cfg)
	require.NoError(t, err)
	defer c.Close()
	go send(c)
	check(t, ingesttest.Stream(t, s, "river"))
}

func TestRefusals(t *testing.T) {
	s := ingesttest.Node(t, nil)
	address := newServer(t, s)
	for id, c := range map[string]struct{ passphrase, reason string }{
		"publish:river":    {"not the right one", "passphrase"},
		"publish:No_River": {passphrase, "no such stream"},
		"nonsense":         {passphrase, "1400"},
		"read:river":       {passphrase, "1405"},
	} {
		cfg := srt.DefaultConfig()
		cfg.StreamId, cfg.Passphrase = id, c.passphrase
		_, err := srt.Dial("srt", address, cfg)
		require.Error(t, err, id)
		require.ErrorContains(t, classify(err), c.reason, id)
	}
}

func TestPull(t *testing.T) {
	l, err := srt.Listen("srt", "127.0.0.1:0", srt.DefaultConfig())
	require.NoError(t, err)
	defer l.Close()
	asked := make(chan string, 1)
	go func() {
		for {
			req, err := l.Accept2()
			if err != nil {
				return
			}
			if req.SetPassphrase(passphrase) != nil {
				req.Reject(srt.REJ_BADSECRET)
				continue
			}
			c, err := req.Accept()
			if err != nil {
				return
			}
			asked <- c.StreamId()
			go send(c)
		}
	}()
	s := ingesttest.Node(t, map[string]sfu.Puller{"srt": Pull})
	address := "srt://" + l.Addr().String() + "?streamid=read:cam&latency=50&passphrase="
	st := s.Declare("river", sfu.Spec{Inputs: []sfu.Input{{High: address + "correct%20horse%20battery"}}})
	wrong := s.Declare("wrong", sfu.Spec{Inputs: []sfu.Input{{High: address + "wrong-wrong"}}})
	ingesttest.Stream(t, s, "river")
	check(t, st)
	require.Equal(t, "read:cam", <-asked)
	require.Eventually(t, func() bool { return wrong.Status().Reason == sfu.ReasonAuth }, ingesttest.Patience, time.Millisecond)
	require.NotContains(t, wrong.Status().Feeds[0].Inputs[0], "wrong-wrong")
}
