package sfu

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"watershed/sfu/media"
	"watershed/sfu/timeline"
)

const (
	reportInterval = time.Second // sender reports; lip sync is as good as the newest
	reportSlices   = 20          // viewers are reported in turns, so that a thousand do not come at once
	reportOften    = 4           // turns between reports to viewers with a choice of layers, 200 ms: their round trip shows a queue before anything is lost
)

// report is what the peer tells of its reception.
type report struct {
	lost    atomic.Uint32 // fraction of 256
	rttNano atomic.Int64
	remb    atomic.Uint64 // bits a second
	rembAt  atomic.Int64  // Unix nanoseconds
	fresh   atomic.Bool   // a receiver report has come since the last look
	trip    atomic.Pointer[roundTrip]
	lastSR  atomic.Uint32 // the sender report that the newest round trip is of
	sent    sentReports
	nacks   atomic.Uint64
	plis    atomic.Uint64
}

// roundTrip is one of a sender report that had not been answered before, or the least that it can be of one that should have been.
type roundTrip struct {
	rtt  time.Duration
	span time.Duration // from the sender report that the last one was of
}

// Quality is what a viewer's reports say.
type Quality struct {
	Loss  float64 // fraction of the last report interval
	RTT   time.Duration
	REMB  float64 // bits a second, 0 if never told
	NACKs uint64  // packets asked for again
	PLIs  uint64
}

// Quality of the viewer's reception.
func (v *Viewer) Quality() Quality {
	return Quality{
		Loss: float64(v.report.lost.Load()) / 256, RTT: time.Duration(v.report.rttNano.Load()),
		REMB: float64(v.report.remb.Load()), NACKs: v.report.nacks.Load(), PLIs: v.report.plis.Load(),
	}
}

func (v *Viewer) feedback(compound []byte) {
	packets, err := rtcp.Unmarshal(compound)
	if err != nil {
		return
	}
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.TransportLayerNack:
			v.nack(p)
		case *rtcp.PictureLossIndication:
			v.pictureLost(p.MediaSSRC)
		case *rtcp.FullIntraRequest:
			for _, e := range p.FIR {
				v.pictureLost(e.SSRC)
			}
		case *rtcp.ReceiverReport:
			v.received(p)
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			v.report.remb.Store(uint64(p.Bitrate))
			v.report.rembAt.Store(time.Now().UnixNano())
			v.consider()
		}
	}
}

// consider has the shard choose layers anew, if there is a choice.
func (v *Viewer) consider() {
	if v.adaptive.Load() {
		v.postFeedback(v.adapt)
	}
}

func (v *Viewer) slotBySSRC(ssrc uint32) *Slot {
	i := slices.IndexFunc(v.Slots, func(sl *Slot) bool { return sl.ssrc == ssrc })
	if i < 0 {
		return nil
	}
	return v.Slots[i]
}

func (v *Viewer) received(rr *rtcp.ReceiverReport) {
	for _, r := range rr.Reports {
		if v.slotBySSRC(r.SSRC) == nil {
			continue
		}
		v.report.lost.Store(uint32(r.FractionLost))
		if r.LastSenderReport != 0 { // RFC 3550 section 6.4.1: units of 1/65536 s
			rtt := ntpMiddle(time.Now()) - r.LastSenderReport - r.Delay
			switch last := v.report.lastSR.Load(); {
			case rtt >= 1<<20: // 16 s; more is nonsense
			case last != r.LastSenderReport:
				v.report.lastSR.Store(r.LastSenderReport)
				v.report.rttNano.Store(int64(shortNTP(rtt)))
				v.report.tripped(rtt, r.LastSenderReport-last)
			default: // the next one has not arrived yet: it takes so long at least
				if next, ok := v.report.sent.after(last); ok {
					v.report.tripped(ntpMiddle(time.Now())-next, next-last)
				}
			}
		}
		v.report.fresh.Store(true)
	}
	v.consider()
}

func (r *report) tripped(rtt, span uint32) {
	trip := roundTrip{rtt: shortNTP(rtt)}
	if span < 1<<20 {
		trip.span = shortNTP(span)
	}
	r.trip.Store(&trip)
}

// sentReports remembers when the last sender reports went out, in the middle of NTP's bits. The shard notes, the port looks.
type sentReports struct {
	times [8]atomic.Uint32
	n     int // the shard's own
}

func (s *sentReports) note(ntp uint32) {
	s.times[s.n%len(s.times)].Store(ntp)
	s.n++
}

// after finds the first one after another.
func (s *sentReports) after(ntp uint32) (next uint32, ok bool) {
	for i := range s.times {
		t := s.times[i].Load()
		if d := t - ntp; t != 0 && d-1 < 1<<20 && (!ok || d < next-ntp) {
			next, ok = t, true
		}
	}
	return next, ok
}

// shortNTP is a duration in units of 1/65536 s.
func shortNTP(d uint32) time.Duration { return time.Duration(int64(d) * int64(time.Second) >> 16) }

func (v *Viewer) pictureLost(ssrc uint32) {
	v.report.plis.Add(1)
	if sl := v.slotBySSRC(ssrc); sl != nil {
		v.postFeedback(sl.repair)
	}
}

// repairInterval between repeated GOPs: a decoder that asks again within it is still working on the last.
const repairInterval = time.Second

// silence of a source after which a decoder that asks for a picture has lost nothing: Chromium asks every few seconds for as long as none
// comes. Repeating the GOP would show the past as if it were now; the last picture is to stay.
const silence = 2 * time.Second

// repair brings a decoder that lost track back: by a fresh keyframe where the source can make one, else by the cached GOP.
func (sl *Slot) repair() {
	t := sl.tap
	if t == nil || t.layer.RequestKeyframe() || time.Since(sl.repeated) < repairInterval || !slices.Contains(t.slots, sl) {
		return
	}
	if f := t.layer.ring.Latest(); f == nil || time.Since(time.Unix(0, f.Server)) > silence {
		return
	}
	sl.repeated = time.Now()
	sl.lastSent = sl.repeated
	l := t.layer
	sl.tap = nil
	t.slots = without(t.slots, sl)
	sl.viewer.shard.join(sl, l, false)
}

// repeats is a token bucket of bytes that keeps repeats from drowning what is new.
type repeats struct {
	filled time.Time
	tokens float64
}

// What may be repeated. A path without a known limit may lose a whole keyframe at once; one that is full gets no more than a quarter on
// top, because then the loss is its own answer and a smaller layer the cure.
const (
	maxNACKs     = 160     // packets looked at in one message
	freeRepeats  = 400_000 // bytes a second: 5 % of 64 Mb/s
	freeBurst    = 96_000
	limitedShare = 0.25 // of the budget
)

func (b *repeats) take(now time.Time, n int, limit float64) bool {
	rate, burst := float64(freeRepeats), float64(freeBurst)
	if share := limit / 8 * limitedShare; share < rate {
		rate, burst = share, share/4
	}
	if b.filled.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*rate, burst)
	}
	b.filled = now
	if b.tokens < float64(n) {
		return false
	}
	b.tokens -= float64(n)
	return true
}

func (v *Viewer) nack(n *rtcp.TransportLayerNack) {
	sl := v.slotBySSRC(n.MediaSSRC)
	if sl == nil {
		return
	}
	var seqs []uint16
	for _, pair := range n.Nacks {
		seqs = append(seqs, pair.PacketList()...)
		if len(seqs) > maxNACKs {
			break
		}
	}
	v.report.nacks.Add(uint64(len(seqs)))
	v.postFeedback(func() { sl.resend(seqs) })
}

// resend answers NACKs from the ring, as RTX with fresh sequence numbers; without RTX nothing is repeated, because one SRTP index
// is never sealed twice.
func (sl *Slot) resend(seqs []uint16) {
	s := sl.viewer.shard
	if sl.rtxPT == 0 || !sl.viewer.leg.Aim(s.batch) {
		return
	}
	now, limit := time.Now(), sl.viewer.budget.Budget()
	for _, seq := range seqs {
		l, in, ok := sl.numbers.Reverse(seq)
		if !ok || sl.tap == nil || l != sl.tap.layer || in < sl.numbers.Since() {
			continue // from before the keyframe that the decoder has begun anew with
		}
		if f, i := l.ring.Find(in); f != nil && sl.nacks.take(now, len(f.Packets[i]), limit) {
			sl.resendOne(f, f.Packets[i], seq)
		}
	}
}

// resendOne repeats a packet that was sent as seq, and returns its size. The batch is aimed at the viewer.
func (sl *Slot) resendOne(f *media.Frame, p media.Packet, seq uint16) int {
	s := sl.viewer.shard
	n := sl.viewer.leg.SealRTX(s.batch, p, sl.rtxPT, sl.rtxSeq, sl.timestamp(f), sl.rtx, seq)
	sl.rtxSeq++
	sl.viewer.repeated += uint64(n)
	s.stats.Retransmits.Add(1)
	return n
}

// report sends sender reports to the viewers whose turn it is.
func (s *shard) report(now time.Time, slice int) {
	for v := range s.viewers {
		turn := (int(v.joined.UnixNano()/int64(reportInterval/reportSlices))%reportSlices - slice + reportSlices) % reportSlices
		often := v.adaptive.Load()
		if turn == 0 || often && turn%reportOften == 0 {
			s.sendReports(v, now)
		}
		if turn == 0 && often {
			v.adapt() // even if its feedback is lost
		}
	}
	for v := range s.probing {
		s.probe(v, now, reportInterval/reportSlices)
	}
}

func (s *shard) sendReports(v *Viewer, now time.Time) {
	if !v.leg.Aim(s.batch) {
		return
	}
	v.report.sent.note(ntpMiddle(now))
	var buf [8 * 28]byte
	out := buf[:0]
	for _, sl := range v.Slots {
		if sl.layer.Load() == nil || !sl.sentAny {
			continue
		}
		if len(out) == cap(out) { // a wall's viewer has many
			v.leg.SealRTCP(s.batch, out)
			out = buf[:0]
		}
		out = sl.appendReport(out, now)
	}
	if len(out) > 0 {
		v.leg.SealRTCP(s.batch, out)
	}
}

// appendReport writes a sender report without reception blocks (RFC 3550 section 6.4.1). All tracks of a stream share its timeline, so the
// timeline's position now is what goes beside the wall clock: that is lip sync.
func (sl *Slot) appendReport(b []byte, now time.Time) []byte {
	position := sl.stream.line.At(now)
	ts := uint32(timeline.Ticks(position, sl.clockRate)) + sl.tsOffset
	ntp := ntpTime(now)
	b = append(b, 0x80, 200, 0, 6)
	b = binary.BigEndian.AppendUint32(b, sl.ssrc)
	b = binary.BigEndian.AppendUint64(b, ntp)
	b = binary.BigEndian.AppendUint32(b, ts)
	b = binary.BigEndian.AppendUint32(b, uint32(sl.packets.Load()))
	return binary.BigEndian.AppendUint32(b, uint32(sl.octets.Load()))
}

// ntpTime is seconds since 1900 in 32.32 fixed point (RFC 3550 section 4).
func ntpTime(t time.Time) uint64 {
	sec := uint64(t.Unix() + 2208988800)
	frac := uint64(t.Nanosecond()) << 32 / uint64(time.Second)
	return sec<<32 | frac
}

func ntpMiddle(t time.Time) uint32 { return uint32(ntpTime(t) >> 16) }
