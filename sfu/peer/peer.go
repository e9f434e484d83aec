// Package peer is a light WebRTC receiver for load tests and tests: it does on the wire what a browser does, and decodes nothing.
//
// A peer offers, checks one candidate, shakes hands, counts packets by their headers (which SRTP leaves readable), and sends a browser's feedback: a receiver report
// every second, NACKs for what is missing, PLI when asked. Loss and delay are injected in its own socket.
package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"watershed/sfu/leg"
	"watershed/sfu/pipe"
)

// Config of a peer.
type Config struct {
	Exchange    func(ctx context.Context, offer string) (answer string, err error)
	Certificate *tls.Certificate // shared by many peers: making one costs more than a handshake
	Video       int              // recvonly video m-lines; with Audio zero too, one of each
	Audio       int
	Loss        float64       // fraction of received datagrams that are dropped
	Delay       time.Duration // added to what is sent: the path's round trip grows by it
	Verify      int           // decrypt every n-th media packet to verify it; 0 none
	NoNACK      bool
	REMB        bool                                // tell the server a bandwidth estimate, as browsers do
	Route       func(netip.AddrPort) netip.AddrPort // sends to another address than the candidate's: through an emulated path
	OnPacket    func(p Packet)                      // called from the peer's goroutine
}

// Packet is one received media packet.
type Packet struct {
	Track   *Track
	Header  Header
	Arrival time.Time
	RTX     bool   // a retransmission: Header.Seq is its own
	Size    int    // on the wire
	Plain   []byte // decrypted RTP packet if this one was verified; valid during the call
}

// Peer is one receiver.
type Peer struct {
	Tracks []*Track
	Joined time.Time     // start of the exchange
	Ready  time.Duration // from there to the end of the handshake

	cfg    Config
	conn   *socket
	pipe   *pipe.Conn
	dtls   *dtls.Conn
	remote remote
	ssrc   uint32
	done   chan struct{} // closed when the reader has ended
	end    chan struct{} // closed when the peer closes
	deaf   atomic.Bool
	err    error         // why, after done
	gone   chan struct{} // closed when the server said close_notify

	// The reader's own, but for tests that look after Run.
	in, inRTCP *srtp.Context
	keyed      atomic.Bool // in, inRTCP and out are there
	early      [][]byte    // media that came before the keys
	receiver   receiver
	zero       uint32 // timestamp of the first video packet
	seen       int
	rejected   int

	mu  sync.Mutex    // guards out and the tracks' last sender reports
	out *srtp.Context // RTCP only
}

// NewCertificate makes a certificate that peers may share.
func NewCertificate() (*tls.Certificate, error) {
	c, err := selfsign.GenerateSelfSigned()
	return &c, err
}

// Dial connects: it returns when media can flow.
func Dial(ctx context.Context, cfg Config) (*Peer, error) {
	if cfg.Video+cfg.Audio == 0 {
		cfg.Video, cfg.Audio = 1, 1
	}
	if cfg.Certificate == nil {
		c, err := NewCertificate()
		if err != nil {
			return nil, err
		}
		cfg.Certificate = c
	}
	p := &Peer{cfg: cfg, Joined: time.Now(), ssrc: rand.Uint32(), done: make(chan struct{}), end: make(chan struct{}), gone: make(chan struct{})}
	offer, local := p.offer()
	answer, err := cfg.Exchange(ctx, offer)
	if err != nil {
		return nil, err
	}
	if err := p.readAnswer(answer); err != nil {
		return nil, err
	}
	if cfg.Route != nil {
		p.remote.addr = net.UDPAddrFromAddrPort(cfg.Route(p.remote.addr.AddrPort()))
	}
	if p.conn, err = dialSocket(p.remote.addr); err != nil {
		return nil, err
	}
	if err := p.check(ctx, local); err != nil {
		p.conn.Close()
		return nil, err
	}
	p.pipe = pipe.New(func(b []byte) error { _, err := p.conn.Write(b); return err })
	go p.read()
	if err := p.handshake(ctx); err != nil {
		p.close()
		return nil, err
	}
	p.Ready = time.Since(p.Joined)
	go p.awaitClose()
	return p, nil
}

// Addr of the peer's socket.
func (p *Peer) Addr() net.Addr { return p.conn.LocalAddr() }

// Rejected counts verified packets whose authentication failed.
func (p *Peer) Rejected() int { return p.rejected }

// check does the ICE check with nomination; it repeats until answered.
func (p *Peer) check(ctx context.Context, localUfrag string) error {
	request, err := p.bindingRequest(localUfrag)
	if err != nil {
		return err
	}
	buf := make([]byte, 2048)
	for wait := 50 * time.Millisecond; wait < 5*time.Second; wait *= 2 {
		if _, err := p.conn.Write(request.Raw); err != nil {
			return err
		}
		deadline := time.Now().Add(wait)
		for ctx.Err() == nil {
			p.conn.SetReadDeadline(deadline)
			n, err := p.conn.Read(buf)
			if err != nil {
				break
			}
			m := &stun.Message{Raw: buf[:n]}
			if stun.IsMessage(buf[:n]) && m.Decode() == nil && m.TransactionID == request.TransactionID && m.Type == stun.BindingSuccess {
				p.conn.SetReadDeadline(time.Time{})
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.New("no answer to the ICE check")
}

func (p *Peer) bindingRequest(localUfrag string) (*stun.Message, error) {
	return stun.Build(stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(p.remote.ufrag+":"+localUfrag),
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{110, 0, 255, 255}},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		stun.NewShortTermIntegrity(p.remote.password), stun.Fingerprint)
}

// handshake runs DTLS as the client, with the reading loop already going.
func (p *Peer) handshake(ctx context.Context) error {
	conn, err := dtls.ClientWithOptions(p.pipe, p.pipe.LocalAddr(),
		dtls.WithCertificates(*p.cfg.Certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(func(certs [][]byte, _ [][]*x509.Certificate) error {
			if len(certs) == 0 || leg.Fingerprint(certs[0]) != p.remote.fingerprint {
				return errors.New("the server's certificate does not have the fingerprint of its answer")
			}
			return nil
		}),
		dtls.WithFlightInterval(100*time.Millisecond))
	if err != nil {
		return err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("DTLS handshake: %w", err)
	}
	p.dtls = conn
	return p.keys(conn)
}

func (p *Peer) keys(conn *dtls.Conn) error {
	state, ok := conn.ConnectionState()
	profile, ok2 := conn.SelectedSRTPProtectionProfile()
	if !ok || !ok2 {
		return errors.New("no SRTP profile agreed")
	}
	cfg := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		return err
	}
	k := cfg.Keys
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.out, err = srtp.CreateContext(k.LocalMasterKey, k.LocalMasterSalt, cfg.Profile); err != nil {
		return err
	}
	if p.in, err = srtp.CreateContext(k.RemoteMasterKey, k.RemoteMasterSalt, cfg.Profile); err != nil {
		return err
	}
	if p.inRTCP, err = srtp.CreateContext(k.RemoteMasterKey, k.RemoteMasterSalt, cfg.Profile); err != nil {
		return err
	}
	p.keyed.Store(true)
	return nil
}

// Run sends feedback until ctx ends or the server closes; then everything has stopped. Receiving began with Dial.
func (p *Peer) Run(ctx context.Context) error {
	defer p.close()
	interval := time.Second
	if p.cfg.REMB { // Chromium reports so often to who takes REMB
		interval = 200 * time.Millisecond
	}
	reports, consent := time.NewTicker(interval), time.NewTicker(2*time.Second) // RFC 7675: browsers check every few seconds
	defer reports.Stop()
	defer consent.Stop()
	for {
		select {
		case <-reports.C:
			p.sendReports()
		case <-consent.C:
			p.consent()
		case <-p.done:
			return p.err
		case <-p.gone:
			return ErrServerClosed
		case <-ctx.Done():
			return nil
		}
	}
}

// ErrServerClosed ends Run when the server ended the session by DTLS.
var ErrServerClosed = errors.New("the server closed the session")

func (p *Peer) awaitClose() {
	defer close(p.gone)
	buf := make([]byte, 2048)
	for {
		if _, err := p.dtls.Read(buf); err != nil {
			return
		}
	}
}

// read is the peer's one reader.
func (p *Peer) read() {
	defer close(p.done)
	buf := make([]byte, 64<<10)
	for {
		n, segment, err := p.conn.ReadSegments(buf)
		if err != nil {
			p.err = err
			return
		}
		now := time.Now()
		for rest := buf[:n]; len(rest) > 0; {
			d := rest[:min(segment, len(rest))]
			rest = rest[len(d):]
			if p.cfg.Loss > 0 && rand.Float64() < p.cfg.Loss {
				p.drop(d)
				continue
			}
			p.receive(d, now)
		}
		if p.deaf.Load() {
			<-p.end
		}
	}
}

// StopReading leaves in the socket's buffer all that comes from now on, as a program that hangs; reports and consent go on.
func (p *Peer) StopReading() { p.deaf.Store(true) }

func (p *Peer) close() {
	close(p.end)
	if p.dtls != nil {
		p.dtls.Close()
		<-p.gone
	}
	p.pipe.Close()
	p.conn.Close()
	<-p.done
}

func (p *Peer) consent() {
	if m, err := p.bindingRequest("peer"); err == nil {
		p.send(m.Raw)
	}
}

// send reports whether the datagram was not lost by the path that this socket plays.
func (p *Peer) send(d []byte) bool {
	if p.cfg.Loss > 0 && rand.Float64() < p.cfg.Loss {
		return false
	}
	if p.cfg.Delay > 0 {
		d = bytes.Clone(d)
		time.AfterFunc(p.cfg.Delay, func() { p.conn.Write(d) })
		return true
	}
	p.conn.Write(d)
	return true
}
