package udpbatch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
)

// Conn is one socket of a port that several share.
type Conn struct {
	udp   *net.UDPConn
	raw   syscall.RawConn
	ipv6  bool // addresses must be written as IPv6
	gso   atomic.Bool
	Stats Stats
}

// socketBuffer is asked for in both directions: 4 MiB hold a keyframe of 8 Mb/s for 100 viewers.
const socketBuffer = 4 << 20

// Listen opens n sockets on one UDP address; the kernel spreads peers over them by address, so each peer stays with one. Where
// the system cannot share a port, there is one socket whatever n is.
func Listen(ctx context.Context, address string, n int) ([]*Conn, error) {
	if !canSharePort {
		n = 1
	}
	var conns []*Conn
	for len(conns) < n {
		c, err := listenOne(ctx, address)
		if err != nil {
			for _, open := range conns {
				open.Close()
			}
			return nil, fmt.Errorf("media port %s/udp: %w", address, err)
		}
		conns = append(conns, c)
		address = c.LocalAddr().String() // with port 0 the first socket chose
	}
	return conns, nil
}

func listenOne(ctx context.Context, address string) (*Conn, error) {
	lc := net.ListenConfig{Control: sharePort}
	pc, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	udp := pc.(*net.UDPConn)
	raw, err := udp.SyscallConn()
	if err != nil {
		udp.Close()
		return nil, err
	}
	udp.SetReadBuffer(socketBuffer) // best effort: the kernel clips it to its own limit
	udp.SetWriteBuffer(socketBuffer)
	forceBuffers(raw, socketBuffer) // which root may pass
	c := &Conn{udp: udp, raw: raw, ipv6: c6(udp.LocalAddr())}
	c.gso.Store(probeGSO(raw))
	return c, nil
}

func c6(a net.Addr) bool { return a.(*net.UDPAddr).AddrPort().Addr().Is6() }

// LocalAddr of the socket.
func (c *Conn) LocalAddr() netip.AddrPort { return c.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// Read waits for one datagram. IPv4 peers have IPv4 addresses even on an IPv6 socket.
func (c *Conn) Read(p []byte) (int, netip.AddrPort, error) {
	n, from, err := c.udp.ReadFromUDPAddrPort(p)
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}

// GSO reports whether the kernel cuts up runs for this socket.
func (c *Conn) GSO() bool { return c.gso.Load() }

// DisableGSO sends datagram by datagram from now on, as on a system without it.
func (c *Conn) DisableGSO() { c.gso.Store(false) }

// Close the socket; a waiting Read fails.
func (c *Conn) Close() error { return c.udp.Close() }
