package leg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"watershed/sfu/udpbatch"
)

func listen(t *testing.T) *Port {
	t.Helper()
	port, err := Listen(context.Background(), Config{Listen: "127.0.0.1:0", Shards: 1})
	require.NoError(t, err)
	t.Cleanup(port.shutdown)
	return port
}

var stranger = Remote{Ufrag: "them", Password: "x", Fingerprint: "AB"}

// TestOffersThatNobodyFollowsAreBounded: each answer costs memory for 15 s.
func TestOffersThatNobodyFollowsAreBounded(t *testing.T) {
	port := listen(t)
	var legs []*Leg
	for range maxUnready {
		l, err := port.New(stranger, nobody{})
		require.NoError(t, err)
		legs = append(legs, l)
	}
	_, err := port.New(stranger, nobody{})
	require.ErrorIs(t, err, ErrFull)
	require.Equal(t, maxUnready, port.Legs())
	legs[0].Close(ErrClosed)
	legs[0].Close(ErrClosed)
	_, err = port.New(stranger, nobody{})
	require.NoError(t, err)
	_, err = port.New(stranger, nobody{})
	require.ErrorIs(t, err, ErrFull)
}

// TestMediaCostsNoAllocation: a publisher's packets pass here by the thousand.
func TestMediaCostsNoAllocation(t *testing.T) {
	port := listen(t)
	from, packet := netip.MustParseAddrPort("127.0.0.1:9"), make([]byte, 1200)
	packet[0], packet[1] = 0x80, 96
	require.Zero(t, testing.AllocsPerRun(100, func() { port.receive(packet, from, path{peer: from}) }))
}

// TestClosedLegsHaveNoPeers: a check may be answered while the leg is closed.
func TestClosedLegsHaveNoPeers(t *testing.T) {
	port := listen(t)
	l, err := port.New(stranger, nobody{})
	require.NoError(t, err)
	l.Close(ErrClosed)
	l.use(&path{peer: netip.MustParseAddrPort("127.0.0.1:9")})
	require.Empty(t, port.byPeer)
}

// TestPacketsGoWhereTheyWereAimed: the peer's path may change between the packets of a frame, from TCP to UDP.
func TestPacketsGoWhereTheyWereAimed(t *testing.T) {
	conns, err := udpbatch.Listen(context.Background(), "127.0.0.1:0", 1)
	require.NoError(t, err)
	defer conns[0].Close()
	l, err := Static(conns[0], conns[0].LocalAddr(), make([]byte, 16), make([]byte, 12))
	require.NoError(t, err)
	udp, tcp := l.path.Load(), &tcpConn{out: make(chan []byte, 8)}
	l.path.Store(&path{tcp: tcp})
	b := conns[0].NewBatch()
	require.True(t, l.Aim(b))
	l.path.Store(udp)
	l.Seal(b, make([]byte, 100), 96, 1, 2, 3)
	b.Flush()
	require.Len(t, tcp.out, 1)
	require.Zero(t, conns[0].Stats.Datagrams.Load())
}

// TestSilentConnectionsDoNotDelayTheEnd: a connection has ten seconds to say something, the node five to end.
func TestSilentConnectionsDoNotDelayTheEnd(t *testing.T) {
	port := listen(t)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		port.strangers.Add(1)
		port.serveTCP(ctx, ours)
	}()
	cancel()
	select {
	case <-ended:
	case <-time.After(firstFrame / 2):
		t.Fatal("it is still being read")
	}
	require.Zero(t, port.strangers.Load())
}

// TestPublicAddressesAreAnnouncedAlone: behind a 1:1 NAT nobody outside reaches the interfaces' own.
func TestPublicAddressesAreAnnouncedAlone(t *testing.T) {
	port, err := Listen(context.Background(), Config{Listen: "127.0.0.1:0", Shards: 1, Public: []netip.Addr{
		netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7"),
	}})
	require.NoError(t, err)
	t.Cleanup(port.shutdown)
	n := port.Local().Port()
	require.Equal(t, []string{
		fmt.Sprintf("1 1 udp 2130706431 203.0.113.7 %d typ host", n),
		fmt.Sprintf("2 1 udp 2130706175 2001:db8::7 %d typ host", n),
		fmt.Sprintf("101 1 tcp 2122121471 203.0.113.7 %d typ host tcptype passive", n),
		fmt.Sprintf("102 1 tcp 2122121215 2001:db8::7 %d typ host tcptype passive", n),
	}, port.Candidates())
	require.Equal(t, []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), n), netip.AddrPortFrom(netip.MustParseAddr("2001:db8::7"), n)}, port.Peers())
	require.Equal(t, "127.0.0.1", port.Local().Addr().String(), "the relay goes by the inside")
}

// TestEveryFamilyIsAnnounced: a port on all addresses is reached by both families, and names no address that only this link knows.
func TestEveryFamilyIsAnnounced(t *testing.T) {
	port, err := Listen(context.Background(), Config{Listen: ":0", Shards: 1})
	require.NoError(t, err)
	t.Cleanup(port.shutdown)
	require.NotEmpty(t, port.Addresses())
	for _, a := range port.Addresses() {
		require.False(t, a.IsLinkLocalUnicast() || a.Is4In6() || a.IsUnspecified(), a)
	}
}

// TestDeafSocketsEndThePort: an error that stays is not asked about a million times, and in the end it is the node's.
func TestDeafSocketsEndThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		p := &Port{cfg: Config{Listen: ":8189", Log: slog.New(slog.NewTextHandler(&log, nil))}}
		broken, reads := errors.New("bad file descriptor"), 0
		err := p.readFrom(t.Context(), 0, func([]byte) (int, netip.AddrPort, error) {
			reads++
			return 0, netip.AddrPort{}, broken
		})
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, ":8189")
		require.Equal(t, mostFailed, reads)
		require.Equal(t, 1, strings.Count(log.String(), "\n"))

		reads = 0
		require.NoError(t, p.readFrom(t.Context(), 0, func([]byte) (int, netip.AddrPort, error) {
			if reads++; reads == 100*worthALine {
				return 0, netip.AddrPort{}, net.ErrClosed
			}
			if reads%worthALine == 0 {
				return 0, netip.AddrPort{}, nil // an empty datagram
			}
			return 0, netip.AddrPort{}, broken
		}), "errors between datagrams")
		require.Equal(t, 1, strings.Count(log.String(), "\n"))
	})
}

// TestConnectionsEndWithTheirLeg: what is queued still goes, then the peer reads the end.
func TestConnectionsEndWithTheirLeg(t *testing.T) {
	port := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- port.acceptTCP(ctx) }()
	l, err := port.New(stranger, nobody{})
	require.NoError(t, err)
	ufrag, _ := l.Credentials()
	check, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag+":them"))
	require.NoError(t, err)
	var open []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", port.tcp.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Write(append([]byte{0, byte(len(check.Raw))}, check.Raw...))
		require.NoError(t, err)
		open = append(open, c)
	}
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.tcp) == 3
	}, 10*time.Second, time.Millisecond)
	open[2].Close()
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.tcp) == 2
	}, 10*time.Second, time.Millisecond)
	for _, conn := range l.tcp {
		conn.queue([]byte("goodbye"))
	}
	l.Close(ErrClosed)
	for _, c := range open[:2] {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		text, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "\x00\x07goodbye", string(text))
	}
	cancel()
	port.tcp.Close()
	require.NoError(t, <-ended)
}
