package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"watershed/hlsbridge"
	"watershed/hlsbridge/lane"
)

// listenTCP opens a listener for a key of the configuration, which errors name.
func listenTCP(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(key, err)
	}
	return l, nil
}

// listenError says which key of the configuration has an address that cannot be had, and what to do.
func listenError(key string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s.listen: %w: another program has this port (perhaps another node); end it, or give %s.listen another address", key, err, key)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s.listen: %w: ports below 1024 need the capability CAP_NET_BIND_SERVICE; give %s.listen a higher one", key, err, key)
	}
	return fmt.Errorf("%s.listen: %w", key, err)
}

// listen opens what speaks HTTP.
func (n *node) listen() (err error) {
	n.listening = append(n.listening, "webrtc", n.sfu.Port().Conns()[0].LocalAddr().String())
	if n.http, err = listenTCP("http", n.cfg.HTTP.Listen); err != nil {
		return err
	}
	n.listening = append(n.listening, "http", n.http.Addr().String())
	secure, err := n.tlsConfig("http.tls", n.cfg.HTTP.TLS)
	if err != nil {
		return err
	}
	if secure != nil {
		n.http = tls.NewListener(n.http, secure)
	}
	if n.cfg.Metrics.Listen == "" {
		return nil
	}
	if n.metrics, err = listenTCP("metrics", n.cfg.Metrics.Listen); err != nil {
		return err
	}
	n.listening = append(n.listening, "metrics", n.metrics.Addr().String())
	return nil
}

// closeGrace is how long requests may take to end after SIGTERM. A node ends within five seconds: this leaves one for files.
const closeGrace = 4 * time.Second

// httpLog takes the lines of HTTP's own server: a panic is ours, all else is what strangers do, such as plain text to a TLS port.
type httpLog struct{ log *slog.Logger }

func (w httpLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte("panic serving")) {
		level = slog.LevelError
	}
	w.log.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}

// crowdLane answers on a plain listener what a crowd asks for; the rest is left to whoever accepts. With TLS that is everything.
func (n *node) crowdLane() net.Listener {
	if tcp, ok := n.http.(*net.TCPListener); ok && lane.Supported {
		return lane.Listen(tcp, hlsbridge.ForCrowd, n.hls, n.log)
	}
	return n.http
}

// serveHTTP serves until ctx ends; then requests have closeGrace to end.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: stdlog.New(httpLog{log}, "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		srv.Close() // what still waits for something that will not come
	}
	<-ended
	if l, ok := l.(*lane.Listener); ok {
		l.Wait(grace)
	}
	return nil
}
