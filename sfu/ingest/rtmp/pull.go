package rtmp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/bluenviron/gortmplib"

	"watershed/sfu"
)

const dialTimeout = 5 * time.Second

// Pull is a sfu.Puller for rtmp and rtmps URLs: rtmp://host/app/stream?query.
func Pull(ctx context.Context, source *url.URL, feed *sfu.Feed) (err error) {
	dial, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	c := &gortmplib.Client{
		URL:         withStream(source),
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
	}
	if err := c.Initialize(dial); err != nil {
		return classify(err)
	}
	stop := context.AfterFunc(ctx, c.Close)
	defer c.Close()
	defer stop()
	failed := make(chan error, 1)
	var session *sfu.Session
	d := demux{begin: func(specs []sfu.TrackSpec) (writers []*sfu.Writer, err error) {
		session, writers, err = feed.Begin(sfu.SessionOptions{Tracks: specs, Name: "rtmp", Kicked: func(reason error) {
			failed <- reason
			c.Close()
		}})
		return writers, err
	}}
	err = d.read(c.NetConn(), c)
	if session != nil {
		session.Close(err)
	}
	select {
	case reason := <-failed:
		return reason
	default:
		return classify(err)
	}
}

// withStream tells the application from the stream, as gortmplib wants it: the stream is the path's last element, with the query, and goes behind #.
func withStream(u *url.URL) *url.URL {
	s := *u
	i := strings.LastIndexByte(strings.TrimSuffix(u.Path, "/"), '/')
	if u.Fragment != "" || i <= 0 {
		return &s
	}
	s.Path, s.RawPath, s.Fragment = u.Path[:i], "", u.Path[i+1:]
	if u.RawQuery != "" {
		s.Fragment += "?" + u.RawQuery
		s.RawQuery = ""
	}
	return &s
}

func classify(err error) error {
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &verify), errors.As(err, &record):
		return &sfu.SourceError{Reason: sfu.ReasonTLS, Err: err}
	case strings.HasPrefix(err.Error(), "bad result"):
		return &sfu.SourceError{Reason: sfu.ReasonNotFound, Err: errors.New("the server refuses to play this stream")}
	}
	return err
}
