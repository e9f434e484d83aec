package lane

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// headSize is the longest head of a request that is taken; a browser's has some 700 bytes.
const headSize = 4 << 10

// buffers of what is being read, of headSize.
var buffers = sync.Pool{New: func() any { return new([headSize]byte) }}

// conn is one connection. Its goroutine alone touches it, but for a postponed response.
type conn struct {
	l    *Listener
	tcp  *net.TCPConn
	raw  syscall.RawConn
	peer string

	buf  *[headSize]byte // of the pool; nil when nothing was read
	have int             // bytes in it

	deadline time.Time // for the reader, as it was set last
	read     func(fd uintptr) bool
	readErr  error
}

func newConn(l *Listener, tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	c := &conn{l: l, tcp: tcp, raw: raw, peer: tcp.RemoteAddr().String()}
	c.read = c.tryRead
	return c, err
}

// serve answers requests until the client leaves, or one comes that is not for the lane.
func (c *conn) serve() {
	defer c.l.forget(c)
	for {
		if err := c.more(); err != nil {
			c.close()
			return
		}
		for c.have > 0 {
			r, n, ok := parse(c.buf[:c.have], c.l.takes)
			if !ok {
				c.handOver()
				return
			}
			r.RemoteAddr = c.peer
			c.drop(n)
			if w := c.answer(r); w == nil || w.done != nil && !c.await(w) || w.last {
				c.close()
				return
			}
		}
	}
}

// await a postponed answer, and watch the client meanwhile. It reports whether the connection goes on.
func (c *conn) await(w *Response) bool {
	if c.have == 0 { // else the next request is here already: answers go out in the order of requests
		if err := c.more(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			w.gone()
			return false
		}
	}
	<-w.done
	return w.err == nil
}

func (c *conn) close() {
	c.drop(c.have)
	c.tcp.Close()
}

// answer runs the handler. It returns nil if the connection cannot be used any further.
func (c *conn) answer(r *http.Request) (w *Response) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				c.l.log.Error("http: a request failed", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			}
			w = nil
		}
	}()
	w = &Response{c: c, header: http.Header{}, length: unknown}
	c.l.handler.ServeHTTP(w, r)
	if w.done == nil && w.end() != nil {
		return nil
	}
	return w
}

// drop forgets the first bytes of what was read.
func (c *conn) drop(n int) {
	if c.buf == nil {
		return
	}
	c.have = copy(c.buf[:], c.buf[n:c.have])
	if c.have == 0 {
		buffers.Put(c.buf)
		c.buf = nil
	}
}

// more waits for bytes of a request. There are none yet.
func (c *conn) more() error {
	c.patience()
	if c.l.closing.Load() { // after the deadline was set: that must not hide Close's
		return os.ErrDeadlineExceeded
	}
	if err := c.raw.Read(c.read); err != nil {
		return err
	}
	return c.readErr
}

// patience moves the deadline for an idle client. It may be some seconds early, for that is a timer less for each request.
func (c *conn) patience() {
	const step = 10 * time.Second
	if now := time.Now(); c.deadline.Sub(now) < idleTime-step {
		c.deadline = now.Add(idleTime)
		c.tcp.SetReadDeadline(c.deadline)
	}
}

// wakeReader has it look whether the listener is closing.
func (c *conn) wakeReader() { c.tcp.SetReadDeadline(time.Unix(1, 0)) }

// tryRead reads without waiting; false asks to be called when there is something. The buffer is held only if there is.
func (c *conn) tryRead(fd uintptr) bool {
	b := buffers.Get().(*[headSize]byte)
	n, err := retry(func() (int, error) { return read(fd, b[:]) })
	if n > 0 {
		c.buf, c.have, c.readErr = b, n, nil
		return true
	}
	buffers.Put(b)
	if err == nil {
		err = io.EOF
	}
	c.readErr = err
	return err != syscall.EAGAIN
}

// write waits for the client.
func (c *conn) write(pieces net.Buffers) error {
	c.tcp.SetWriteDeadline(time.Now().Add(SendTime))
	_, err := pieces.WriteTo(c.tcp)
	c.tcp.SetWriteDeadline(time.Time{})
	return err
}

// retry a system call that a signal interrupts.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// handOver gives the connection to the http.Server, which reads first what was read here.
func (c *conn) handOver() {
	c.tcp.SetReadDeadline(time.Time{})
	before := append([]byte(nil), c.buf[:c.have]...)
	c.drop(c.have)
	select {
	case c.l.others <- &resumed{TCPConn: c.tcp, before: before}:
	case <-c.l.ended:
		c.tcp.Close()
	}
}

// resumed is a connection of which something was read before.
type resumed struct {
	*net.TCPConn
	before []byte
}

func (r *resumed) Read(p []byte) (int, error) {
	if len(r.before) == 0 {
		return r.TCPConn.Read(p)
	}
	n := copy(p, r.before)
	r.before = r.before[n:]
	return n, nil
}

// WriteTo hides the connection's own, which knows nothing of what was read.
func (r *resumed) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{r}) }
