package rtsp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"

	"watershed/sfu/ingest/reorder"
)

// The library's client reorders UDP by count: behind a lost packet it holds back 64, which is a third of a second of most cameras and
// many seconds of a slow one. So for `#transport=udp` the client is told that it speaks TCP, and this connection beneath it
// speaks UDP with the camera: it rewrites the Transport headers, and turns datagrams, put in order within a bounded time, into
// interleaved frames (RFC 2326 section 10.12).

const (
	reorderWait  = 60 * time.Millisecond // nothing is repeated, so only the paths' difference is worth waiting for
	reportPeriod = 5 * time.Second       // an empty receiver report keeps NATs open and cameras sending
	maxMessage   = 1 << 20
	maxDatagram  = 2048
)

// overUDP is such a connection.
type overUDP struct {
	camera net.Conn // TCP, for RTSP itself
	client net.Conn // our end of the pipe that the library has the other of

	out sync.Mutex // one frame or message to the client at a time

	mu      sync.Mutex // guards what follows
	asked   []*udpMedia
	sockets []*net.UDPConn
	closed  bool
	types   [128]bool // payload types that the camera's description names
}

// udpMedia is one medium's pair of sockets.
type udpMedia struct {
	channel   byte // of its RTP; RTCP has the next
	rtp, rtcp *net.UDPConn
	to        [2]*net.UDPAddr
}

// pipeEnd is what the library gets.
type pipeEnd struct {
	net.Conn
	camera net.Conn
}

func (p *pipeEnd) LocalAddr() net.Addr  { return p.camera.LocalAddr() }
func (p *pipeEnd) RemoteAddr() net.Addr { return p.camera.RemoteAddr() }

// dialUDP is a DialContext for the library's client.
func dialUDP(ctx context.Context, network, address string) (net.Conn, error) {
	camera, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	u := &overUDP{camera: camera, client: ours}
	go func() {
		u.requests()
		u.close()
	}()
	go func() {
		u.answers()
		u.close()
	}()
	return &pipeEnd{theirs, camera}, nil
}

func (u *overUDP) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.camera.Close()
	u.client.Close()
	for _, s := range u.sockets {
		s.Close()
	}
	u.sockets = nil
}

// requests passes on what the client says.
func (u *overUDP) requests() {
	r := bufio.NewReader(u.client)
	for {
		m, err := readMessage(r)
		if err != nil {
			return
		}
		if strings.HasPrefix(m.first, "SETUP ") && u.ask(m) != nil {
			return
		}
		if m.frame != nil { // RTCP that the client wants to send; we send our own
			continue
		}
		if _, err := u.camera.Write(m.bytes()); err != nil {
			return
		}
	}
}

// ask makes a SETUP for interleaved frames one for datagrams.
func (u *overUDP) ask(m *message) error {
	channel, ok := parameter(m.header.Get("Transport"), "interleaved")
	if !ok {
		return errors.New("no channels")
	}
	media := &udpMedia{channel: byte(channel)}
	var err error
	if media.rtp, media.rtcp, err = u.pair(); err != nil {
		return err
	}
	port := media.rtp.LocalAddr().(*net.UDPAddr).Port
	m.header.Set("Transport", fmt.Sprintf("RTP/AVP;unicast;client_port=%d-%d", port, port+1))
	u.mu.Lock()
	u.asked = append(u.asked, media)
	u.mu.Unlock()
	return nil
}

// pair opens two sockets on an even port and the next (RFC 3550 section 11).
func (u *overUDP) pair() (rtpSocket, rtcpSocket *net.UDPConn, err error) {
	local := u.camera.LocalAddr().(*net.TCPAddr)
	for range 50 {
		a, err := net.ListenUDP("udp", &net.UDPAddr{IP: local.IP, Zone: local.Zone})
		if err != nil {
			return nil, nil, err
		}
		port := a.LocalAddr().(*net.UDPAddr).Port
		if port%2 == 0 {
			if b, err := net.ListenUDP("udp", &net.UDPAddr{IP: local.IP, Zone: local.Zone, Port: port + 1}); err == nil {
				a.SetReadBuffer(socketBuffer)
				return a, b, u.keep(a, b)
			}
		}
		a.Close()
	}
	return nil, nil, errors.New("no free pair of UDP ports")
}

// keep has the sockets closed with the connection.
func (u *overUDP) keep(sockets ...*net.UDPConn) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		for _, s := range sockets {
			s.Close()
		}
		return net.ErrClosed
	}
	u.sockets = append(u.sockets, sockets...)
	return nil
}

// answers passes on what the camera says.
func (u *overUDP) answers() {
	r := bufio.NewReader(u.camera)
	for {
		m, err := readMessage(r)
		if err != nil {
			return
		}
		u.learn(m.body)
		if t := m.header.Get("Transport"); t != "" && strings.Contains(m.first, " 200 ") && !strings.Contains(t, "TCP") {
			u.agreed(m, t)
		}
		if u.toClient(m.bytes()) != nil {
			return
		}
	}
}

// learn reads the payload types of a description (RFC 8866 section 5.14).
func (u *overUDP) learn(description []byte) {
	for line := range strings.Lines(string(description)) {
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "m=") || len(fields) < 4 {
			continue
		}
		u.mu.Lock()
		for _, f := range fields[3:] {
			if pt, err := strconv.ParseUint(f, 10, 7); err == nil {
				u.types[pt] = true
			}
		}
		u.mu.Unlock()
	}
}

func (u *overUDP) names(pt uint8) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.types[pt&0x7f]
}

// agreed begins to receive, as the camera's answer to a SETUP says.
func (u *overUDP) agreed(m *message, transport string) {
	u.mu.Lock()
	if len(u.asked) == 0 || u.closed {
		u.mu.Unlock()
		return
	}
	media := u.asked[0]
	u.asked = u.asked[1:]
	u.mu.Unlock()
	if port, ok := parameter(transport, "server_port"); ok {
		ip := u.camera.RemoteAddr().(*net.TCPAddr).IP
		media.to = [2]*net.UDPAddr{{IP: ip, Port: port}, {IP: ip, Port: port + 1}}
	}
	answer := fmt.Sprintf("RTP/AVP/TCP;unicast;interleaved=%d-%d", media.channel, media.channel+1)
	if ssrc, ok := textParameter(transport, "ssrc"); ok {
		answer += ";ssrc=" + ssrc
	}
	m.header.Set("Transport", answer)
	go u.receive(media)
	go u.report(media)
}

// receive turns media datagrams into frames, in order.
func (u *overUDP) receive(m *udpMedia) {
	camera := u.camera.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	order := reorder.Buffer{Wait: reorderWait}
	var ssrc *uint32 // of the first packet: a camera that begins anew begins a session
	for {
		buf := make([]byte, maxDatagram)
		n, from, err := m.rtp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		p := &rtp.Packet{}
		if from.Addr().Unmap() != camera || p.Unmarshal(buf[:n]) != nil || !u.names(p.PayloadType) {
			continue
		}
		if ssrc == nil {
			ssrc = &p.SSRC
		}
		if p.SSRC != *ssrc { // another source's numbers would take the places of ours
			continue
		}
		for _, o := range order.Push(p, time.Now()) {
			raw, err := o.Marshal()
			if err == nil && u.frame(m.channel, raw) != nil {
				return
			}
		}
	}
}

// report passes the camera's reports on, and sends empty ones.
func (u *overUDP) report(m *udpMedia) {
	camera := u.camera.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	buf := make([]byte, maxDatagram)
	var next time.Time
	for {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(reportPeriod)
			m.punch()
			m.rtcp.SetReadDeadline(next)
		}
		n, from, err := m.rtcp.ReadFromUDPAddrPort(buf)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
		case err != nil:
			return
		case from.Addr().Unmap() == camera && u.frame(m.channel+1, buf[:n]) != nil:
			return
		}
	}
}

// punch sends a receiver report without blocks (RFC 3550 section 6.4.2), and an RTP packet without payload, which opens the way through a NAT.
func (m *udpMedia) punch() {
	if m.to[0] == nil {
		return
	}
	m.rtp.WriteTo([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, m.to[0])
	m.rtcp.WriteTo([]byte{0x80, 201, 0, 1, 0, 0, 0, 0}, m.to[1])
}

func (u *overUDP) frame(channel byte, payload []byte) error {
	return u.toClient(append([]byte{'$', channel, byte(len(payload) >> 8), byte(len(payload))}, payload...))
}

func (u *overUDP) toClient(b []byte) error {
	u.out.Lock()
	defer u.out.Unlock()
	_, err := u.client.Write(b)
	return err
}

// message is an RTSP request, an answer, or an interleaved frame.
type message struct {
	first  string
	header textproto.MIMEHeader
	body   []byte
	frame  []byte
}

func readMessage(r *bufio.Reader) (*message, error) {
	b, err := r.Peek(1)
	if err != nil {
		return nil, err
	}
	if b[0] == '$' {
		return readFrame(r)
	}
	limited := bufio.NewReader(io.LimitReader(oneByOne{r}, maxMessage))
	text := textproto.NewReader(limited)
	m := &message{}
	if m.first, err = text.ReadLine(); err != nil {
		return nil, err
	}
	if m.header, err = text.ReadMIMEHeader(); err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(m.header.Get("Content-Length"))
	if n < 0 || n > maxMessage {
		return nil, errors.New("RTSP body too large")
	}
	m.body = make([]byte, n)
	_, err = io.ReadFull(limited, m.body)
	return m, err
}

// oneByOne keeps a buffer on top from reading beyond a message's end.
type oneByOne struct{ r *bufio.Reader }

func (o oneByOne) Read(b []byte) (int, error) {
	c, err := o.r.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}

func readFrame(r *bufio.Reader) (*message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, 4+int(head[2])<<8+int(head[3]))
	copy(frame, head[:])
	_, err := io.ReadFull(r, frame[4:])
	return &message{frame: frame}, err
}

func (m *message) bytes() []byte {
	if m.frame != nil {
		return m.frame
	}
	var b bytes.Buffer
	b.WriteString(m.first + "\r\n")
	for key, values := range m.header {
		if key == "Cseq" { // Go's spelling; RTSP's is CSeq, and cameras are particular
			key = "CSeq"
		}
		for _, v := range values {
			b.WriteString(key + ": " + v + "\r\n")
		}
	}
	b.WriteString("\r\n")
	b.Write(m.body)
	return b.Bytes()
}

// parameter is the first number of a transport's parameter, such as client_port=4588-4589.
func parameter(transport, key string) (int, bool) {
	v, ok := textParameter(transport, key)
	if !ok {
		return 0, false
	}
	first, _, _ := strings.Cut(v, "-")
	n, err := strconv.ParseUint(first, 10, 16)
	return int(n), err == nil
}

func textParameter(transport, key string) (string, bool) {
	for p := range strings.SplitSeq(transport, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(k, key) {
			return v, true
		}
	}
	return "", false
}
