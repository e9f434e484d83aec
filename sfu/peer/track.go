package peer

import (
	"bytes"
	"encoding/binary"
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
}

// loss is a packet that is missing.
type loss struct {
	asked int
	last  time.Time
}

// giveUp after so long: a player would have shown the next picture.
const giveUp = time.Second

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
	}
	n := t.highest + uint64(int64(int16(h.Seq-uint16(t.highest))))
	for m := t.highest + 1; m < n; m++ {
		t.lost[m] = &loss{}
	}
	if n > t.highest {
		t.highest = n
	} else {
		delete(t.lost, n)
	}
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
	if len(pkt.Plain) < 14 || !t.started {
		return
	}
	original := binary.BigEndian.Uint16(pkt.Plain[12:])
	n := t.highest + uint64(int64(int16(original-uint16(t.highest))))
	if _, ok := t.lost[n]; ok {
		delete(t.lost, n)
		t.Repeated.Add(1)
	}
}

// chase asks for what is missing, again after a while, and gives up in the end.
func (t *Track) chase(now time.Time) {
	var ask []uint16
	for n, l := range t.lost {
		switch {
		case l.asked > 0 && now.Sub(l.last) > giveUp:
			delete(t.lost, n)
			t.Missing.Add(1)
		case t.peer.cfg.NoNACK:
			if l.asked == 0 {
				l.asked, l.last = 1, now
			}
		case l.asked == 0 || l.asked < 10 && now.Sub(l.last) > 2*t.peer.cfg.Delay+20*time.Millisecond:
			if l.asked == 0 {
				l.last = now
			}
			l.asked++
			ask = append(ask, uint16(n))
		}
	}
	if len(ask) > 0 {
		t.NACKs.Add(uint64(len(ask)))
		t.peer.sendRTCP(&rtcp.TransportLayerNack{SenderSSRC: t.peer.ssrc, MediaSSRC: t.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(ask)})
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

func (p *Peer) sendRTCP(packets ...rtcp.Packet) {
	raw, err := rtcp.Marshal(packets)
	if err != nil {
		return
	}
	p.mu.Lock()
	sealed, err := p.out.EncryptRTCP(nil, raw, nil)
	p.mu.Unlock()
	if err == nil {
		p.send(sealed)
	}
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

// sendReports runs beside Run's goroutine and reads counters without a lock: a report may be off by a packet.
func (p *Peer) sendReports() {
	rr := &rtcp.ReceiverReport{SSRC: p.ssrc}
	p.mu.Lock()
	for _, t := range p.Tracks {
		if t.lastSR == 0 {
			continue
		}
		rr.Reports = append(rr.Reports, rtcp.ReceptionReport{
			SSRC: t.ssrc, LastSenderReport: t.lastSR, Delay: uint32(time.Since(t.lastSRAt).Seconds() * 65536),
		})
	}
	p.mu.Unlock()
	p.sendRTCP(rr)
}
