// Package rtmp takes what encoders push by RTMP and RTMPS, and pulls from other RTMP servers. Enhanced RTMP brings H.265, AV1, VP9 and Opus.
package rtmp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/message"

	"watershed/sfu"
	"watershed/sfu/ingest"
)

const (
	handshakeTimeout = 10 * time.Second
	readTimeout      = 10 * time.Second // silence for so long is a dead source
	partingTimeout   = 2 * time.Second  // for the last word to reach one who is turned away
)

// Server takes publishers. RTMP and RTMPS share a port: the first byte tells.
type Server struct {
	door     ingest.Door
	listener net.Listener
	tls      *tls.Config // nil: no RTMPS
	open     sync.WaitGroup
}

// Listen opens the server's port. With a certificate it speaks RTMPS, too.
func Listen(address string, secure *tls.Config, door ingest.Door) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Server{door: door, listener: l, tls: secure}, nil
}

// Addr of the port.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	defer s.open.Wait()
	for {
		c, err := s.listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of file descriptors
			time.Sleep(50 * time.Millisecond)
			continue
		}
		s.open.Go(func() { s.serve(ctx, c) })
	}
}

func (s *Server) serve(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	defer func() { // a message that breaks a parser ends its connection, nothing else
		if r := recover(); r != nil {
			s.door.Log.Error("rtmp: panic", "from", c.RemoteAddr(), "panic", r, "stack", string(debug.Stack()))
		}
	}()
	c.SetDeadline(time.Now().Add(handshakeTimeout))
	secure, err := s.secure(c)
	if err != nil {
		s.door.Log.Debug("rtmp connection failed", "from", c.RemoteAddr(), "error", err)
		return
	}
	sc := &gortmplib.ServerConn{RW: secure}
	if err = sc.Initialize(); err == nil {
		err = sc.Accept()
	}
	if err != nil || sc.URL == nil {
		s.door.Log.Debug("rtmp connection failed", "from", c.RemoteAddr(), "error", err)
		return
	}
	if err := s.publish(ctx, secure, sc); err != nil {
		part(secure, sc, err)
	}
}

// peeked is a connection whose first byte was looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// secure begins TLS if that is what the client speaks: its first byte is 22, a handshake record, where RTMP says its version.
func (s *Server) secure(c net.Conn) (net.Conn, error) {
	p := &peeked{c, bufio.NewReaderSize(c, 64<<10)}
	first, err := p.r.Peek(1)
	if err != nil || first[0] != 22 {
		return p, err
	}
	if s.tls == nil {
		return nil, errors.New("RTMPS needs a certificate: set rtmp.tls or http.tls")
	}
	return tls.Server(p, s.tls), nil
}

// publish serves one publisher until it ends. The error is for those who were not let in.
func (s *Server) publish(ctx context.Context, c net.Conn, sc *gortmplib.ServerConn) error {
	if !sc.Publish {
		return ingest.Refuse(http.StatusMethodNotAllowed, "streams are watched by WHEP, HLS or HTTP-FLV; RTMP only publishes here")
	}
	path, p := wish(sc.URL)
	p.Addr = address(c)
	p, permit, err := s.door.Knock(ctx, path, p)
	if err != nil {
		return err
	}
	var guest *ingest.Guest
	d := demux{begin: func(specs []sfu.TrackSpec) (writers []*sfu.Writer, err error) {
		guest, writers, err = s.door.Begin(p, permit, specs, func(error) { c.Close() })
		return writers, err
	}}
	err = d.read(c, sc)
	if guest == nil {
		return err
	}
	guest.Leave(err)
	return nil
}

// wish reads who publishes what: rtmp://HOST/{stream}?key=KEY, or live/{stream}. Encoders cut the URL between "server" and "key" where
// they like, so the query may have ended up anywhere.
func wish(u *url.URL) (path string, p ingest.Publish) {
	q, _ := url.ParseQuery(strings.ReplaceAll(u.RawQuery, "/", "&/=")) // rtmp://h/live?key=K + /stream
	path = strings.Trim(u.Path, "/")
	if i := strings.LastIndexByte(u.RawQuery, '/'); i >= 0 {
		path += "/" + u.RawQuery[i+1:]
	}
	path = strings.TrimPrefix(strings.Trim(path, "/"), "live/")
	return path, ingest.Publish{Protocol: "rtmp", Key: q.Get("key"), Takeover: q.Get("takeover") == "1"}
}

func address(c net.Conn) string {
	a, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
}

// conn is what both ends have in common.
type conn interface {
	Read() (message.Message, error)
}

var errEnded = errors.New("the source ended the session")

func (d *demux) read(c net.Conn, r conn) error {
	for {
		c.SetDeadline(time.Now().Add(readTimeout))
		m, err := r.Read()
		if errors.Is(err, io.EOF) {
			return errEnded
		}
		if err != nil {
			return err
		}
		if cmd, ok := m.(*message.CommandAMF0); ok && (cmd.Name == "FCUnpublish" || cmd.Name == "deleteStream" || cmd.Name == "closeStream") {
			return errEnded
		}
		if err := d.handle(m, time.Now()); err != nil {
			return err
		}
	}
}

// part tells one who is turned away why, and waits until that has been read: closing at once would reset the connection.
func part(c net.Conn, sc *gortmplib.ServerConn, reason error) {
	code := "NetStream.Publish.BadName"
	if s := ingest.Status(reason); s == http.StatusUnauthorized || s == http.StatusForbidden {
		code = "NetStream.Publish.Denied"
	}
	c.SetDeadline(time.Now().Add(partingTimeout))
	err := sc.Write(&message.CommandAMF0{
		ChunkStreamID: 5, MessageStreamID: 0x1000000, Name: "onStatus",
		Arguments: []any{nil, amf0.Object{
			{Key: "level", Value: "error"}, {Key: "code", Value: code}, {Key: "description", Value: reason.Error()},
		}},
	})
	if w, ok := c.(interface{ CloseWrite() error }); ok && err == nil {
		w.CloseWrite()
	}
	if err == nil {
		io.Copy(io.Discard, io.LimitReader(c, 8<<20))
	}
}
