package main

import (
	"context"
	"crypto/tls"
	"net"

	"golang.org/x/sync/errgroup"

	"watershed/sfu/ingest"
	"watershed/sfu/ingest/rtmp"
	"watershed/sfu/ingest/rtsp"
	"watershed/sfu/ingest/srt"
)

// pushed is a listener for those who push media in.
type pushed interface {
	Addr() net.Addr
	Run(ctx context.Context) error
}

// listenPushed opens the listeners that are not turned off.
func (n *node) listenPushed() error {
	door := ingest.Door{Admit: n.access.Admit(n.sfu.Ensure), Log: n.log}
	secure, err := n.rtmpTLS()
	if err != nil {
		return err
	}
	for _, l := range []struct {
		key, address string
		listen       func(string) (pushed, error)
	}{
		{"rtsp", n.cfg.RTSP.Listen, func(a string) (pushed, error) { return rtsp.Listen(a, door) }},
		{"srt", n.cfg.SRT.Listen, func(a string) (pushed, error) { return srt.Listen(a, n.cfg.SRT.Passphrase, n.cfg.SRT.Latency, door) }},
		{"rtmp", n.cfg.RTMP.Listen, func(a string) (pushed, error) { return rtmp.Listen(a, secure, door) }},
	} {
		if err := n.openPushed(l.key, l.address, l.listen); err != nil {
			return err
		}
	}
	return nil
}

// rtmpTLS is what RTMPS is spoken with: rtmp.tls, else the certificate of http.tls, else nothing.
func (n *node) rtmpTLS() (*tls.Config, error) {
	key, c := "rtmp.tls", n.cfg.RTMP.TLS
	if c.Cert == "" && len(c.ACME) == 0 {
		key, c = "http.tls", n.cfg.HTTP.TLS
	}
	return n.tlsConfig(key, c)
}

func (n *node) openPushed(key, address string, listen func(string) (pushed, error)) error {
	if address == "" {
		return nil
	}
	p, err := listen(address)
	if err != nil {
		return listenError(key, err)
	}
	n.pushed = append(n.pushed, p)
	n.listening = append(n.listening, key, p.Addr().String())
	return nil
}

func (n *node) runPushed(ctx context.Context, g *errgroup.Group) {
	for _, p := range n.pushed {
		g.Go(func() error { return p.Run(ctx) })
	}
}
