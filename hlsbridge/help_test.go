package hlsbridge

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/lane"
	"watershed/sfu"
	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/sfu/timeline"
)

// clip is one of the synthetic cameras': access units without delimiters, 25 a second.
type clip struct {
	sps, pps []byte
	units    [][][]byte
	key      []bool
}

func loadClip(t testing.TB, name string) *clip {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "cmd", "watershed", "camera", "clips", name+".h264"))
	require.NoError(t, err)
	c := &clip{}
	for _, nal := range bytes.Split(data, []byte{0, 0, 1})[1:] {
		nal = bytes.TrimRight(nal, "\x00")
		switch nal[0] & 0x1f {
		case 9: // delimiter: the next picture
			c.units, c.key = append(c.units, nil), append(c.key, false)
			continue
		case 7:
			c.sps = nal
		case 8:
			c.pps = nal
		case 5:
			c.key[len(c.key)-1] = true
		}
		c.units[len(c.units)-1] = append(c.units[len(c.units)-1], nal)
	}
	require.Len(t, c.units, 200)
	return c
}

// position of picture i in the order of showing: the clip bframes has two of them between others (see cmd/watershed/camera).
func (c *clip) position(i int, bframes bool) int64 {
	if g := i % 50; bframes && g > 0 && g <= 48 {
		if g%3 == 1 {
			return int64(i + 2)
		}
		return int64(i - 1)
	}
	return int64(i)
}

// studio feeds a real stream by hand, in its own time.
type studio struct {
	t      testing.TB
	sfu    *sfu.SFU
	bridge *Bridge
	stream *sfu.Stream
	server *httptest.Server
	lag    time.Duration // of the packager, at most, while frames are sent
}

func newStudio(t testing.TB, change func(*Config)) *studio {
	t.Helper()
	return newStudioWith(t, nil, change)
}

func newStudioWith(t testing.TB, converter sfu.Converter, change func(*Config)) *studio {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var port *leg.Port
	var err error
	for range 10 { // the system's choice for UDP may be taken for TCP
		if port, err = leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1}); err == nil {
			break
		}
	}
	require.NoError(t, err)
	s := &studio{t: t, sfu: sfu.New(sfu.Config{Port: port, Converter: converter}), lag: time.Second / 2}
	cfg := Config{SFU: s.sfu, Part: 150 * time.Millisecond, away: time.Minute}
	if change != nil {
		change(&cfg)
	}
	s.bridge = New(cfg)
	s.server = httptest.NewUnstartedServer(s.bridge)
	s.server.Listener = lane.Listen(s.server.Listener.(*net.TCPListener), ForCrowd, s.bridge, slog.New(slog.DiscardHandler)) // as a node does
	s.server.Start()
	ended := make(chan error, 2)
	go func() { ended <- s.sfu.Run(ctx) }()
	go func() { ended <- s.bridge.Run(ctx) }()
	s.stream = s.sfu.Declare("cam", sfu.Spec{Public: true})
	t.Cleanup(func() {
		stop()
		<-ended
		<-ended
		http.DefaultClient.CloseIdleConnections()
		s.server.Close()
	})
	return s
}

// source is one connection of a source that sends a clip.
type source struct {
	studio  *studio
	clip    *clip
	bframes bool
	session *sfu.Session
	writers []*sfu.Writer
	began   time.Time
	sent    int
}

func (s *studio) connect(name string, audio bool) *source {
	s.t.Helper()
	src := s.show(loadClip(s.t, name), audio)
	src.bframes = name == "bframes"
	return src
}

// show connects a source of a clip's pictures.
func (s *studio) show(c *clip, audio bool) *source {
	s.t.Helper()
	o := sfu.SessionOptions{Pushed: true, Takeover: true, Name: "test", Tracks: []sfu.TrackSpec{
		{Config: media.Config{Codec: media.H264, ClockRate: 90000, SPS: c.sps, PPS: c.pps}},
		{Config: media.Config{Codec: media.AAC, ClockRate: 48000, Channels: 2, ASC: []byte{0x11, 0x90}}},
	}}
	if !audio {
		o.Tracks = o.Tracks[:1]
	}
	session, writers, err := s.stream.Begin(o)
	require.NoError(s.t, err)
	return &source{studio: s, clip: c, session: session, writers: writers, began: time.Now()}
}

// send writes the next n pictures, and the sound beside them, as if they arrived on time.
func (s *source) send(n int) {
	s.studio.t.Helper()
	for range n {
		i := s.sent
		at := s.began.Add(time.Duration(i) * 40 * time.Millisecond)
		n := len(s.clip.units)
		loop := int64(i / n * n)
		pts := (loop + s.clip.position(i%n, s.bframes)) * 3600
		require.NoError(s.studio.t, s.writers[0].Write(sfu.Unit{Parts: s.clip.units[i%n], PTS: pts, Arrival: at}))
		if len(s.writers) > 1 {
			for a := int64(i) * 1920; a < int64(i+1)*1920; a++ {
				if a%1024 == 0 {
					require.NoError(s.studio.t, s.writers[1].Write(sfu.Unit{Parts: [][]byte{{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}}, PTS: a, Arrival: at}))
				}
			}
		}
		s.sent++
		if s.sent%20 == 0 {
			s.studio.pace()
		}
	}
}

// pace waits until the packager has taken what was sent, but for the lag: rings keep little more.
func (s *studio) pace() {
	s.t.Helper()
	p := s.bridge.packager(s.stream)
	if p.gen.Load() == nil {
		return
	}
	f := s.stream.Track(media.Video).Layers()[0].Ring().Latest()
	sent := timeline.Duration(f.PTS, 90000)
	require.Eventually(s.t, func() bool {
		v := p.gen.Load().views[0]
		last := v.segments[len(v.segments)-1]
		at := last.start
		for _, x := range last.parts {
			at += x.duration
		}
		return at > sent-s.lag
	}, 10*time.Second, time.Millisecond)
}

// reply is a response that was read to its end.
type reply struct {
	*http.Response
	body string
}

// fetch a file of the stream.
func (s *studio) fetch(file string) reply {
	s.t.Helper()
	res, err := http.Get(s.server.URL + "/hls/cam/" + file)
	require.NoError(s.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return reply{res, string(body)}
}

// lines of a playlist that begin with a prefix, without it.
func lines(playlist, prefix string) (found []string) {
	for l := range strings.Lines(playlist) {
		if rest, ok := strings.CutPrefix(strings.TrimSuffix(l, "\n"), prefix); ok {
			found = append(found, rest)
		}
	}
	return found
}

// attribute of a tag's list.
func attribute(list, name string) string {
	for a := range strings.SplitSeq(list, ",") {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// settled waits until the packager has taken all that was sent: its newest part is the last that n pictures make.
func (s *studio) settled(rendition string, position string) string {
	s.t.Helper()
	r := s.fetch(rendition + ".m3u8?" + position)
	require.Equal(s.t, http.StatusOK, r.StatusCode, r.body)
	return r.body
}

// noLeaks fails when goroutines stay that were not there before.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 3000 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond) // goroutines end in their own time
		}
		buf := make([]byte, 1<<20)
		t.Errorf("goroutines leaked:\n%s", buf[:runtime.Stack(buf, true)])
	})
}
