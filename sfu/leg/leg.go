// Package leg is a viewer's transport below PeerConnection: ICE-lite (RFC 8445 section 2.5), DTLS-SRTP (RFC 5764) and SRTCP over the
// node's one media port.
//
// A full PeerConnection costs a viewer some fourteen goroutines, a hundred kilobytes and a microsecond a packet
// on its way through locks that only a bidirectional endpoint needs. A viewer here is answered, never dialled: the node
// has a public port, so it need not check candidates itself, and it owns the order in which packets leave. What remains is
// short: answer STUN, finish a DTLS handshake, seal.
//
// Port reads its sockets (one goroutine each) and knows legs by ICE user name and by peer address. STUN and SRTCP are
// handled where they are read; DTLS goes to the leg's own handshake goroutine, which ends with the handshake. A ready Leg's outgoing
// side (Seal, SealRTCP) belongs to one goroutine, the shard. Everything that no leg claims goes to the PeerConnections of
// publishers, through UDPMux and TCPMux.
package leg

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"watershed/sfu/id"
	"watershed/sfu/media"
	"watershed/sfu/pipe"
	"watershed/sfu/seal"
	"watershed/sfu/udpbatch"
)

// Remote is what the peer's SDP says of its transport.
type Remote struct {
	Ufrag, Password string
	Fingerprint     string // sha-256, as in a=fingerprint: upper-case hex with colons
}

// Handler is told what happens to a leg. Calls come from the port's goroutines and must not block.
type Handler interface {
	Ready(l *Leg)                 // keys are there: Seal may be called
	RTCP(l *Leg, compound []byte) // decrypted and authenticated; valid during the call
	Closed(l *Leg, reason error)  // once, also when it never was ready
}

// Reasons for which a leg ends by itself.
var (
	ErrHandshake = errors.New("the DTLS handshake did not finish in 15 s")
	ErrConsent   = errors.New("no sign of life for 30 s (RFC 7675 consent)")
	ErrClosed    = errors.New("closed")
)

// ErrFull is New's error.
var ErrFull = errors.New("too many viewers are joining at this moment: try again in a few seconds")

// maxUnready is how many legs may wait for their peers. One is ready within a second, so that is how many viewers may come in one; those who never come
// are forgotten after 15.
const maxUnready = 2048

const (
	handshakeTimeout = 15 * time.Second // from the offer: browsers give up ICE at about this time, too
	consentTimeout   = 30 * time.Second // RFC 7675 section 5.1
)

// Leg is one peer's transport.
type Leg struct {
	port    *Port
	handler Handler

	born     time.Time
	lastSeen atomic.Int64 // Unix seconds of the last authenticated datagram
	path     atomic.Pointer[path]
	pipe     *pipe.Conn // DTLS datagrams

	mu       sync.Mutex // guards what follows; never held over a call to the handler
	ufrag    string     // ours
	password string     // ours
	remote   Remote
	closed   bool
	starting bool
	tcp      []*tcpConn // that the peer opened; one of them may be the path
	dtls     *dtls.Conn
	srtcpIn  *srtp.Context
	rtcpBuf  []byte

	rtcpSecond int64 // Unix seconds, and the messages that have come in it
	rtcpSeen   int

	gcm    *seal.Sealer  // of media, nil if the peer does not take AES-GCM; owned like out
	out    *srtp.Context // owned by whoever owns the outgoing side, after Ready
	header rtp.Header    // scratch of Seal
	aimed  *path         // by Aim: what follows it goes one way; owned like out

	Dead    atomic.Bool // set once the leg is closed: the owner of the outgoing side stops
	unready atomic.Bool // counted in port.unready
}

// path is how datagrams reach the peer now.
type path struct {
	peer netip.AddrPort
	conn int // index of the socket that hears it
	addr udpbatch.Addr
	tcp  *tcpConn
}

// New makes a leg that waits for its peer's first STUN check. It fails with ErrFull.
func (p *Port) New(remote Remote, h Handler) (*Leg, error) {
	if p.unready.Add(1) > maxUnready {
		p.unready.Add(-1)
		return nil, ErrFull
	}
	l := &Leg{
		ufrag: id.Random(5), password: id.Random(20),
		port: p, remote: remote, handler: h, born: time.Now(),
	}
	l.unready.Store(true)
	l.pipe = pipe.New(l.sendDTLS)
	l.lastSeen.Store(time.Now().Unix())
	p.add(l)
	return l, nil
}

// arrived ends the leg's being counted as one that its peer may never come to.
func (l *Leg) arrived() {
	if l.unready.Swap(false) {
		l.port.unready.Add(-1)
	}
}

// Restart gives the leg new ICE credentials (RFC 8445 section 9): the peer changes networks, keys and media stay.
func (l *Leg) Restart(ufrag, password string) {
	l.port.rename(l, id.Random(5), id.Random(20), ufrag, password)
}

// Credentials of our side of ICE, for the answer.
func (l *Leg) Credentials() (ufrag, password string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ufrag, l.password
}

// Shard is the index of the socket that hears the peer; it sends from there, too.
func (l *Leg) Shard() int {
	if p := l.path.Load(); p != nil {
		return p.conn
	}
	return 0
}

// Peer is the address that the peer is reached at, and whether by TCP.
func (l *Leg) Peer() (addr netip.AddrPort, tcp bool) {
	if p := l.path.Load(); p != nil {
		return p.peer, p.tcp != nil
	}
	return netip.AddrPort{}, false
}

// overhead is the most that SRTP or SRTCP add: an AES-GCM tag of 16 bytes, SRTCP's index of 4.
const overhead = seal.Overhead + 4

// Seal encrypts a packet with this viewer's header fields into the batch and returns its size on the wire. index is the packet's extended
// sequence number for its SSRC: it starts below 2^15, grows by one with every call, and must never be used twice.
func (l *Leg) Seal(b *udpbatch.Batch, pkt media.Packet, pt uint8, index uint64, ts, ssrc uint32) int {
	buf := b.Space(len(pkt) + overhead)
	buf[0], buf[1] = pkt[0], pkt[1]&0x80|pt
	putHeader(buf, uint16(index), ts, ssrc)
	if l.gcm != nil {
		return l.emit(b, buf[:l.gcm.Seal(buf, pkt.Payload(), ssrc, index)])
	}
	copy(buf[media.HeaderLen:], pkt.Payload())
	return l.sealSlowly(b, buf, buf[:len(pkt)])
}

// SealRTX encrypts a retransmission: the original sequence number, then the original payload (RFC 4588 section 4).
func (l *Leg) SealRTX(b *udpbatch.Batch, pkt media.Packet, pt uint8, index uint64, ts, ssrc uint32, original uint16) int {
	n := len(pkt) + 2
	buf := b.Space(n + overhead)
	buf[0], buf[1] = pkt[0], pkt[1]&0x80|pt
	putHeader(buf, uint16(index), ts, ssrc)
	buf[12], buf[13] = byte(original>>8), byte(original)
	copy(buf[14:], pkt.Payload())
	if l.gcm != nil {
		return l.emit(b, buf[:l.gcm.Seal(buf, buf[media.HeaderLen:n], ssrc, index)])
	}
	return l.sealSlowly(b, buf, buf[:n])
}

func putHeader(p []byte, seq uint16, ts, ssrc uint32) {
	binary.BigEndian.PutUint16(p[2:], seq)
	binary.BigEndian.PutUint32(p[4:], ts)
	binary.BigEndian.PutUint32(p[8:], ssrc)
}

// sealSlowly is for peers without AES-GCM: the library keeps the rollover counter, which agrees because indices begin in the first cycle.
func (l *Leg) sealSlowly(b *udpbatch.Batch, buf, plain []byte) int {
	sealed, err := l.out.EncryptRTP(buf, plain, &l.header)
	if err != nil { // 2^48 packets under one key
		l.Close(fmt.Errorf("seal: %w", err))
		return 0
	}
	return l.emit(b, sealed)
}

// SealRTCP encrypts a compound RTCP packet into the batch.
func (l *Leg) SealRTCP(b *udpbatch.Batch, compound []byte) int {
	sealed, err := l.out.EncryptRTCP(b.Space(len(compound) + overhead)[:0], compound, nil)
	if err != nil {
		return 0
	}
	return l.emit(b, sealed)
}

// Aim points the batch, and what is sealed until the next Aim, at this leg's peer; false when there is nobody to send to.
func (l *Leg) Aim(b *udpbatch.Batch) bool {
	p := l.path.Load()
	if p == nil || l.Dead.Load() {
		return false
	}
	l.aimed = p
	if p.tcp == nil {
		b.To(p.addr)
	}
	return true
}

func (l *Leg) emit(b *udpbatch.Batch, sealed []byte) int {
	if t := l.aimed.tcp; t != nil {
		t.queue(sealed)
	} else {
		b.Commit(len(sealed))
	}
	return len(sealed)
}

// Close ends the leg; the peer is told by a DTLS alert.
func (l *Leg) Close(reason error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	d, tcp := l.dtls, l.tcp
	l.tcp = nil
	l.mu.Unlock()
	l.Dead.Store(true)
	l.arrived()
	hangUp := func() {
		l.pipe.Close()
		for _, t := range tcp {
			t.hangUp()
		}
	}
	if d != nil {
		l.port.tasks.Go(func() { // says close_notify; it waits for its own goroutines
			d.Close()
			hangUp()
		})
	} else {
		hangUp()
	}
	l.port.remove(l)
	l.handler.Closed(l, reason)
}

// adopt makes a connection end with the leg.
func (l *Leg) adopt(t *tcpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		t.hangUp()
		return
	}
	l.tcp = append(l.tcp, t)
}

// disown forgets a connection that ended by itself.
func (l *Leg) disown(t *tcpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tcp = slices.DeleteFunc(l.tcp, func(o *tcpConn) bool { return o == t })
}

// expired reports why the leg should end at this time, or nil.
func (l *Leg) expired(now time.Time) error {
	l.mu.Lock()
	ready := l.srtcpIn != nil
	l.mu.Unlock()
	switch {
	case !ready && now.Sub(l.born) > handshakeTimeout:
		return ErrHandshake
	case now.Unix()-l.lastSeen.Load() > int64(consentTimeout/time.Second):
		return ErrConsent
	}
	return nil
}

// handshake runs DTLS as the server, once the peer's address is known.
func (l *Leg) handshake() {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	conn, err := dtls.ServerWithOptions(l.pipe, l.pipe.LocalAddr(), l.port.dtlsOptions(l.verify)...)
	if err == nil {
		l.mu.Lock()
		l.dtls = conn
		closed := l.closed
		l.mu.Unlock()
		if closed {
			conn.Close()
			return
		}
		err = conn.HandshakeContext(ctx)
	}
	if err == nil {
		err = l.keys(conn)
	}
	if err != nil {
		l.Close(fmt.Errorf("DTLS handshake: %w", err))
		return
	}
	l.arrived()
	l.handler.Ready(l)
	l.awaitClose(conn)
}

// awaitClose lets the peer end the leg by DTLS close_notify.
func (l *Leg) awaitClose(conn *dtls.Conn) {
	buf := make([]byte, maxFrame) // no data channel: nothing but the end is expected
	for {
		if _, err := conn.Read(buf); err != nil {
			l.Close(ErrClosed)
			return
		}
	}
}

// verify is the whole authentication of a WebRTC peer: its certificate has the fingerprint that signaling
// brought (RFC 8122 section 6.2).
func (l *Leg) verify(certs [][]byte, _ [][]*x509.Certificate) error {
	if len(certs) == 0 {
		return errors.New("peer sent no certificate")
	}
	l.mu.Lock()
	want := strings.ToUpper(l.remote.Fingerprint)
	l.mu.Unlock()
	if subtle.ConstantTimeCompare([]byte(Fingerprint(certs[0])), []byte(want)) != 1 {
		return errors.New("peer's certificate does not have the fingerprint of its SDP")
	}
	return nil
}

// Fingerprint of a DER certificate as SDP writes it.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	h := strings.ToUpper(hex.EncodeToString(sum[:]))
	var b strings.Builder
	for i := 0; i < len(h); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(h[i : i+2])
	}
	return b.String()
}

func (l *Leg) keys(conn *dtls.Conn) error {
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("no connection state")
	}
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("peer takes none of our SRTP profiles")
	}
	cfg := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, false); err != nil {
		return err
	}
	k := cfg.Keys
	out, err := srtp.CreateContext(k.LocalMasterKey, k.LocalMasterSalt, cfg.Profile)
	if err != nil {
		return err
	}
	in, err := srtp.CreateContext(k.RemoteMasterKey, k.RemoteMasterSalt, cfg.Profile, srtp.SRTCPReplayProtection(64))
	if err != nil {
		return err
	}
	if profile == dtls.SRTP_AEAD_AES_128_GCM {
		if l.gcm, err = seal.New(k.LocalMasterKey, k.LocalMasterSalt); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out, l.srtcpIn = out, in
	return nil
}

// maxRTCP is how many messages a second are read of one peer. Browsers send five, and one for each burst of losses; a wall of 25 videos on a bad network some
// hundred. More are dropped before they cost a decryption.
const maxRTCP = 1000

// receiveRTCP handles one protected RTCP datagram.
func (l *Leg) receiveRTCP(datagram []byte) {
	now := time.Now().Unix()
	l.mu.Lock()
	if l.rtcpSecond != now {
		l.rtcpSecond, l.rtcpSeen = now, 0
	}
	l.rtcpSeen++
	if l.srtcpIn == nil || l.closed || l.rtcpSeen > maxRTCP {
		l.mu.Unlock()
		return
	}
	plain, err := l.srtcpIn.DecryptRTCP(l.rtcpBuf[:0], datagram, nil)
	if err == nil {
		l.rtcpBuf = nil // lent until the handler returns
	}
	l.mu.Unlock()
	if err != nil {
		l.port.rejected.Add(1)
		return
	}
	l.lastSeen.Store(now)
	l.handler.RTCP(l, plain)
	l.mu.Lock()
	l.rtcpBuf = plain
	l.mu.Unlock()
}

// Static returns a leg with a key and a peer given instead of negotiated, outside any port: benchmarks and tests of the sending side use it.
func Static(conn *udpbatch.Conn, peer netip.AddrPort, key, salt []byte) (*Leg, error) {
	gcm, err := seal.New(key, salt)
	if err != nil {
		return nil, err
	}
	l := &Leg{gcm: gcm}
	l.path.Store(&path{peer: peer, addr: conn.Addr(peer)})
	return l, nil
}
