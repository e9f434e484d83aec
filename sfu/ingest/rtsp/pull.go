// Package rtsp brings cameras in by RTSP: pulled (DESCRIBE, SETUP, PLAY) or pushed (ANNOUNCE, RECORD).
package rtsp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"

	"watershed/sfu"
	"watershed/sfu/ingest/rtpclock"
)

// Timeouts of a pulled source. A camera that is silent for so long is dead: a live one sends 5 pictures a second or more.
const (
	dialTimeout = 5 * time.Second
	readTimeout = 5 * time.Second
)

// Pull is a sfu.Puller for rtsp and rtsps URLs. The transport is TCP; `#transport=udp` in the URL asks for UDP. With rtsps the
// certificate is verified unless the URL ends in `#insecure`, because most cameras sign their own.
func Pull(ctx context.Context, source *url.URL, feed *sfu.Feed) error {
	options, err := url.ParseQuery(source.Fragment)
	if err != nil {
		return fmt.Errorf("read the URL's #options: %w", err)
	}
	if options.Get("transport") == "udp" && source.Scheme == "rtsps" {
		return errors.New("rtsps and #transport=udp do not go together: media would not be encrypted")
	}
	plain := *source
	plain.Fragment = ""
	u, err := base.ParseURL(plain.String())
	if err != nil {
		return errors.New("the RTSP URL cannot be read") // the library's error would show the password
	}
	overTCP := gortsplib.TransportTCP
	p := &pull{feed: feed, failed: make(chan error, 1)}
	c := &gortsplib.Client{
		Scheme: u.Scheme, Host: u.Host, ReadTimeout: readTimeout, WriteTimeout: readTimeout,
		UserAgent: "watershed", Transport: &overTCP,
		TLSConfig:     &tls.Config{ServerName: hostname(u.Host), InsecureSkipVerify: options.Has("insecure")},
		DialContext:   dialer(options.Get("transport")),
		OnPacketsLost: func(n uint64) { p.lost.Add(n) },
		OnDecodeError: func(error) {},
	}
	if err := c.Start2(); err != nil {
		return classify(err)
	}
	stop := context.AfterFunc(ctx, c.Close)
	defer c.Close()
	defer stop()
	desc, _, err := c.Describe(u)
	if err != nil {
		return classify(err)
	}
	if err := p.play(c, desc); err != nil {
		return classify(err)
	}
	defer p.session.Close(errors.New("the source ended"))
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err = <-p.failed:
		c.Close()
		<-done
	case err = <-done:
	}
	return classify(err)
}

func dialer(transport string) func(ctx context.Context, network, address string) (net.Conn, error) {
	if transport == "udp" {
		return dialUDP
	}
	return (&net.Dialer{Timeout: dialTimeout}).DialContext
}

func hostname(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return hostport
}

// pull is one connection. Its callbacks run on the client's goroutine.
type pull struct {
	feed    *sfu.Feed
	session *sfu.Session
	failed  chan error    // from the session: it must end
	lost    atomic.Uint64 // packets, of all tracks
}

// fail ends the connection; the first reason counts.
func (p *pull) fail(reason error) {
	select {
	case p.failed <- reason:
	default:
	}
}

// play sets up the tracks that are known here and starts them.
func (p *pull) play(c *gortsplib.Client, desc *description.Session) error {
	tracks := tracksOf(desc)
	if len(tracks) == 0 {
		return &sfu.SourceError{Reason: sfu.ReasonCodec, Err: errors.New("the camera offers no codec that is known here: " + codecsOf(desc))}
	}
	for _, t := range tracks {
		if _, err := c.Setup(desc.BaseURL, t.media, 0, 0); err != nil {
			return err
		}
	}
	session, writers, err := p.feed.Begin(sfu.SessionOptions{
		Tracks: specs(tracks), Name: "rtsp",
		Kicked: p.fail,
	})
	if err != nil {
		return err
	}
	p.session = session
	clock := rtpclock.New(time.Now())
	for i, t := range tracks {
		r := receive(t, writers[i], clock, &p.lost)
		c.OnPacketRTCP(t.media, r.rtcp)
		c.OnPacketRTP(t.media, t.format, func(pkt *rtp.Packet) {
			if err := r.rtp(pkt); err != nil {
				p.fail(err)
			}
		})
	}
	_, err = c.Play(nil)
	if err != nil {
		session.Close(err)
	}
	return err
}

// classify gives RTSP's own failures their reason codes.
func classify(err error) error {
	var status liberrors.ErrClientBadStatusCode
	reason := sfu.NoReason
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		switch status.Code {
		case base.StatusUnauthorized, base.StatusForbidden:
			reason = sfu.ReasonAuth
		case base.StatusNotFound:
			reason = sfu.ReasonNotFound
		case base.StatusNotEnoughBandwidth, base.StatusServiceUnavailable:
			reason = sfu.ReasonBusy
		}
	case isAuth(err):
		reason = sfu.ReasonAuth
	case isTLS(err):
		reason = sfu.ReasonTLS
	case errors.As(err, new(liberrors.ErrClientTCPTimeout)), errors.As(err, new(liberrors.ErrClientUDPTimeout)):
		reason = sfu.ReasonNoRTP
	}
	if reason == sfu.NoReason {
		return err
	}
	return &sfu.SourceError{Reason: reason, Err: err}
}

func isAuth(err error) bool {
	var setup liberrors.ErrClientAuthSetup
	return errors.As(err, &setup)
}

func isTLS(err error) bool {
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert)
}
