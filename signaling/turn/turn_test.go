package turn

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

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
		Listen: "127.0.0.1:0", Secret: []byte(secret), Local: media,
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
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: s.udp.LocalAddr().String(), TURNServerAddr: s.udp.LocalAddr().String(),
		Conn: conn, Username: username, Password: password, Realm: realm, LoggerFactory: quiet(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); conn.Close() })
	require.NoError(t, c.Listen())
	return c.Allocate()
}

func TestRelaysToTheMediaPortUnderItsPublicName(t *testing.T) {
	pc, _, public, err := relayed(t, "a secret of some length", "", "")
	require.NoError(t, err)
	_, err = pc.WriteTo([]byte("hello"), public)
	require.NoError(t, err)
	buf := make([]byte, 100)
	pc.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := pc.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, "hello", string(buf[:n]))
	require.Equal(t, public.String(), from.String())
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
	require.Eventually(t, func() bool { return s.Refused.Load() >= 2 }, 5*time.Second, 5*time.Millisecond)
}

func TestWrongAndExpiredCredentials(t *testing.T) {
	for name, c := range map[string][2]string{
		"wrong":   {"99999999999:x", "nonsense"},
		"expired": {"1000000000:x", "nonsense"},
		"garbage": {"x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := relayed(t, "a secret of some length", c[0], c[1])
			require.Error(t, err)
		})
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
	}, 5*time.Second, 10*time.Millisecond, "an allocation that ended still counts")
}

func TestTLSNeedsACertificate(t *testing.T) {
	_, err := New(Config{TLS: "127.0.0.1:0", Secret: []byte("x")})
	require.ErrorContains(t, err, "http.tls")
}
