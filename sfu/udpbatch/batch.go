// Package udpbatch sends many datagrams to many peers in few system calls.
//
// A Batch is filled peer by peer. Datagrams of one size to one peer become one message that the kernel cuts up
// itself (UDP generic segmentation offload), and up to 64 messages leave in one sendmmsg. Systems without these calls send one by one.
//
// A full socket is given a few milliseconds to drain, which spreads a keyframe for many viewers over the time that the wire needs for it; what it
// does not take then is dropped and counted, as the network would. That patience is a tenth of the time at most, so a wire that is too thin for its viewers
// delays nothing else.
package udpbatch

import (
	"net/netip"
	"sync/atomic"
)

const (
	maxMessages = 64      // of one sendmmsg: enough to make its entry cost vanish
	slabSize    = 1 << 18 // sealed bytes waiting: fits a core's second-level cache
	maxSegments = 64      // UDP_MAX_SEGMENTS of Linux before 6.9
	maxMessage  = 65000   // one message with all its segments is below one UDP datagram's 65,507 bytes
)

// Stats count what became of datagrams. They are read from any goroutine.
type Stats struct {
	Datagrams atomic.Uint64 // handed to the kernel
	Bytes     atomic.Uint64
	Messages  atomic.Uint64 // a GSO run is one message
	Calls     atomic.Uint64 // system calls
	Waits     atomic.Uint64 // times that a full socket was waited for
	Dropped   atomic.Uint64 // refused: full buffer, unreachable peer
	Fallbacks atomic.Uint64 // times that segmentation was refused and given up
}

// message is a run of datagrams to one peer: all of segment bytes but the last, which may be shorter.
type message struct {
	to         Addr
	start, end int
	segment    int
	last       int // size of the newest datagram
	count      int
}

// Batch collects datagrams for one socket. One goroutine owns it.
type Batch struct {
	conn  *Conn
	slab  []byte
	used  int
	space int // size of what Space gave out last
	msgs  [maxMessages]message
	n     int
	to    Addr
	sys   system
}

// NewBatch returns an empty batch over the socket.
func (c *Conn) NewBatch() *Batch {
	b := &Batch{conn: c, slab: make([]byte, slabSize)}
	b.sys.init(b)
	return b
}

// To names the peer of the datagrams that follow.
func (b *Batch) To(a Addr) { b.to = a }

// Space returns n bytes to write the next datagram into; Commit sends what was really used.
func (b *Batch) Space(n int) []byte {
	if b.used+n > len(b.slab) {
		b.Flush()
	}
	b.space = n
	return b.slab[b.used : b.used+n : b.used+n]
}

// Commit adds the first n bytes of the last Space as one datagram to the current peer.
func (b *Batch) Commit(n int) {
	if b.n > 0 && b.msgs[b.n-1].join(b.to, b.used, n, b.conn.gso.Load()) {
		b.used += n
		return
	}
	if b.n == maxMessages {
		moved := b.slab[b.used : b.used+n]
		b.Flush()
		copy(b.slab, moved) // Flush set used to 0; the datagram may not be sent twice, so it moves
	}
	b.msgs[b.n] = message{to: b.to, start: b.used, end: b.used + n, segment: n, last: n, count: 1}
	b.n++
	b.used += n
}

// join adds a datagram to the run if the kernel could cut it off again.
func (m *message) join(to Addr, start, n int, gso bool) bool {
	if !gso || m.to != to || m.end != start || m.last != m.segment || n > m.segment ||
		m.count == maxSegments || start+n-m.start > maxMessage {
		return false
	}
	m.end, m.last = start+n, n
	m.count++
	return true
}

// Flush sends everything. It waits for a full socket, but for no more than a tenth of the time.
func (b *Batch) Flush() {
	if b.n > 0 {
		b.sys.send(b)
	}
	b.n, b.used = 0, 0
}

// Send sends one datagram at once, outside any batch. Any goroutine may call it.
func (c *Conn) Send(p []byte, to netip.AddrPort) error {
	_, err := c.udp.WriteToUDPAddrPort(p, to)
	return err
}
