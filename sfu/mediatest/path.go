package mediatest

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Path is a bottleneck between one viewer and a node: a UDP relay with a rate, a queue and a delay towards the viewer. What the viewer
// sends passes at once.
type Path struct {
	rate  atomic.Int64 // bits a second, 0 is no limit
	delay time.Duration
	queue int64 // bytes that wait at most

	outer *net.UDPConn // the viewer talks to this
	inner *net.UDPConn // this talks to the node
	mu    sync.Mutex   // guards viewer
	view  netip.AddrPort
	Drops atomic.Int64
	cut   atomic.Bool
	loss  atomic.Uint64 // of 1<<32

	running sync.WaitGroup
}

// parcel is a datagram under way.
type parcel struct {
	data []byte
	due  time.Time
}

// NewPath relays to the node's media port until the test ends.
func NewPath(t testing.TB, node netip.AddrPort, delay time.Duration) *Path {
	t.Helper()
	return NewPathAt(t, netip.MustParseAddrPort("127.0.0.1:0"), node, delay)
}

// NewPathAt is a path that viewers find at an address of its own: as a 1:1 NAT, when the port is the node's.
func NewPathAt(t testing.TB, outside, node netip.AddrPort, delay time.Duration) *Path {
	t.Helper()
	p, err := OpenPath(outside, node, delay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// OpenPath relays from an address of its own to the node's media port until it is closed. The queue holds 250 ms of 2 Mb/s: a home router's.
func OpenPath(outside, node netip.AddrPort, delay time.Duration) (*Path, error) {
	p := &Path{delay: delay, queue: 64 << 10}
	var err error
	if p.outer, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(outside)); err != nil {
		return nil, err
	}
	if p.inner, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(node)); err != nil {
		p.outer.Close()
		return nil, err
	}
	p.inner.SetReadBuffer(1 << 20)
	parcels := make(chan parcel, 4096)
	p.running.Go(p.up)
	p.running.Go(func() { p.down(parcels) })
	p.running.Go(func() { p.deliver(parcels) })
	return p, nil
}

// Close ends the relay.
func (p *Path) Close() {
	p.outer.Close()
	p.inner.Close()
	p.running.Wait()
}

// Addr that the viewer must send to instead of the node's.
func (p *Path) Addr() netip.AddrPort { return p.outer.LocalAddr().(*net.UDPAddr).AddrPort() }

// SetRate changes the bottleneck; 0 is none.
func (p *Path) SetRate(bps int64) { p.rate.Store(bps) }

// SetLoss has the path lose a fraction of what goes to the viewer, at random.
func (p *Path) SetLoss(fraction float64) { p.loss.Store(uint64(fraction * (1 << 32))) }

// Cut ends the path: nothing passes any more, in either direction, and nobody is told.
func (p *Path) Cut() { p.cut.Store(true) }

func (p *Path) up() {
	buf := make([]byte, 2048)
	for {
		n, from, err := p.outer.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.view = from
		p.mu.Unlock()
		if !p.cut.Load() {
			p.inner.Write(buf[:n])
		}
	}
}

// down gives each datagram the time at which it leaves the bottleneck, or drops it when the queue is full.
func (p *Path) down(parcels chan<- parcel) {
	defer close(parcels)
	var free time.Time // when the bottleneck has sent all before
	for {
		buf := make([]byte, 2048)
		n, err := p.inner.Read(buf)
		if err != nil {
			return
		}
		if uint64(rand.Uint32()) < p.loss.Load() {
			p.Drops.Add(1)
			continue
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if rate := p.rate.Load(); rate > 0 {
			if waiting := free.Sub(now).Seconds() * float64(rate) / 8; int64(waiting)+int64(n) > p.queue {
				p.Drops.Add(1)
				continue
			}
			free = free.Add(time.Duration(float64(n*8) / float64(rate) * float64(time.Second)))
		}
		select {
		case parcels <- parcel{buf[:n], free.Add(p.delay)}:
		default:
			p.Drops.Add(1)
		}
	}
}

func (p *Path) deliver(parcels <-chan parcel) {
	for d := range parcels {
		time.Sleep(time.Until(d.due))
		p.mu.Lock()
		to := p.view
		p.mu.Unlock()
		if !p.cut.Load() {
			p.outer.WriteToUDPAddrPort(d.data, to)
		}
	}
}
