// Package lane answers the plain requests of a crowd without what net/http keeps for each connection.
//
// Ten thousand players block on one playlist. With net/http each of them is two goroutines, two buffers and some timers while it waits, and two wake-ups,
// a deadline and a formatted head when it is answered: some 35 KiB, and as much work as the system call that sends the answer. A Listener stands between a TCP
// listener and an http.Server. It reads requests itself, hands those that it takes to a handler, and everything else, with its connection,
// to the server: another method, a path that is not its own, a header that changes how a message is framed or answered, whatever is not spelt plainly or
// did not come in one piece. So there is one judge of what is strange, and that is net/http. TLS, and with it HTTP/2, never comes here.
//
// A connection is one goroutine, which reads. It has memory for what it reads only while there is something. A handler may postpone its answer
// (Response.Postpone): the goroutine goes on to watch whether the client leaves, and whoever finishes the answer sends it, without ever waiting
// for the client.
package lane

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Listener takes its requests out of what a TCP listener accepts. Its Accept is for an http.Server and gives what it does not take.
type Listener struct {
	tcp     *net.TCPListener
	handler http.Handler
	takes   func(path string) bool
	log     *slog.Logger
	others  chan net.Conn
	ended   chan struct{} // closed when nothing is accepted any more
	failure error         // why; valid then
	closing atomic.Bool
	tasks   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[*conn]struct{}
}

// Listen begins to answer GET requests for paths that takes reports. The handler must answer them with bodies, not redirects of the protocol: 1xx and
// 304 are not for it. Close ends it.
func Listen(tcp *net.TCPListener, takes func(path string) bool, handler http.Handler, log *slog.Logger) *Listener {
	l := &Listener{tcp: tcp, handler: handler, takes: takes, log: log, others: make(chan net.Conn), ended: make(chan struct{}), conns: map[*conn]struct{}{}}
	l.tasks.Go(l.accept)
	return l
}

// Longest waits. The last two are those of the http.Server beside.
const (
	acceptAgain = 20 * time.Millisecond // after an error that passes, such as too many open files
	SendTime    = 2 * time.Minute       // for a client to take an answer, or what net/http sends for the same handler
	idleTime    = 2 * time.Minute
)

func (l *Listener) accept() {
	defer close(l.ended)
	for {
		tcp, err := l.tcp.AcceptTCP()
		if err == nil {
			l.open(tcp)
			continue
		}
		if passing, ok := err.(interface{ Temporary() bool }); !ok || !passing.Temporary() {
			l.failure = err
			return
		}
		time.Sleep(acceptAgain)
	}
}

func (l *Listener) open(tcp *net.TCPConn) {
	c, err := newConn(l, tcp)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.closing.Load() {
		tcp.Close()
		return
	}
	l.conns[c] = struct{}{}
	l.tasks.Go(c.serve)
}

// Accept gives the next connection that the lane does not take, from its first request on that it does not take.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.others:
		return c, nil
	case <-l.ended:
		return nil, l.failure
	}
}

// Addr that is listened on.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// Close ends the listener and connections that wait for a request. Those that wait for an answer end when they have it.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing.Swap(true) {
		return nil
	}
	err := l.tcp.Close()
	for c := range l.conns {
		c.wakeReader()
	}
	return err
}

// Wait returns when all connections of a closed listener have ended. Those that have not when ctx ends are cut.
func (l *Listener) Wait(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.conns {
			c.tcp.Close()
		}
	})
	defer stop()
	l.tasks.Wait()
}

// forget a connection that ended or was handed over.
func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

var _ net.Listener = (*Listener)(nil)
