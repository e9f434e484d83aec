package leg

import (
	"crypto/x509"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
)

func (p *Port) dtlsOptions(verify func([][]byte, [][]*x509.Certificate) error) []dtls.ServerOption {
	return []dtls.ServerOption{
		dtls.WithCertificates(p.certificate),
		// AES-128-GCM first: a quarter of the cost of CTR with SHA-1, which some clients still need.
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithEllipticCurves(elliptic.X25519, elliptic.P256),
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithVerifyPeerCertificate(verify),
		dtls.WithInsecureSkipVerify(true),      // no chain: the fingerprint is the identity
		dtls.WithInsecureSkipVerifyHello(true), // ICE has shown already that the address is the peer's
		dtls.WithFlightInterval(100 * time.Millisecond),
	}
}

// dtlsPipe is the datagram connection that a leg's handshake sees.
type dtlsPipe struct {
	leg *Leg
	mu  sync.Mutex
	end time.Time     // read deadline
	set chan struct{} // closed when the deadline changes
}

func (c *dtlsPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		deadline, changed := c.deadline()
		var expire <-chan time.Time
		if !deadline.IsZero() {
			wait := time.Until(deadline)
			if wait <= 0 {
				return 0, nil, os.ErrDeadlineExceeded
			}
			t := time.NewTimer(wait)
			defer t.Stop()
			expire = t.C
		}
		select {
		case p := <-c.leg.dtlsIn:
			return copy(b, p), pipeAddr{}, nil
		case <-c.leg.done:
			return 0, nil, net.ErrClosed
		case <-expire:
			return 0, nil, os.ErrDeadlineExceeded
		case <-changed:
		}
	}
}

func (c *dtlsPipe) deadline() (time.Time, chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		c.set = make(chan struct{})
	}
	return c.end, c.set
}

func (c *dtlsPipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p := c.leg.path.Load()
	if p == nil {
		return 0, errors.New("no path to the peer")
	}
	if p.tcp != nil {
		p.tcp.queue(b)
		return len(b), nil
	}
	return len(b), c.leg.port.conns[p.conn].Send(b, p.peer)
}

func (c *dtlsPipe) Close() error        { return nil }
func (c *dtlsPipe) LocalAddr() net.Addr { return pipeAddr{} }

func (c *dtlsPipe) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *dtlsPipe) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = t
	if c.set != nil {
		close(c.set)
		c.set = nil
	}
	return nil
}

func (c *dtlsPipe) SetWriteDeadline(time.Time) error { return nil }

// pipeAddr stands for "the peer, wherever it is now": the address may change under a live DTLS session.
type pipeAddr struct{}

func (pipeAddr) Network() string { return "udp" }
func (pipeAddr) String() string  { return "leg" }

var _ net.PacketConn = (*dtlsPipe)(nil)
