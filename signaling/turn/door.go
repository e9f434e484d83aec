package turn

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	toAllocate = 10 * time.Second      // from the connection: handshake, challenge and answer take four round trips
	idle       = 11 * time.Minute      // an allocation is refreshed within its 10
	toWrite    = 10 * time.Second      // a client that takes nothing for so long is gone
	strangers  = 1024                  // connections without an allocation, over all
	breath     = 50 * time.Millisecond // when the system has no file descriptors left
)

// door accepts TLS connections for the library, which stops at the first error of a listener, keeps connections that say nothing, and leaves all
// open when it ends.
type door struct {
	net.Listener
	cfg *tls.Config

	mu       sync.Mutex // guards what follows
	open     map[string]*client
	closed   bool
	patience time.Duration // with a client that has no allocation
}

func listenTLS(address string, cfg *tls.Config) (*door, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	cfg = cfg.Clone()
	cfg.NextProtos = nil // HTTP's: a client that offers stun.turn (RFC 7443) would be refused
	return &door{Listener: l, cfg: cfg, patience: toAllocate, open: map[string]*client{}}, nil
}

// Accept implements net.Listener; it fails only when the door is closed.
func (d *door) Accept() (net.Conn, error) {
	for {
		raw, err := d.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			time.Sleep(breath)
			continue
		}
		c := &client{Conn: tls.Server(raw, d.cfg), door: d, name: raw.RemoteAddr().String()}
		if d.enter(c) {
			return c, nil
		}
		raw.Close()
	}
}

func (d *door) enter(c *client) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.open) >= maxOpen+strangers {
		return false
	}
	d.open[c.name] = c
	c.until = time.Now().Add(d.patience)
	return true
}

// allocated lets a client's connection stay. A nil door has none.
func (d *door) allocated(from net.Addr) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.open[from.String()]; c != nil {
		c.stays.Store(true)
	}
}

// Close the door and the connections behind it.
func (d *door) Close() error {
	err := d.Listener.Close()
	d.mu.Lock()
	d.closed = true
	open := make([]*client, 0, len(d.open))
	for _, c := range d.open {
		open = append(open, c)
	}
	d.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	return err
}

// client is one connection.
type client struct {
	net.Conn
	door  *door
	name  string
	until time.Time // by which it must have allocated
	stays atomic.Bool
}

func (c *client) Read(b []byte) (int, error) {
	limit := c.until
	if c.stays.Load() {
		limit = time.Now().Add(idle)
	}
	c.SetReadDeadline(limit)
	n, err := c.Conn.Read(b)
	if err != nil { // the library forgets the connection when its handshake fails
		c.Close()
	}
	return n, err
}

func (c *client) Write(b []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(toWrite))
	return c.Conn.Write(b)
}

func (c *client) Close() error {
	c.door.mu.Lock()
	delete(c.door.open, c.name)
	c.door.mu.Unlock()
	return c.Conn.Close()
}
