package leg

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"golang.org/x/sync/errgroup"

	"watershed/sfu/udpbatch"
)

// Config of a media port.
type Config struct {
	Listen string       // host:port, for UDP and TCP alike
	Shards int          // sockets on the UDP port
	Public []netip.Addr // addresses to announce in the place of the interfaces': a 1:1 NAT's outside
	Log    *slog.Logger
}

// Port is the node's one media port.
type Port struct {
	cfg         Config
	conns       []*udpbatch.Conn
	tcp         net.Listener
	foreign     *foreignUDP
	foreignTCP  *foreignTCP
	certificate tls.Certificate
	fingerprint string
	tasks       sync.WaitGroup
	rejected    atomic.Uint64 // datagrams with a wrong key
	unready     atomic.Int64  // legs that nobody has shaken hands with
	strangers   atomic.Int64  // TCP connections that have said nothing yet

	mu      sync.RWMutex // guards the two maps
	byUfrag map[string]*Leg
	byPeer  map[netip.AddrPort]*Leg
}

// Listen opens the port.
func Listen(ctx context.Context, cfg Config) (*Port, error) {
	cert, err := newCertificate()
	if err != nil {
		return nil, err
	}
	conns, tcp, err := listenBoth(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p := &Port{
		cfg: cfg, conns: conns, tcp: tcp, certificate: cert, fingerprint: Fingerprint(cert.Certificate[0]),
		byUfrag: map[string]*Leg{}, byPeer: map[netip.AddrPort]*Leg{},
	}
	p.foreign = newForeignUDP(p)
	p.foreignTCP = newForeignTCP(p.tcp.Addr())
	return p, nil
}

// anyPortTries is how often another port is asked for when the system's choice for UDP is taken for TCP.
const anyPortTries = 10

func listenBoth(ctx context.Context, cfg Config) (conns []*udpbatch.Conn, tcp net.Listener, err error) {
	_, port, _ := net.SplitHostPort(cfg.Listen)
	for try := 1; ; try++ {
		if conns, err = udpbatch.Listen(ctx, cfg.Listen, max(1, cfg.Shards)); err != nil {
			return nil, nil, err
		}
		if tcp, err = net.Listen("tcp", conns[0].LocalAddr().String()); err == nil {
			return conns, tcp, nil
		}
		for _, c := range conns {
			c.Close()
		}
		if port != "0" || try == anyPortTries {
			return nil, nil, fmt.Errorf("media port %s/tcp: %w", cfg.Listen, err)
		}
	}
}

// Fingerprint of the certificate that all legs present.
func (p *Port) Fingerprint() string { return p.fingerprint }

// Certificate that all legs present.
func (p *Port) Certificate() tls.Certificate { return p.certificate }

// Conns are the sockets; a leg's Shard is an index into them.
func (p *Port) Conns() []*udpbatch.Conn { return p.conns }

// Rejected counts datagrams whose authentication failed.
func (p *Port) Rejected() uint64 { return p.rejected.Load() }

// Legs counts the legs there are.
func (p *Port) Legs() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.byUfrag)
}

// Run reads the port until ctx ends, then closes every leg and socket.
func (p *Port) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range p.conns {
		g.Go(func() error { return p.readUDP(ctx, i) })
	}
	g.Go(func() error { return p.acceptTCP(ctx) })
	g.Go(func() error { p.expire(ctx); return nil })
	g.Go(func() error {
		<-ctx.Done()
		p.shutdown()
		return nil
	})
	err := g.Wait()
	p.tasks.Wait()
	return err
}

func (p *Port) shutdown() {
	for _, l := range p.legs() {
		l.Close(ErrClosed)
	}
	p.foreign.Close()
	p.foreignTCP.Close()
	p.tcp.Close()
	for _, c := range p.conns {
		c.Close()
	}
}

func (p *Port) legs() []*Leg {
	p.mu.RLock()
	defer p.mu.RUnlock()
	all := make([]*Leg, 0, len(p.byUfrag))
	for _, l := range p.byUfrag {
		all = append(all, l)
	}
	return all
}

func (p *Port) expire(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, l := range p.legs() {
				if err := l.expired(now); err != nil {
					l.Close(err)
				}
			}
		}
	}
}

func (p *Port) readUDP(ctx context.Context, i int) error {
	return p.readFrom(ctx, i, p.conns[i].Read)
}

// A read fails now and then for one peer's sake, where the system tells ICMP errors to the socket. A socket that only fails is asked again more and more
// slowly, 2 s in all, before the port is given up.
const (
	firstPause  = time.Millisecond
	mostFailed  = 12
	worthALine  = 5
	readBackoff = 2
)

// readFrom hands out what socket i reads.
func (p *Port) readFrom(ctx context.Context, i int, read func([]byte) (int, netip.AddrPort, error)) error {
	buf := make([]byte, 2048)
	failed, pause := 0, firstPause
	for {
		n, from, err := read(buf)
		switch {
		case err == nil:
			failed, pause = 0, firstPause
			if !p.receive(buf[:n], from, path{peer: from, conn: i}) {
				p.foreign.deliver(buf[:n], from)
			}
			continue
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		}
		if failed++; failed == mostFailed {
			return fmt.Errorf("read media port %s/udp, %d times in a row: %w", p.cfg.Listen, failed, err)
		}
		if failed == worthALine && p.cfg.Log != nil {
			p.cfg.Log.Warn("the media port cannot be read", "listen", p.cfg.Listen, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause *= readBackoff
		}
	}
}

// receive gives a datagram to its leg; false when no leg claims it. The first byte tells what it is (RFC 7983 section 7).
func (p *Port) receive(datagram []byte, from netip.AddrPort, via path) bool {
	if len(datagram) == 0 {
		return true
	}
	if datagram[0] < 4 && stun.IsMessage(datagram) {
		m, ok := decodeSTUN(datagram)
		if !ok {
			return false
		}
		l := p.leg(ufragOf(m))
		if l == nil {
			return false
		}
		kept := via // allocated here, for checks only
		if kept.tcp == nil {
			kept.addr = p.conns[kept.conn].Addr(from)
		}
		l.answerSTUN(m, &kept)
		return true
	}
	p.mu.RLock()
	l := p.byPeer[from]
	p.mu.RUnlock()
	if l == nil {
		return false
	}
	switch b := datagram[0]; {
	case b >= 20 && b <= 63:
		l.pipe.Deliver(datagram)
	case b >= 128 && b <= 191 && len(datagram) > 1 && datagram[1] >= 192 && datagram[1] <= 223: // RFC 5761 section 4
		l.receiveRTCP(datagram)
	}
	return true
}

func (p *Port) leg(ufrag string) *Leg {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byUfrag[ufrag]
}

func (p *Port) add(l *Leg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byUfrag[l.ufrag] = l
}

// rename gives both sides of the leg new ICE credentials. The lock order is the port's, then the leg's.
func (p *Port) rename(l *Leg, ufrag, password, theirUfrag, theirPassword string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	delete(p.byUfrag, l.ufrag)
	p.byUfrag[ufrag] = l
	l.ufrag, l.password = ufrag, password
	l.remote.Ufrag, l.remote.Password = theirUfrag, theirPassword
}

func (p *Port) remove(l *Leg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ufrag, _ := l.Credentials()
	delete(p.byUfrag, ufrag)
	if via := l.path.Load(); via != nil && p.byPeer[via.peer] == l {
		delete(p.byPeer, via.peer)
	}
}

// route makes datagrams from the path's peer the leg's, unless that was closed meanwhile.
func (p *Port) route(l *Leg, via *path) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return
	}
	if old := l.path.Load(); old != nil && p.byPeer[old.peer] == l {
		delete(p.byPeer, old.peer)
	}
	p.byPeer[via.peer] = l
	l.path.Store(via)
}

func (p *Port) sendOn(via *path, datagram []byte) {
	if via.tcp != nil {
		via.tcp.queue(datagram)
		return
	}
	p.conns[via.conn].Send(datagram, via.peer) // a lost STUN answer is asked for again
}
