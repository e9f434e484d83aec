package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
)

// writeCertificate makes a self-signed certificate for 127.0.0.1 in two files.
func writeCertificate(t *testing.T, dir string, serial int64) (files config.TLS, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	files = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	require.NoError(t, os.WriteFile(files.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	require.NoError(t, os.WriteFile(files.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return files, pool
}

func TestHTTPSSpeaksHTTP2(t *testing.T) {
	files, pool := writeCertificate(t, t.TempDir(), 1)
	n := &node{}
	secure, err := n.tlsConfig("http.tls", files)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- serveHTTP(ctx, tls.NewListener(l, secure), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }), slog.New(slog.DiscardHandler))
	}()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	res, err := client.Get("https://" + l.Addr().String())
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, 2, res.ProtoMajor)
	client.CloseIdleConnections()
	cancel()
	require.NoError(t, <-done)
}

func TestRenewedCertificateIsServed(t *testing.T) {
	dir := t.TempDir()
	files, _ := writeCertificate(t, dir, 1)
	f := &certificateFiles{cert: files.Cert, key: files.Key}
	serial := func() int64 {
		f.looked = time.Time{}
		c, err := f.certificate(nil)
		require.NoError(t, err)
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		require.NoError(t, err)
		return leaf.SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial())
	writeCertificate(t, dir, 2)
	later := time.Now().Add(time.Minute)
	require.NoError(t, os.Chtimes(files.Cert, later, later))
	require.EqualValues(t, 2, serial())
	require.NoError(t, os.WriteFile(files.Cert, []byte("half"), 0o600))
	require.EqualValues(t, 2, serial(), "a broken file does not end the service")
}

func TestMissingCertificateNamesTheKey(t *testing.T) {
	_, err := (&node{}).tlsConfig("http.tls", config.TLS{Cert: "/nowhere/cert.pem", Key: "/nowhere/key.pem"})
	require.ErrorContains(t, err, "http.tls")
}
