// Package srt takes what encoders push by SRT as MPEG-TS, and calls SRT sources.
package srt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	srt "github.com/datarhei/gosrt"

	"watershed/sfu"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/mpegts"
	"watershed/sfu/ingest/srt/streamid"
)

// firstMedia is how long a source may take until its tracks are known.
const firstMedia = 10 * time.Second

// Server takes publishers.
type Server struct {
	door       ingest.Door
	passphrase string
	listener   srt.Listener
	open       sync.WaitGroup
}

// Listen opens the server's port. With a passphrase, of 10 to 80 characters, all connections must be encrypted with it. latency is
// the least; a caller may ask for more.
func Listen(address, passphrase string, latency time.Duration, door ingest.Door) (*Server, error) {
	c := srt.DefaultConfig()
	if latency > 0 {
		c.Latency = latency
	}
	if passphrase != "" && (len(passphrase) < srt.MIN_PASSPHRASE_SIZE || len(passphrase) > srt.MAX_PASSPHRASE_SIZE) {
		return nil, errors.New("the passphrase must have 10 to 80 characters")
	}
	a, err := net.ResolveUDPAddr("udp", address) // the library knows no host names
	if err != nil {
		return nil, err
	}
	host := ""
	if a.IP != nil {
		host = a.IP.String()
	}
	l, err := srt.Listen("srt", net.JoinHostPort(host, fmt.Sprint(a.Port)), c)
	if err != nil {
		return nil, err
	}
	return &Server{door: door, passphrase: passphrase, listener: l}, nil
}

// Addr of the port.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.listener.Close)
	defer stop()
	defer s.open.Wait()
	for {
		req, err := s.listener.Accept2()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("srt: %w", err)
		}
		s.open.Go(func() { s.serve(ctx, req) })
	}
}

func (s *Server) serve(ctx context.Context, req srt.ConnRequest) {
	defer contain(s.door.Log, "srt", req.RemoteAddr())
	p, permit, err := s.admit(ctx, req)
	if err != nil {
		req.Reject(rejection(err))
		return
	}
	c, err := req.Accept()
	if err != nil {
		s.door.Log.Debug("srt connection failed", "stream", p.Stream, "from", p.Addr, "error", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	var guest *ingest.Guest
	err = read(c, func(specs []sfu.TrackSpec) (writers []*sfu.Writer, err error) {
		guest, writers, err = s.door.Begin(p, permit, specs, func(error) { c.Close() })
		return writers, err
	})
	switch {
	case guest != nil:
		guest.Leave(err)
	default:
		s.door.Log.Warn("publisher sent nothing that can be used", "stream", p.Stream, "protocol", "srt", "from", p.Addr, "reason", err)
	}
}

// contain keeps what breaks a parser to its own connection.
func contain(log *slog.Logger, protocol string, from net.Addr) {
	if r := recover(); r != nil {
		log.Error(protocol+": panic", "from", from, "panic", r, "stack", string(debug.Stack()))
	}
}

// admit decides while the caller waits in its handshake.
func (s *Server) admit(ctx context.Context, req srt.ConnRequest) (ingest.Publish, *ingest.Permit, error) {
	p := ingest.Publish{Protocol: "srt", Addr: address(req.RemoteAddr())}
	id, err := streamid.Parse(req.StreamId())
	switch {
	case err != nil:
		return p, nil, s.door.Refused(p, &ingest.Refusal{Status: http.StatusBadRequest, Err: err})
	case id.Mode != "publish":
		return p, nil, s.door.Refused(p, ingest.Refuse(http.StatusMethodNotAllowed, "streams are watched by WHEP or HLS; SRT only publishes here"))
	}
	p.Key, p.Token, p.User, p.Takeover = id.Key, id.Key, id.User, id.Takeover
	p, permit, err := s.door.Knock(ctx, id.Stream, p)
	if err != nil {
		return p, nil, err
	}
	if err := s.decrypt(req); err != nil {
		return p, nil, s.door.Refused(p, err)
	}
	return p, permit, nil
}

// secretError is a disagreement about the passphrase.
type secretError struct{ error }

func (s *Server) decrypt(req srt.ConnRequest) error {
	switch {
	case s.passphrase == "" && req.IsEncrypted():
		return &secretError{errors.New("the connection is encrypted, and srt.passphrase is not set")}
	case s.passphrase != "" && !req.IsEncrypted():
		return &secretError{errors.New("connections must be encrypted with the passphrase")}
	case s.passphrase == "":
		return nil
	}
	if req.SetPassphrase(s.passphrase) != nil {
		return &secretError{errors.New("wrong passphrase")}
	}
	return nil
}

// rejection is an error in SRT's words: the extended codes are HTTP's with another first digit (SRT access control guidelines).
func rejection(err error) srt.RejectionReason {
	var secret *secretError
	if errors.As(err, &secret) {
		return srt.REJ_BADSECRET
	}
	switch ingest.Status(err) {
	case http.StatusUnauthorized:
		return srt.REJX_UNAUTHORIZED
	case http.StatusForbidden:
		return srt.REJX_FORBIDDEN
	case http.StatusNotFound:
		return srt.REJX_NOTFOUND
	case http.StatusMethodNotAllowed:
		return srt.REJX_BAD_MODE
	case http.StatusConflict:
		return srt.REJX_CONFLICT
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return srt.REJX_OVERLOAD
	case http.StatusBadRequest:
		return srt.REJX_BAD_REQUEST
	}
	return srt.REJX_ISE
}

func address(a net.Addr) string {
	u, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	return netip.AddrPortFrom(u.Addr().Unmap(), u.Port()).String()
}

var errEnded = errors.New("the source ended the session, or was silent for 5 s")

// read moves media until the connection ends. gosrt has no deadlines: it ends a silent connection by itself, and one without media is closed here.
func read(c srt.Conn, begin func([]sfu.TrackSpec) ([]*sfu.Writer, error)) error {
	late := time.AfterFunc(firstMedia, func() { c.Close() })
	defer late.Stop()
	err := mpegts.Read(bufio.NewReaderSize(c, 2048), func(specs []sfu.TrackSpec) ([]*sfu.Writer, error) {
		if !late.Stop() {
			return nil, errEnded
		}
		return begin(specs)
	})
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	return err
}

// Pull is a sfu.Puller for srt URLs, as a caller: srt://host:port?streamid=...&passphrase=...&latency=MS.
func Pull(ctx context.Context, source *url.URL, feed *sfu.Feed) error {
	cfg := srt.DefaultConfig()
	host, err := cfg.UnmarshalURL(source.String())
	if err != nil {
		return errors.New("the SRT URL cannot be read") // the library's error would show the passphrase
	}
	if m := source.Query().Get("mode"); m != "" && m != "caller" {
		return fmt.Errorf("mode=%s: a source is called; others push to srt.listen", m)
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, source.Hostname()); err != nil {
		return err // says that it is the name, which the dialer's error does not
	}
	c, err := srt.Dial("srt", host, cfg)
	if err != nil {
		return classify(err)
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	failed := make(chan error, 1)
	var session *sfu.Session
	err = read(c, func(specs []sfu.TrackSpec) (writers []*sfu.Writer, err error) {
		session, writers, err = feed.Begin(sfu.SessionOptions{Tracks: specs, Name: "srt", Kicked: func(reason error) {
			failed <- reason
			c.Close()
		}})
		return writers, err
	})
	if session != nil {
		session.Close(err)
	}
	select {
	case reason := <-failed:
		return reason
	default:
		return err
	}
}

// refusals are what a listener's rejection codes mean for us.
var refusals = map[srt.RejectionReason]struct {
	reason sfu.Reason
	text   string
}{
	srt.REJ_BADSECRET:     {sfu.ReasonAuth, "the source refuses the passphrase"},
	srt.REJ_UNSECURE:      {sfu.ReasonAuth, "the source wants a passphrase, or wants none"},
	srt.REJX_UNAUTHORIZED: {sfu.ReasonAuth, "the source refuses the streamid's credentials"},
	srt.REJX_FORBIDDEN:    {sfu.ReasonAuth, "the source forbids it"},
	srt.REJX_NOTFOUND:     {sfu.ReasonNotFound, "the source has no such stream"},
	srt.REJX_CONFLICT:     {sfu.ReasonBusy, "the source refuses a further session"},
	srt.REJX_OVERLOAD:     {sfu.ReasonBusy, "the source is overloaded"},
	srt.REJ_BACKLOG:       {sfu.ReasonBusy, "the source is overloaded"},
}

// classify reads the dialer's errors, which have no types. It writes the number of a rejection to the base 32.
func classify(err error) error {
	if strings.Contains(err.Error(), "timeout") {
		return &sfu.SourceError{Reason: sfu.ReasonTimeout, Err: errors.New("no answer: SRT's UDP is blocked, or nobody listens")}
	}
	_, code, _ := strings.Cut(err.Error(), "REJECT (")
	n, parse := strconv.ParseUint(strings.TrimSuffix(code, ")"), 32, 32)
	if parse != nil {
		return err
	}
	if r, ok := refusals[srt.RejectionReason(n)]; ok {
		return &sfu.SourceError{Reason: r.reason, Err: errors.New(r.text)}
	}
	return fmt.Errorf("the source rejects the connection with SRT's code %d", n)
}
