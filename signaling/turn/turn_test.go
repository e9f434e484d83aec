package turn

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
	"github.com/stretchr/testify/require"
)

// relayed opens a relay before an echo in the media port's place and returns a client allocation there.
func relayed(t *testing.T, secret, username, password string) (net.PacketConn, *Server, *net.UDPAddr, error) {
	t.Helper()
	echo, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { echo.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			echo.WriteTo(buf[:n], from)
		}
	}()
	media := echo.LocalAddr().(*net.UDPAddr).AddrPort()
	public := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), media.Port()) // as behind a 1:1 NAT
	s, err := New(Config{
		Listen: "127.0.0.1:0", TLS: "127.0.0.1:0", Cert: selfSigned(t), Secret: []byte(secret), Local: media,
		Media: func() []netip.AddrPort { return []netip.AddrPort{public} },
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	if username == "" {
		ice := s.ICEServers("example.org:8080")[0]
		require.True(t, strings.HasPrefix(ice.URLs[0], "turn:example.org:"), ice.URLs)
		username, password = ice.Username, ice.Credential
	}
	pc, err := allocate(t, s, username, password)
	return pc, s, net.UDPAddrFromAddrPort(public), err
}

// allocate asks for a relay as one more client.
func allocate(t *testing.T, s *Server, username, password string) (net.PacketConn, error) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	return allocateOn(t, conn, s.udp.LocalAddr(), username, password)
}

func allocateOn(t *testing.T, conn net.PacketConn, server net.Addr, username, password string) (net.PacketConn, error) {
	t.Helper()
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server.String(), TURNServerAddr: server.String(),
		Conn: conn, Username: username, Password: password, Realm: realm, LoggerFactory: quiet(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); conn.Close() })
	require.NoError(t, c.Listen())
	return c.Allocate()
}

// requireRelayed sends by a relay to the media port's public address and waits for the echo.
func requireRelayed(t *testing.T, pc net.PacketConn, public *net.UDPAddr) {
	t.Helper()
	_, err := pc.WriteTo([]byte("hello"), public)
	require.NoError(t, err)
	buf := make([]byte, 100)
	pc.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := pc.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, "hello", string(buf[:n]))
	require.Equal(t, public.String(), from.String())
}

func TestRelaysToTheMediaPortUnderItsPublicName(t *testing.T) {
	pc, _, public, err := relayed(t, "a secret of some length", "", "")
	require.NoError(t, err)
	requireRelayed(t, pc, public)
}

func TestRelaysNowhereElse(t *testing.T) {
	pc, s, public, err := relayed(t, "a secret of some length", "", "")
	require.NoError(t, err)
	_, err = pc.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53})
	require.Error(t, err, "another address is not permitted")
	other := *public
	other.Port++
	_, err = pc.WriteTo([]byte("hello"), &other)
	require.NoError(t, err, "a permission is for an address, not a port")
	require.Eventually(t, func() bool { return s.Refused.Load() >= 2 }, 30*time.Second, 5*time.Millisecond)
}

func TestWrongAndExpiredCredentials(t *testing.T) {
	own := &Server{cfg: Config{Secret: []byte("a secret of some length")}}
	valid, password := own.credentials(time.Hour)
	expired, late := own.credentials(-time.Second)
	for name, c := range map[string][2]string{
		"wrong":       {valid, "nonsense"},
		"expired":     {expired, late},
		"prolonged":   {strings.Replace(expired, ":", "0:", 1), late},
		"garbage":     {"x", ""},
		"nobody's":    {"99999999999:", own.password("99999999999:")},
		"no password": {valid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := relayed(t, "a secret of some length", c[0], c[1])
			require.Error(t, err)
		})
	}
	_, _, _, err := relayed(t, "a secret of some length", valid, password)
	require.NoError(t, err)
}

// TestAllocationsOutliveTheirCredentials: who watches for days refreshes an allocation of the first hour.
func TestAllocationsOutliveTheirCredentials(t *testing.T) {
	s := &Server{cfg: Config{Secret: []byte("x")}}
	expired, _ := s.credentials(-time.Second)
	for method, want := range map[stun.Method]bool{stun.MethodAllocate: false, stun.MethodRefresh: true, stun.MethodChannelBind: true, stun.MethodCreatePermission: true} {
		_, _, ok := s.authenticate(&turn.RequestAttributes{Username: expired, Realm: realm, Method: method})
		require.Equal(t, want, ok, method)
	}
}

// TestAllocationsAreBounded: each is a socket of the node, and whoever may watch gets credentials.
func TestAllocationsAreBounded(t *testing.T) {
	_, s, _, err := relayed(t, "a secret of some length", "", "")
	require.NoError(t, err)
	one, other := s.ICEServers("x")[0], s.ICEServers("x")[0]
	var open []net.PacketConn
	for range maxOfOne {
		pc, err := allocate(t, s, one.Username, one.Credential)
		require.NoError(t, err)
		open = append(open, pc)
	}
	_, err = allocate(t, s, one.Username, one.Credential)
	require.ErrorContains(t, err, "486")
	_, err = allocate(t, s, other.Username, other.Credential)
	require.NoError(t, err)
	require.NoError(t, open[0].Close())
	require.Eventually(t, func() bool {
		_, err := allocate(t, s, one.Username, one.Credential)
		return err == nil
	}, 30*time.Second, 10*time.Millisecond, "an allocation that ended still counts")
}

func TestTLSNeedsACertificate(t *testing.T) {
	_, err := New(Config{TLS: "127.0.0.1:0", Secret: []byte("x")})
	require.ErrorContains(t, err, "http.tls")
}
