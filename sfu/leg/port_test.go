package leg

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

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
