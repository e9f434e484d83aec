package udpbatch

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair is a batch and a socket that reads what it sends.
func pair(t *testing.T, address string) (*Conn, *Batch, *net.UDPConn) {
	t.Helper()
	conns, err := Listen(context.Background(), address, 1)
	if err != nil {
		t.Skipf("no %s here: %v", address, err)
	}
	t.Cleanup(func() { conns[0].Close() })
	reader, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(conns[0].LocalAddr().Addr(), 0)))
	require.NoError(t, err)
	t.Cleanup(func() { reader.Close() })
	reader.SetReadBuffer(4 << 20)
	return conns[0], conns[0].NewBatch(), reader
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func put(b *Batch, p []byte) {
	copy(b.Space(len(p)+20), p)
	b.Commit(len(p))
}

func expect(t *testing.T, r *net.UDPConn, want [][]byte) {
	t.Helper()
	buf := make([]byte, 2048)
	r.SetReadDeadline(time.Now().Add(5 * time.Second))
	for i, w := range want {
		n, err := r.Read(buf)
		require.NoError(t, err, "datagram %d", i)
		require.True(t, bytes.Equal(w, buf[:n]), "datagram %d has %d bytes, not %d", i, n, len(w))
	}
}

// TestDatagramsArriveAsTheyWere sends runs of all shapes, with and without segmentation, and reads every datagram back in order.
func TestDatagramsArriveAsTheyWere(t *testing.T) {
	shapes := map[string][]int{
		"one":                {100},
		"a run":              {1200, 1200, 1200, 700},
		"small before a run": {80, 1200, 1200, 300},
		"growing":            {100, 200, 300},
		"equal to the end":   {500, 500, 500, 500},
		"two runs":           {1000, 1000, 200, 1000, 1000, 200},
		"a run of 70":        repeat(900, 70),
		"more than a slab":   repeat(1216, 230),
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		for name, sizes := range shapes {
			for _, gso := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/gso=%v", address, name, gso), func(t *testing.T) {
					conn, b, reader := pair(t, address)
					if !gso {
						conn.DisableGSO()
					}
					b.To(conn.Addr(netip.AddrPortFrom(loopbackOf(addrOf(reader).Addr()), addrOf(reader).Port())))
					var want [][]byte
					for i, n := range sizes {
						p := bytes.Repeat([]byte{byte(i + 1)}, n)
						want = append(want, p)
						put(b, p)
						if i%40 == 39 { // what a socket's buffer holds by default
							b.Flush()
							expect(t, reader, want)
							want = nil
						}
					}
					b.Flush()
					expect(t, reader, want)
					require.EqualValues(t, len(sizes), conn.Stats.Datagrams.Load())
					require.Zero(t, conn.Stats.Dropped.Load())
				})
			}
		}
	}
}

func loopbackOf(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.IPv6Loopback()
	}
	return a
}

func repeat(n, times int) (sizes []int) {
	for range times {
		sizes = append(sizes, n)
	}
	return sizes
}

// TestOnePeersTroubleIsItsOwn: a peer that the kernel refuses costs the others nothing.
func TestOnePeersTroubleIsItsOwn(t *testing.T) {
	conn, b, reader := pair(t, "127.0.0.1:0")
	good := conn.Addr(addrOf(reader))
	nowhere := conn.Addr(netip.MustParseAddrPort("127.0.0.1:0")) // port 0: EINVAL
	var want [][]byte
	gso := conn.GSO()
	for i := range 10 {
		b.To(nowhere)
		put(b, []byte("lost"))
		put(b, []byte("lost")) // a run
		b.To(good)
		p := fmt.Appendf(nil, "datagram %d", i)
		put(b, p)
		want = append(want, p)
	}
	b.Flush()
	expect(t, reader, want)
	require.EqualValues(t, 20, conn.Stats.Dropped.Load())
	require.EqualValues(t, 10, conn.Stats.Datagrams.Load())
	require.Equal(t, gso, conn.GSO(), "and segmentation stays")
}

func TestSocketsShareAPort(t *testing.T) {
	conns, err := Listen(context.Background(), "127.0.0.1:0", 3)
	require.NoError(t, err)
	for _, c := range conns {
		require.Equal(t, conns[0].LocalAddr(), c.LocalAddr())
		c.Close()
	}
}

func TestAFullMessageTableIsSentInBetween(t *testing.T) {
	conn, b, reader := pair(t, "127.0.0.1:0")
	b.To(conn.Addr(addrOf(reader)))
	var want [][]byte
	for i := range maxMessages + 6 { // growing sizes never join
		p := bytes.Repeat([]byte{byte(i)}, i+1)
		put(b, p)
		want = append(want, p)
	}
	b.Flush()
	expect(t, reader, want)
}
