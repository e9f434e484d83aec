package turn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/pion/turn/v5"
	"github.com/stretchr/testify/require"
)

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}}
}

func dialTLS(t *testing.T, s *Server) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", s.tls.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"stun.turn"}})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// allocateTLS asks for a relay over TLS.
func allocateTLS(t *testing.T, s *Server, username, password string) (net.PacketConn, error) {
	t.Helper()
	c := dialTLS(t, s)
	return allocateOn(t, turn.NewSTUNConn(c), c.RemoteAddr(), username, password)
}

func TestRelaysOverTLS(t *testing.T) {
	_, s, public, err := relayed(t, "a secret of some length", "", "")
	require.NoError(t, err)
	ice := s.ICEServers("example.org")[0]
	require.Regexp(t, `^turns:example\.org:\d+\?transport=tcp$`, ice.URLs[1])
	pc, err := allocateTLS(t, s, ice.Username, ice.Credential)
	require.NoError(t, err)
	requireRelayed(t, pc, public)
	_, err = pc.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53})
	require.Error(t, err, "another address is not permitted")
	_, err = allocateTLS(t, s, ice.Username, "nonsense")
	require.Error(t, err)
}

// requireClosed reads until the server ends a connection.
func requireClosed(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := io.Copy(io.Discard, c)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection stays open")
}

// TestDoorClosesBehindStrangers: what does not allocate, and what is no TLS, is not kept; neither is anything when the server ends.
func TestDoorClosesBehindStrangers(t *testing.T) {
	s, err := New(Config{TLS: "127.0.0.1:0", Cert: selfSigned(t), Secret: []byte("x")})
	require.NoError(t, err)
	patient := dialTLS(t, s)
	require.Eventually(t, func() bool { return s.tls.opened() == 1 }, 10*time.Second, time.Millisecond)

	s.tls.mu.Lock()
	s.tls.patience = 50 * time.Millisecond
	s.tls.mu.Unlock()
	requireClosed(t, dialTLS(t, s))
	raw, err := net.Dial("tcp", s.tls.Addr().String())
	require.NoError(t, err)
	defer raw.Close()
	raw.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	requireClosed(t, raw)
	require.Equal(t, 1, s.tls.opened(), "the patient one")

	require.NoError(t, s.server.Close())
	requireClosed(t, patient)
	require.Zero(t, s.tls.opened())
}

func (d *door) opened() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}
