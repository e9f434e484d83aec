package rtsp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"

	"watershed/sfu/ingest"
	"watershed/sfu/ingest/rtpclock"
)

// Server takes what encoders push: ANNOUNCE, SETUP over TCP or UDP, RECORD. UDP media come to the next even port from the server's own,
// RTCP to the one after it. There is nothing to read here.
type Server struct {
	door   ingest.Door
	server *gortsplib.Server
	addr   net.Addr
}

// Listen opens the server's ports.
func Listen(address string, door ingest.Door) (*Server, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	tries := 1
	if port == "0" { // the system chooses for TCP; UDP may be taken there
		tries = 20
	}
	for ; ; tries-- {
		s := &Server{door: door}
		if err = s.open(host, port); err == nil || tries == 1 {
			return s, err
		}
	}
}

func (s *Server) open(host, port string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	s.addr = l.Addr()
	even := (l.Addr().(*net.TCPAddr).Port + 1) &^ 1
	s.server = &gortsplib.Server{
		Handler: s, RTSPAddress: l.Addr().String(),
		UDPRTPAddress:  net.JoinHostPort(host, strconv.Itoa(even)),
		UDPRTCPAddress: net.JoinHostPort(host, strconv.Itoa(even+1)),
		ReadTimeout:    readTimeout, WriteTimeout: readTimeout,
		Listen:       func(string, string) (net.Listener, error) { return l, nil },
		ListenPacket: listenPacket,
		AuthMethods:  []auth.VerifyMethod{auth.VerifyMethodBasic}, // a key is kept as a hash, and Digest needs it in clear
	}
	if err := s.server.Start(); err != nil {
		l.Close()
		return err
	}
	return nil
}

// socketBuffer is asked for; the system may give less. 1 MiB holds the keyframe of an 8 Mb/s camera three times.
const socketBuffer = 1 << 20

func listenPacket(network, address string) (net.PacketConn, error) {
	c, err := net.ListenPacket(network, address)
	if u, ok := c.(*net.UDPConn); ok {
		u.SetReadBuffer(socketBuffer)
	}
	return c, err
}

// Addr of the server's TCP port.
func (s *Server) Addr() net.Addr { return s.addr }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.server.Close)
	defer stop()
	err := s.server.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("rtsp: %w", err)
}

// pusher is one publisher. The library calls back on the goroutine of its connection, and for UDP packets on that of the socket.
type pusher struct {
	publish ingest.Publish
	permit  *ingest.Permit
	tracks  []*track
	guest   *ingest.Guest
	lost    atomic.Uint64
	cause   atomic.Pointer[error] // for which we end it
}

// OnAnnounce implements gortsplib.ServerHandlerOnAnnounce.
func (s *Server) OnAnnounce(c *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
	p := s.wish(c)
	p, permit, err := s.door.Knock(context.Background(), c.Path, p)
	if err != nil {
		return refusal(err)
	}
	tracks := tracksOf(c.Description)
	if len(tracks) == 0 {
		return refusal(s.door.Unsupported(p, codecsOf(c.Description)))
	}
	c.Session.SetUserData(&pusher{publish: p, permit: permit, tracks: tracks})
	return reply(http.StatusOK, ""), nil
}

// wish reads who publishes: the key is the password, or ?key= in the URL.
func (s *Server) wish(c *gortsplib.ServerHandlerOnAnnounceCtx) ingest.Publish {
	p := ingest.Publish{Protocol: "rtsp", Addr: address(c.Conn.NetConn())}
	if q, err := url.ParseQuery(c.Query); err == nil {
		p.Takeover, p.Key = q.Get("takeover") == "1", q.Get("key")
	}
	var h headers.Authorization
	if h.Unmarshal(c.Request.Header["Authorization"]) == nil && h.Method == headers.AuthMethodBasic {
		p.User, p.Key = h.Username, h.BasicPass
	}
	p.Token = p.Key
	return p
}

func address(c net.Conn) string {
	if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
	}
	return c.RemoteAddr().String()
}

// refusal is an error in RTSP's words; its statuses are HTTP's (RFC 2326 section 7.1.1).
func refusal(err error) (*base.Response, error) {
	status := ingest.Status(err)
	if status == http.StatusUnauthorized {
		return reply(status, ""), liberrors.ErrServerAuth{} // the library asks for credentials
	}
	if status == http.StatusConflict {
		status = int(base.StatusForbidden) // RFC 2326 has no Conflict
	}
	return reply(status, err.Error()), nil
}

// reply has the reason in its first line, which FFmpeg shows.
func reply(status int, message string) *base.Response {
	message = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, message)
	return &base.Response{StatusCode: base.StatusCode(status), StatusMessage: message}
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (s *Server) OnSetup(c *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if _, ok := c.Session.UserData().(*pusher); !ok {
		return reply(http.StatusMethodNotAllowed, "streams are watched by WHEP or HLS; RTSP only publishes here"), nil, nil
	}
	return reply(http.StatusOK, ""), nil, nil
}

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (s *Server) OnDescribe(*gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return reply(http.StatusMethodNotAllowed, "streams are watched by WHEP or HLS; RTSP only publishes here"), nil, nil
}

// OnRecord implements gortsplib.ServerHandlerOnRecord.
func (s *Server) OnRecord(c *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	p, ok := c.Session.UserData().(*pusher)
	if !ok {
		return reply(http.StatusBadRequest, "ANNOUNCE first"), nil
	}
	if p.guest != nil {
		return reply(http.StatusOK, ""), nil
	}
	guest, writers, err := s.door.Begin(p.publish, p.permit, specs(p.tracks), func(reason error) {
		p.cause.CompareAndSwap(nil, &reason)
		go c.Session.Close() // it may be what calls us
	})
	if err != nil {
		return refusal(err)
	}
	p.guest = guest
	clock := rtpclock.New(time.Now())
	for i, t := range p.tracks {
		p.receive(c.Session, t, receive(t, writers[i], clock, &p.lost))
	}
	return reply(http.StatusOK, ""), nil
}

func (p *pusher) receive(session *gortsplib.ServerSession, t *track, r *reception) {
	session.OnPacketRTCP(t.media, r.rtcp)
	session.OnPacketRTP(t.media, t.format, func(pkt *rtp.Packet) {
		if err := r.rtp(pkt); err != nil {
			p.cause.CompareAndSwap(nil, &err)
			go session.Close() // it waits for this goroutine
		}
	})
}

// OnPacketsLost implements gortsplib.ServerHandlerOnPacketsLost.
func (s *Server) OnPacketsLost(c *gortsplib.ServerHandlerOnPacketsLostCtx) {
	if p, ok := c.Session.UserData().(*pusher); ok {
		p.lost.Add(c.Lost)
	}
}

var errEnded = errors.New("the publisher ended the session")

// OnSessionClose implements gortsplib.ServerHandlerOnSessionClose.
func (s *Server) OnSessionClose(c *gortsplib.ServerHandlerOnSessionCloseCtx) {
	p, ok := c.Session.UserData().(*pusher)
	if !ok || p.guest == nil {
		return
	}
	err := c.Error
	if err == nil || errors.As(err, new(liberrors.ErrServerSessionTornDown)) {
		err = errEnded
	}
	if cause := p.cause.Load(); cause != nil {
		err = *cause
	}
	p.guest.Leave(err)
}

// OnDecodeError implements gortsplib.ServerHandlerOnDecodeError: malformed packets are dropped.
func (s *Server) OnDecodeError(*gortsplib.ServerHandlerOnDecodeErrorCtx) {}

var (
	_ gortsplib.ServerHandlerOnAnnounce     = (*Server)(nil)
	_ gortsplib.ServerHandlerOnSetup        = (*Server)(nil)
	_ gortsplib.ServerHandlerOnDescribe     = (*Server)(nil)
	_ gortsplib.ServerHandlerOnRecord       = (*Server)(nil)
	_ gortsplib.ServerHandlerOnSessionClose = (*Server)(nil)
	_ gortsplib.ServerHandlerOnPacketsLost  = (*Server)(nil)
	_ gortsplib.ServerHandlerOnDecodeError  = (*Server)(nil)
)
