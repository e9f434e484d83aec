// Package pipe is a datagram connection fed by hand: what a DTLS handshake sees of a socket that others read.
package pipe

import (
	"net"
	"os"
	"sync"
	"time"
)

// depth of the queue: a handshake flight has at most five datagrams; what exceeds it is lost, and DTLS repeats itself.
const depth = 16

// Conn is the connection. Out sends; it must be set before use.
type Conn struct {
	Out func(b []byte) error

	in   chan []byte
	done chan struct{}
	once sync.Once

	mu      sync.Mutex // guards what follows
	end     time.Time  // read deadline
	changed chan struct{}
}

// New returns an open connection that sends by out.
func New(out func(b []byte) error) *Conn {
	return &Conn{Out: out, in: make(chan []byte, depth), done: make(chan struct{}), changed: make(chan struct{})}
}

// Deliver copies a datagram into the connection; it never waits.
func (c *Conn) Deliver(b []byte) {
	select {
	case c.in <- append([]byte(nil), b...):
	default:
	}
}

// ReadFrom waits for a delivered datagram.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, again, err := c.readOnce(b)
		if !again {
			return n, addr{}, err
		}
	}
}

func (c *Conn) readOnce(b []byte) (n int, again bool, err error) {
	c.mu.Lock()
	end, changed := c.end, c.changed
	c.mu.Unlock()
	var expired <-chan time.Time
	if !end.IsZero() {
		wait := time.Until(end)
		if wait <= 0 {
			return 0, false, os.ErrDeadlineExceeded
		}
		t := time.NewTimer(wait)
		defer t.Stop()
		expired = t.C
	}
	select {
	case p := <-c.in:
		return copy(b, p), false, nil
	case <-c.done:
		return 0, false, net.ErrClosed
	case <-expired:
		return 0, false, os.ErrDeadlineExceeded
	case <-changed:
		return 0, true, nil
	}
}

// WriteTo sends to the one peer, wherever it is now.
func (c *Conn) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), c.Out(b) }

// SetReadDeadline wakes a waiting ReadFrom.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = t
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// SetDeadline sets the read deadline: writing never waits.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline does nothing: writing never waits.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// Close ends reading. It may be called twice.
func (c *Conn) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

// LocalAddr is a name only.
func (c *Conn) LocalAddr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "udp" }
func (addr) String() string  { return "pipe" }

var _ net.PacketConn = (*Conn)(nil)
