package leg

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxFrame     = 2048             // no WebRTC datagram is larger
	firstFrame   = 10 * time.Second // a connection that says nothing is closed
	tcpQueue     = 512              // datagrams waiting for a slow connection: half a second of 10 Mb/s
	tcpKeepAlive = 45 * time.Second // idle for longer than consent lasts
	tcpFlush     = time.Second      // for what is queued when the leg ends: the node may be ending, too
	maxStrangers = 1024             // connections that have said nothing yet; a client speaks at once
)

// tcpConn is an ICE-TCP connection (RFC 6544): datagrams with a two-byte length before each (RFC 4571).
type tcpConn struct {
	conn    net.Conn
	out     chan []byte
	dropped atomic.Uint64
	over    chan struct{} // closed when nothing more comes: the leg ended, or the peer
	once    sync.Once
}

func newTCPConn(c net.Conn) *tcpConn {
	return &tcpConn{conn: c, out: make(chan []byte, tcpQueue), over: make(chan struct{})}
}

// hangUp closes the connection after what is queued.
func (t *tcpConn) hangUp() { t.once.Do(func() { close(t.over) }) }

// queue copies a datagram for sending and never waits: a full queue drops it as a full path would.
func (t *tcpConn) queue(datagram []byte) {
	framed := make([]byte, 2+len(datagram))
	binary.BigEndian.PutUint16(framed, uint16(len(datagram)))
	copy(framed[2:], datagram)
	select {
	case t.out <- framed:
	default:
		t.dropped.Add(1)
	}
}

func (p *Port) acceptTCP(ctx context.Context) error {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		c, err := p.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond): // out of file descriptors
				continue
			}
		}
		if p.strangers.Add(1) > maxStrangers {
			p.strangers.Add(-1)
			c.Close()
			continue
		}
		open.Go(func() { p.serveTCP(ctx, c) })
	}
}

// serveTCP reads a connection's first frame: a check for a leg, or somebody else's.
func (p *Port) serveTCP(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	c.SetReadDeadline(time.Now().Add(firstFrame))
	buf := make([]byte, maxFrame)
	n, err := readFrame(c, buf)
	p.strangers.Add(-1)
	if err != nil {
		c.Close()
		return
	}
	m, ok := decodeSTUN(buf[:n])
	var l *Leg
	if ok {
		l = p.leg(ufragOf(m))
	}
	if l == nil {
		c.SetReadDeadline(time.Time{})
		first := binary.BigEndian.AppendUint16(nil, uint16(n))
		p.foreignTCP.deliver(&replayConn{Conn: c, r: io.MultiReader(bytes.NewReader(append(first, buf[:n]...)), c)})
		return
	}
	t := newTCPConn(c)
	var writer sync.WaitGroup
	writer.Go(t.write)
	l.adopt(t)
	from := addrPort(c.RemoteAddr())
	for err == nil {
		p.receive(buf[:n], from, path{peer: from, tcp: t})
		c.SetReadDeadline(time.Now().Add(tcpKeepAlive))
		n, err = readFrame(c, buf)
	}
	l.disown(t)
	t.hangUp()
	c.Close()
	writer.Wait()
}

// write sends until the connection is over, and closes it.
func (t *tcpConn) write() {
	defer t.conn.Close()
	for {
		select {
		case f := <-t.out:
			t.conn.SetWriteDeadline(time.Now().Add(tcpKeepAlive))
			if _, err := t.conn.Write(f); err != nil {
				return
			}
		case <-t.over:
			t.flush()
			return
		}
	}
}

// flush sends what is queued, the DTLS alert that says goodbye among it.
func (t *tcpConn) flush() {
	t.conn.SetWriteDeadline(time.Now().Add(tcpFlush))
	for {
		select {
		case f := <-t.out:
			if _, err := t.conn.Write(f); err != nil {
				return
			}
		default:
			return
		}
	}
}

func readFrame(r io.Reader, buf []byte) (int, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > len(buf) {
		return 0, errors.New("frame too large")
	}
	return io.ReadFull(r, buf[:n])
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// replayConn gives back the frame that was read to decide whose connection it is.
type replayConn struct {
	net.Conn
	r io.Reader
}

func (c *replayConn) Read(b []byte) (int, error) { return c.r.Read(b) }
