package leg

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
)

// UDPMux is for the PeerConnections of publishers: they share the port with the legs. Call it once. Its candidates only make
// agents listen; what goes into an SDP is Candidates.
func (p *Port) UDPMux() ice.UDPMux {
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: p.foreign, Logger: quiet()})
	return &foreignMux{UDPMuxDefault: mux, port: p}
}

// foreignMux names one address of each family, because an agent runs a reader for each: the library's own choice is all interfaces.
type foreignMux struct {
	*ice.UDPMuxDefault
	port *Port
}

// GetListenAddresses implements ice.UDPMux.
func (m *foreignMux) GetListenAddresses() []net.Addr {
	var v4, v6 net.Addr
	for _, ip := range m.port.Addresses() {
		a := net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, m.port.conns[0].LocalAddr().Port()))
		switch {
		case ip.Is4() && v4 == nil:
			v4 = a
		case ip.Is6() && v6 == nil:
			v6 = a
		}
	}
	return slices.DeleteFunc([]net.Addr{v4, v6}, func(a net.Addr) bool { return a == nil })
}

// TCPMux is the same for ICE-TCP.
func (p *Port) TCPMux() ice.TCPMux {
	return ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: p.foreignTCP, Logger: quiet(), ReadBufferSize: 32, WriteBufferSize: 1 << 20,
	})
}

func quiet() logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("ice", logging.LogLevelError, discard{})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// foreignUDP is the port as publishers' ICE agents see it: datagrams that no leg claims.
type foreignUDP struct {
	port *Port
	in   chan datagram
	pool sync.Pool
	done chan struct{}
	once sync.Once
}

type datagram struct {
	buf  *[2048]byte
	n    int
	from netip.AddrPort
}

func newForeignUDP(p *Port) *foreignUDP {
	return &foreignUDP{
		port: p, done: make(chan struct{}),
		in:   make(chan datagram, 1024), // 100 ms of 100 Mb/s of publishers
		pool: sync.Pool{New: func() any { return new([2048]byte) }},
	}
}

func (f *foreignUDP) deliver(b []byte, from netip.AddrPort) {
	buf := f.pool.Get().(*[2048]byte)
	d := datagram{buf, copy(buf[:], b), from}
	select {
	case f.in <- d:
	default:
		f.pool.Put(buf)
	}
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (f *foreignUDP) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-f.in:
		n := copy(b, d.buf[:d.n])
		f.pool.Put(d.buf)
		return n, d.from, nil
	case <-f.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (f *foreignUDP) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return len(b), f.port.conns[0].Send(b, to)
}

func (f *foreignUDP) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := f.ReadFromAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

func (f *foreignUDP) WriteTo(b []byte, to net.Addr) (int, error) {
	return f.WriteToAddrPort(b, to.(*net.UDPAddr).AddrPort())
}

func (f *foreignUDP) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// LocalAddr is unspecified whatever the port is bound to: the mux then takes any local address that an agent asks it for, also one
// that is only announced.
func (f *foreignUDP) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4zero, Port: int(f.port.conns[0].LocalAddr().Port())}
}

func (f *foreignUDP) SetDeadline(time.Time) error      { return nil }
func (f *foreignUDP) SetReadDeadline(time.Time) error  { return nil }
func (f *foreignUDP) SetWriteDeadline(time.Time) error { return nil }

var (
	_ net.PacketConn           = (*foreignUDP)(nil)
	_ ice.AddrPortReaderWriter = (*foreignUDP)(nil)
	_ ice.UDPMux               = (*foreignMux)(nil)
)

// foreignTCP is the listener of connections that no leg claims.
type foreignTCP struct {
	addr net.Addr
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

func newForeignTCP(addr net.Addr) *foreignTCP {
	return &foreignTCP{addr: addr, in: make(chan net.Conn), done: make(chan struct{})}
}

func (f *foreignTCP) Accept() (net.Conn, error) {
	select {
	case c := <-f.in:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *foreignTCP) deliver(c net.Conn) {
	select {
	case f.in <- c:
	case <-f.done:
		c.Close()
	}
}

func (f *foreignTCP) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

func (f *foreignTCP) Addr() net.Addr { return f.addr }
