//go:build !linux

package udpbatch

import (
	"net/netip"
	"syscall"
)

const canSharePort = false

// Addr is a peer's address. It is comparable.
type Addr struct{ ap netip.AddrPort }

// Addr encodes a peer's address for this socket.
func (c *Conn) Addr(ap netip.AddrPort) Addr { return Addr{ap} }

func sharePort(_, _ string, _ syscall.RawConn) error { return nil }

func forceBuffers(syscall.RawConn, int) {}

func probeGSO(syscall.RawConn) bool { return false }

type system struct{}

func (*system) init(*Batch) {}

func (*system) send(b *Batch) {
	st := &b.conn.Stats
	for i := range b.msgs[:b.n] {
		m := &b.msgs[i]
		st.Calls.Add(1)
		if _, err := b.conn.udp.WriteToUDPAddrPort(b.slab[m.start:m.end], m.to.ap); err != nil {
			st.Dropped.Add(1)
			continue
		}
		st.Datagrams.Add(1)
		st.Messages.Add(1)
		st.Bytes.Add(uint64(m.end - m.start))
	}
}
