package lane

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Response is one answer. It has a Content-Length always: bodies whose length the handler does not say are kept until it has returned.
type Response struct {
	c      *conn
	header http.Header
	status int
	length int64 // as the handler said it, or unknown
	sent   int64 // of the body, or kept
	head   bool  // is in out, or sent
	out    []byte
	behind net.Buffers // of a postponed answer: what follows out, and is not ours
	err    error
	last   bool // the connection ends after it

	gone func()
	done chan struct{} // nil if not postponed; closed when it was sent
}

const unknown = -1

// Header is of http.ResponseWriter.
func (w *Response) Header() http.Header { return w.header }

// WriteHeader is of http.ResponseWriter.
func (w *Response) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if v := w.header["Content-Length"]; len(v) == 1 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			w.length = n
		}
	}
	if status == http.StatusNoContent {
		w.length = 0
	}
}

// copied is the largest piece that is copied behind the head, so that both are one system call without a list of pieces.
const copied = 16 << 10

// Write is of http.ResponseWriter.
func (w *Response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.length == unknown {
		w.out = append(w.out, p...)
		w.sent += int64(len(p))
		return len(p), nil
	}
	if w.sent+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.sent += int64(len(p))
	if !w.head {
		w.out = w.appendHead(outs.Get().(*[outSize]byte)[:0], p)
	}
	switch {
	case len(w.behind) == 0 && len(w.out)+len(p) <= copied:
		w.out = append(w.out, p...)
		return len(p), nil
	case w.done != nil:
		w.keep(p)
		return len(p), nil
	}
	return len(p), w.flush(p)
}

// keep a piece of a postponed answer until it is sent. As much as there is room for goes behind the head, into the same system call.
func (w *Response) keep(p []byte) {
	n := 0
	if len(w.behind) == 0 {
		n = max(0, min(copied-len(w.out), len(p)))
		w.out = append(w.out, p[:n]...)
	}
	if len(p) > n {
		w.behind = append(w.behind, p[n:])
	}
}

// flush sends what is kept and another piece. The client is waited for.
func (w *Response) flush(p []byte) error {
	if w.err != nil {
		return w.err
	}
	pieces := net.Buffers{w.out, p}
	if len(w.out) == 0 {
		pieces = pieces[1:]
	}
	w.err = w.c.write(pieces)
	w.recycle()
	return w.err
}

// Postpone keeps the answer open when the handler returns. Finish must be called later, from whatever goroutine; gone is called if the client leaves
// before, from that on nobody need answer. What is written after it may be kept, not copied, until it has been sent: it must not change. Ten thousand who wait for
// one part of 400 kB share it so.
func (w *Response) Postpone(gone func()) { w.gone, w.done = gone, make(chan struct{}) }

// Finish sends a postponed answer. It does not wait for the client: one that does not take it at once is left to a goroutine.
func (w *Response) Finish() {
	first, err := w.seal()
	pieces := append(net.Buffers{first}, w.behind...)
	if err == nil {
		pieces, err = w.try(pieces)
	}
	if w.err = err; err != nil || len(pieces) == 0 {
		w.finished()
		return
	}
	go func() {
		w.err = w.c.write(pieces)
		w.finished()
	}()
}

// Abort ends a postponed answer that cannot be completed, instead of Finish: the connection is cut, so that no cache keeps a part of it.
func (w *Response) Abort() {
	w.err = http.ErrAbortHandler
	w.finished()
}

func (w *Response) finished() {
	w.recycle()
	if w.err != nil || w.last {
		w.c.tcp.CloseRead() // wakes the reader
	}
	close(w.done)
}

// end sends what is left of an answer.
func (w *Response) end() error {
	rest, err := w.seal()
	defer w.recycle()
	pieces := net.Buffers{rest}
	if err == nil {
		pieces, err = w.try(pieces)
	}
	if err == nil && len(pieces) > 0 {
		err = w.c.write(pieces)
	}
	return err
}

var errShort = errors.New("the handler wrote less than it said")

// seal completes what is kept: with the head, if that could not be written before the body was there.
func (w *Response) seal() ([]byte, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return nil, w.err
	case w.length == unknown:
		body := w.out
		w.length = int64(len(body))
		w.header["Content-Length"] = []string{strconv.Itoa(len(body))}
		w.out = append(w.appendHead(outs.Get().(*[outSize]byte)[:0], body), body...)
	case w.sent != w.length:
		return nil, errShort
	case !w.head:
		w.out = w.appendHead(outs.Get().(*[outSize]byte)[:0], nil)
	}
	return w.out, nil
}

// try sends without waiting, and returns what is left.
func (w *Response) try(pieces net.Buffers) (rest net.Buffers, err error) {
	for len(pieces) > 0 {
		b, n := pieces[0], 0
		if len(b) > 0 {
			if e := w.c.raw.Write(func(fd uintptr) bool {
				n, err = retry(func() (int, error) { return write(fd, b) })
				return true
			}); e != nil {
				return nil, e
			}
		}
		if err == syscall.EAGAIN {
			return pieces, nil
		}
		if n = max(n, 0); err != nil || n < len(b) {
			pieces[0] = b[n:]
			return pieces, err
		}
		pieces = pieces[1:]
	}
	return nil, nil
}

const outSize = copied + 1024

// outs are buffers for a head and a small body.
var outs = sync.Pool{New: func() any { return new([outSize]byte) }}

// recycle the buffer, unless the answer outgrew it.
func (w *Response) recycle() {
	if cap(w.out) == outSize {
		outs.Put((*[outSize]byte)(w.out[:outSize]))
	}
	w.out, w.behind = nil, nil
}

// appendHead writes the status line and the header. The body's first bytes tell its type if the handler did not.
func (w *Response) appendHead(b, body []byte) []byte {
	w.head = true
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(append(append(b, ' '), http.StatusText(w.status)...), "\r\n"...)
	if len(body) > 0 && w.header["Content-Type"] == nil {
		b = appendField(b, "Content-Type", http.DetectContentType(body))
	}
	for name, values := range w.header {
		switch name {
		case "Connection":
			w.last = true
			continue
		case "Date", "Transfer-Encoding":
			continue
		case "Content-Length":
			if w.status == http.StatusNoContent || w.length == unknown {
				continue
			}
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	if w.header["Content-Length"] == nil && w.status != http.StatusNoContent {
		b = appendField(b, "Content-Length", strconv.FormatInt(max(w.length, 0), 10))
	}
	if w.last = w.last || w.c.l.closing.Load(); w.last {
		b = appendField(b, "Connection", "close")
	}
	return append(append(append(b, "Date: "...), date()...), "\r\n\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	if strings.ContainsAny(value, "\r\n") {
		value = lines.Replace(value)
	}
	return append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
}

// lines end a header's value: what handlers put there stays in one.
var lines = strings.NewReplacer("\n", " ", "\r", " ")

// now is the Date of a second.
var now atomic.Pointer[stamp]

type stamp struct {
	second int64
	text   string
}

func date() string {
	t := time.Now()
	s := now.Load()
	if s == nil || s.second != t.Unix() {
		s = &stamp{t.Unix(), t.UTC().Format(http.TimeFormat)}
		now.Store(s)
	}
	return s.text
}

var _ http.ResponseWriter = (*Response)(nil)
