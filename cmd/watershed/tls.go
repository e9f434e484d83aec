package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"watershed/cmd/watershed/config"
)

// tlsConfig is what a listener's secure connections are spoken with: nil for plain text. Certificates in files are read again when they
// change, so that whoever renews them need not restart the node.
func (n *node) tlsConfig(key string, c config.TLS) (*tls.Config, error) {
	switch {
	case c.Cert != "":
		files := &certificateFiles{cert: c.Cert, key: c.Key}
		if _, err := files.certificate(nil); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: files.certificate, NextProtos: []string{"h2", "http/1.1"}}, nil
	case len(c.ACME) > 0:
		m := &autocert.Manager{
			Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(c.ACME...),
			Cache: autocert.DirCache(filepath.Join(n.cfg.Data, "acme")),
		}
		t := m.TLSConfig() // answers TLS-ALPN challenges itself (RFC 8737): the listener must be reached as port 443
		t.MinVersion = tls.VersionTLS12
		return t, nil
	}
	return nil, nil
}

// certificateFiles is a certificate that is read again when its file changes.
type certificateFiles struct {
	cert, key string

	mu      sync.Mutex // guards what follows
	pair    *tls.Certificate
	changed time.Time // of the file that was read
	looked  time.Time
}

// lookAgain is how often the file's time is looked at.
const lookAgain = 10 * time.Second

func (f *certificateFiles) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pair != nil && time.Since(f.looked) < lookAgain {
		return f.pair, nil
	}
	f.looked = time.Now()
	info, err := os.Stat(f.cert)
	if err == nil && f.pair != nil && info.ModTime().Equal(f.changed) {
		return f.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		if f.pair != nil { // half written: the old one still serves
			return f.pair, nil
		}
		return nil, err
	}
	f.pair = &pair
	if info != nil {
		f.changed = info.ModTime()
	}
	return f.pair, nil
}
