package peer

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

// Header is the part of an RTP header that is looked at.
type Header struct {
	PT     uint8
	Marker bool
	Seq    uint16
	TS     uint32
	SSRC   uint32
}

// Track is one m-line's media as it arrives. Its plain fields belong to the peer's goroutine until Run has returned.
type Track struct {
	Kind string // video or audio
	Mid  string

	Packets    uint64        // received first hand
	Repeated   atomic.Uint64 // received by RTX
	Bytes      uint64
	Frames     uint64        // markers
	Missing    atomic.Uint64 // numbers that never came, so far
	Ignored    atomic.Uint64 // of them, those that a NACK asked for which was not lost, and nothing was sent: no fault of the path
	NACKs      atomic.Uint64 // packets asked for again
	First      time.Time
	LastFrame  time.Time
	LongestGap time.Duration // between markers

	peer      *Peer
	ssrc, rtx uint32
	started   bool
	highest   uint64 // extended
	lost      map[uint64]*loss
	lastSR    uint32
	lastSRAt  time.Time

	// For receiver reports: what the reader has counted, and how far the last report was.
	expected, received         atomic.Uint64
	lastExpected, lastReceived uint64
}

// loss is a packet that is missing.
type loss struct {
	asked    int
	first    time.Time // asked for
	last     time.Time
	through  time.Time // first time that the path did not lose the NACK
	answered bool      // by a repeat that the path lost
}

// giveUp after so long: a player would have shown the next picture.
const giveUp = time.Second

// slow is how much longer than the path an answer may take before it counts as none.
const slow = 300 * time.Millisecond

func parseHeader(d []byte) Header {
	return Header{
		PT: d[1] & 0x7f, Marker: d[1]&0x80 != 0, Seq: binary.BigEndian.Uint16(d[2:]),
		TS: binary.BigEndian.Uint32(d[4:]), SSRC: binary.BigEndian.Uint32(d[8:]),
	}
}

func (p *Peer) receive(d []byte, now time.Time) {
	switch {
	case len(d) < 12:
	case d[0] >= 20 && d[0] <= 63:
		p.pipe.Deliver(d)
	case d[0] < 128 || d[0] > 191:
	case !p.keyed.Load():
		if len(p.early) < 4096 {
			p.early = append(p.early, bytes.Clone(d))
		}
	case len(p.early) > 0: // in the order of arrival
		early := append(p.early, bytes.Clone(d))
		p.early = nil
		for _, d := range early {
			p.receive(d, now)
		}
	case d[1] >= 192 && d[1] <= 223:
		p.receiveRTCP(d, now)
	default:
		p.receiveRTP(d, now)
	}
}

func (p *Peer) receiveRTP(d []byte, now time.Time) {
	h := parseHeader(d)
	for _, t := range p.Tracks {
		if h.SSRC != t.ssrc && (h.SSRC != t.rtx || t.rtx == 0) {
			continue
		}
		pkt := Packet{Track: t, Header: h, Arrival: now, RTX: h.SSRC != t.ssrc, Size: len(d)}
		p.verify(&pkt, d)
		if pkt.RTX {
			t.repeated(&pkt)
		} else {
			t.arrived(&pkt)
		}
		if p.cfg.REMB && t.Kind == "video" {
			p.estimate(&pkt)
		}
		if p.cfg.OnPacket != nil {
			p.cfg.OnPacket(pkt)
		}
		return
	}
}

func (p *Peer) estimate(pkt *Packet) {
	if p.zero == 0 {
		p.zero = pkt.Header.TS
	}
	p.receiver.add(pkt, p.zero)
	if bps, ok := p.receiver.estimate(pkt.Arrival); ok {
		p.SendREMB(bps)
	}
}

// verify decrypts every n-th packet, and every RTX packet, whose inner number is needed.
func (p *Peer) verify(pkt *Packet, d []byte) {
	p.seen++
	if !pkt.RTX && (p.cfg.Verify == 0 || p.seen%p.cfg.Verify != 0) {
		return
	}
	plain, err := p.in.DecryptRTP(nil, d, nil)
	if err != nil {
		p.rejected++
		return
	}
	pkt.Plain = plain
}

func (t *Track) arrived(pkt *Packet) {
	h := pkt.Header
	if !t.started {
		t.started, t.First = true, pkt.Arrival
		t.highest = 1<<32 | uint64(h.Seq) // room below for reordering
		t.lost = map[uint64]*loss{}
		t.expected.Add(1)
	}
	n := t.highest + uint64(int64(int16(h.Seq-uint16(t.highest))))
	for m := t.highest + 1; m < n; m++ {
		t.lost[m] = &loss{}
	}
	if n > t.highest {
		t.expected.Add(n - t.highest)
		t.highest = n
	} else {
		delete(t.lost, n)
	}
	t.received.Add(1)
	t.Packets++
	t.Bytes += uint64(pkt.Size)
	if h.Marker {
		if !t.LastFrame.IsZero() {
			t.LongestGap = max(t.LongestGap, pkt.Arrival.Sub(t.LastFrame))
		}
		t.Frames++
		t.LastFrame = pkt.Arrival
	}
	if len(t.lost) > 0 {
		t.chase(pkt.Arrival)
	}
}

func (t *Track) repeated(pkt *Packet) {
	if n, ok := t.original(pkt.Plain); ok {
		delete(t.lost, n)
		t.Repeated.Add(1)
	}
}

// original finds the missing packet that a decrypted retransmission repeats (RFC 4588 section 4).
func (t *Track) original(plain []byte) (n uint64, ok bool) {
	if len(plain) < 14 || !t.started {
		return 0, false
	}
	seq := binary.BigEndian.Uint16(plain[12:])
	n = t.highest + uint64(int64(int16(seq-uint16(t.highest))))
	_, ok = t.lost[n]
	return n, ok
}

// drop notes what the path loses: a repeat that never arrives was an answer all the same.
func (p *Peer) drop(d []byte) {
	if len(d) < 12 || d[0] < 128 || d[0] > 191 || !p.keyed.Load() {
		return
	}
	for _, t := range p.Tracks {
		if t.rtx == 0 || t.rtx != parseHeader(d).SSRC {
			continue
		}
		if plain, err := p.in.DecryptRTP(nil, d, nil); err == nil {
			if n, ok := t.original(plain); ok {
				t.lost[n].answered = true
			}
		}
	}
}

// chase asks for what is missing, again after a round trip, and gives up in the end.
func (t *Track) chase(now time.Time) {
	var ask []uint16
	var asked []*loss
	for n, l := range t.lost {
		switch {
		case l.asked > 0 && now.Sub(l.first) > giveUp:
			t.giveUp(n, now)
		case l.asked == 0 || !t.peer.cfg.NoNACK && l.asked < 10 && now.Sub(l.last) > t.peer.cfg.Delay+20*time.Millisecond:
			if l.asked == 0 {
				l.first = now
			}
			l.asked, l.last = l.asked+1, now
			ask, asked = append(ask, uint16(n)), append(asked, l)
		}
	}
	if len(ask) == 0 || t.peer.cfg.NoNACK {
		return
	}
	t.NACKs.Add(uint64(len(ask)))
	slices.Sort(ask)
	if !t.peer.sendRTCP(&rtcp.TransportLayerNack{SenderSSRC: t.peer.ssrc, MediaSSRC: t.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(ask)}) {
		return
	}
	for _, l := range asked {
		if l.through.IsZero() {
			l.through = now
		}
	}
}

func (t *Track) giveUp(n uint64, now time.Time) {
	l := t.lost[n]
	delete(t.lost, n)
	t.Missing.Add(1)
	if !l.answered && !l.through.IsZero() && now.Sub(l.through) > t.peer.cfg.Delay+slow {
		t.Ignored.Add(1)
	}
}

// Open counts numbers that are missing now but not given up.
func (t *Track) Open() int { return len(t.lost) }

// RequestKeyframe sends a PLI.
func (t *Track) RequestKeyframe() {
	t.peer.sendRTCP(&rtcp.PictureLossIndication{SenderSSRC: t.peer.ssrc, MediaSSRC: t.ssrc})
}

// SendREMB tells the server a bandwidth estimate.
func (p *Peer) SendREMB(bps float64) {
	r := &rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: p.ssrc, Bitrate: float32(bps)}
	for _, t := range p.Tracks {
		r.SSRCs = append(r.SSRCs, t.ssrc)
	}
	p.sendRTCP(r)
}

// SendRTCP sends any feedback: tests send hostile ones.
func (p *Peer) SendRTCP(packets ...rtcp.Packet) { p.sendRTCP(packets...) }

// SSRC of the track's media.
func (t *Track) SSRC() uint32 { return t.ssrc }

func (p *Peer) sendRTCP(packets ...rtcp.Packet) (sent bool) {
	raw, err := rtcp.Marshal(packets)
	if err != nil {
		return false
	}
	p.mu.Lock()
	sealed, err := p.out.EncryptRTCP(nil, raw, nil)
	p.mu.Unlock()
	return err == nil && p.send(sealed)
}

func (p *Peer) receiveRTCP(d []byte, now time.Time) {
	plain, err := p.inRTCP.DecryptRTCP(nil, d, nil)
	if err != nil {
		p.rejected++
		return
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		return
	}
	for _, pkt := range packets {
		sr, ok := pkt.(*rtcp.SenderReport)
		if !ok {
			continue
		}
		for _, t := range p.Tracks {
			if t.ssrc == sr.SSRC {
				p.mu.Lock()
				t.lastSR, t.lastSRAt = uint32(sr.NTPTime>>16), now
				p.mu.Unlock()
			}
		}
	}
}

// sendReports runs beside the reader: a report may be off by a packet.
func (p *Peer) sendReports() {
	rr := &rtcp.ReceiverReport{SSRC: p.ssrc}
	p.mu.Lock()
	for _, t := range p.Tracks {
		if t.lastSR == 0 {
			continue
		}
		rr.Reports = append(rr.Reports, rtcp.ReceptionReport{
			SSRC: t.ssrc, FractionLost: t.fractionLost(), LastSenderReport: t.lastSR, Delay: uint32(time.Since(t.lastSRAt).Seconds() * 65536),
		})
	}
	p.mu.Unlock()
	p.sendRTCP(rr)
}

// fractionLost since the last report, of 256 (RFC 3550 appendix A.3); what was repeated counts as lost, as browsers count it.
func (t *Track) fractionLost() uint8 {
	received, expected := t.received.Load(), t.expected.Load()
	due, got := expected-t.lastExpected, received-t.lastReceived
	t.lastExpected, t.lastReceived = expected, received
	if due <= got {
		return 0
	}
	return uint8(min(255, (due-got)*256/due))
}
