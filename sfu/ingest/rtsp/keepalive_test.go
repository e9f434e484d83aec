package rtsp

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest/ingesttest"
	"watershed/sfu/media"
)

// strict is a camera that ends a session which is not refreshed, by the one method that it knows for that.
type strict struct {
	listener net.Listener
	refresh  string                            // GET_PARAMETER or OPTIONS
	more     func(p *rtp.Packet) []*rtp.Packet // that it sends before each, nil for none
	tasks    sync.WaitGroup

	mu        sync.Mutex // guards what follows
	sessions  int
	refreshed int
}

// Such a camera names a timeout of a second, and is patient beyond: tests run on slow machines.
const strictPatience = 10 * time.Second

func newStrict(t *testing.T, refresh string) *strict {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	c := &strict{listener: l, refresh: refresh}
	c.tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.tasks.Go(func() { (&strictSession{camera: c, conn: conn}).serve(ctx) })
		}
	})
	t.Cleanup(func() { l.Close(); stop(); c.tasks.Wait() })
	return c
}

func (c *strict) counts() (sessions, refreshed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions, c.refreshed
}

type strictSession struct {
	camera *strict
	conn   net.Conn
	out    sync.Mutex
	udp    net.Conn // nil over TCP
}

const strictSDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"

func (s *strictSession) serve(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer stop()
	defer context.AfterFunc(ctx, func() { s.conn.Close() })()
	defer s.conn.Close()
	r := bufio.NewReader(s.conn)
	for {
		m, err := readMessage(r)
		if err != nil {
			return
		}
		if m.frame != nil { // its RTCP: no sign of life for this camera
			continue
		}
		method, _, _ := strings.Cut(m.first, " ")
		header, body := "", ""
		switch playing := m.header.Get("Session") != "" && method == s.camera.refresh; {
		case playing:
			s.conn.SetReadDeadline(time.Now().Add(strictPatience))
			s.camera.mu.Lock()
			s.camera.refreshed++
			s.camera.mu.Unlock()
		case method == "DESCRIBE":
			header, body = "Content-Type: application/sdp\r\n", strictSDP
		case method == "SETUP":
			header = s.setUp(m.header.Get("Transport"))
		case method == "PLAY":
			s.camera.mu.Lock()
			s.camera.sessions++
			s.camera.mu.Unlock()
			s.conn.SetReadDeadline(time.Now().Add(strictPatience))
			sending.Go(func() { s.send(ctx) })
		case method == "GET_PARAMETER":
			fmt.Fprintf(s.conn, "RTSP/1.0 405 Method Not Allowed\r\nCSeq: %s\r\n\r\n", m.header.Get("Cseq"))
			continue
		}
		public := "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
		if s.camera.refresh == "GET_PARAMETER" {
			public += ", GET_PARAMETER"
		}
		s.say([]byte(fmt.Sprintf("RTSP/1.0 200 OK\r\nCSeq: %s\r\nPublic: %s\r\nSession: 12345678;timeout=1\r\n%sContent-Length: %d\r\n\r\n%s",
			m.header.Get("Cseq"), public, header, len(body), body)))
	}
}

func (s *strictSession) say(b []byte) {
	s.out.Lock()
	defer s.out.Unlock()
	s.conn.Write(b)
}

func (s *strictSession) setUp(transport string) (header string) {
	if port, ok := parameter(transport, "client_port"); ok {
		s.udp, _ = net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
		return "Transport: " + transport + "\r\n"
	}
	return "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
}

// send plays pictures until the session ends.
func (s *strictSession) send(ctx context.Context) {
	if s.udp != nil {
		defer s.udp.Close()
	}
	enc, _ := (&format.H264{PayloadTyp: 96, PacketizationMode: 1}).CreateEncoder()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		packets, _ := enc.Encode(ingesttest.Picture(i))
		for _, p := range packets {
			p.Timestamp = uint32(i * ingesttest.FrameTicks)
			if s.camera.more != nil {
				for _, m := range s.camera.more(p) {
					s.packet(m)
				}
			}
			s.packet(p)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (s *strictSession) packet(p *rtp.Packet) {
	raw, _ := p.Marshal()
	if s.udp != nil {
		s.udp.Write(raw)
	} else {
		s.say(append([]byte{'$', 0, byte(len(raw) >> 8), byte(len(raw))}, raw...))
	}
}

// TestForeignPackets: between its own a camera sends packets of another source with the same numbers, and of a payload type that it never named.
func TestForeignPackets(t *testing.T) {
	s := ingesttest.Node(t, pullers)
	for _, transport := range []string{"tcp", "udp"} {
		n := 0
		c := newStrict(t, "OPTIONS")
		c.more = func(p *rtp.Packet) []*rtp.Packet {
			if n++; n == 1 {
				return nil // who comes first is the source
			}
			other, unknown := *p, *p
			other.SSRC, other.Payload = p.SSRC+1, []byte{0x41, 0xff, 0xff}
			unknown.PayloadType, unknown.Payload = 77, []byte{0x41, 0xff, 0xff}
			return []*rtp.Packet{&other, &unknown}
		}
		name := id.Stream("foreign-" + transport)
		st := s.Declare(name, sfu.Spec{Inputs: []sfu.Input{{High: "rtsp://" + c.listener.Addr().String() + "/stream#transport=" + transport}}})
		ingesttest.Stream(t, s, name)
		ingesttest.Check(t, ingesttest.Layer(t, st, media.Video), 60)
		sessions, _ := c.counts()
		require.Equal(t, 1, sessions)
	}
}

// TestSessionsAreKeptAlive: in time for the timeout that the camera named, by the method that it knows, whatever the transport.
func TestSessionsAreKeptAlive(t *testing.T) {
	s := ingesttest.Node(t, pullers)
	cameras := map[id.Stream]*strict{}
	for _, refresh := range []string{"GET_PARAMETER", "OPTIONS"} {
		for _, transport := range []string{"tcp", "udp"} {
			name := id.Stream(strings.ToLower(strings.ReplaceAll(refresh, "_", "-")) + "-" + transport)
			c := newStrict(t, refresh)
			cameras[name] = c
			s.Declare(name, sfu.Spec{Inputs: []sfu.Input{{High: "rtsp://" + c.listener.Addr().String() + "/stream#transport=" + transport}}})
		}
	}
	for name, c := range cameras {
		st := ingesttest.Stream(t, s, name)
		ingesttest.Check(t, ingesttest.Layer(t, st, media.Video), 30)
		require.Eventually(t, func() bool { _, n := c.counts(); return n >= 3 }, ingesttest.Patience, 10*time.Millisecond, name)
		sessions, _ := c.counts()
		require.Equal(t, 1, sessions, name)
	}
}
