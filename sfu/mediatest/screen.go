package mediatest

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"watershed/sfu/peer"
)

// Screen tells which pictures a decoder could have shown, and when: those that are whole, repeats counted, and follow without a gap on one that was
// shown, or are keyframes. It waits for no repeat when a whole keyframe has come, as browsers do. H.264 only. Use it as peer.Config.OnPacket with Verify 1; it may
// be read while packets arrive.
type Screen struct {
	mu      sync.Mutex // guards what follows
	packets map[uint64]piece
	highest uint64 // extended number of the newest packet
	next    uint64 // number that follows on the last picture shown; 0 before the first
	shown   []Picture
	height  int
}

// Picture that was shown.
type Picture struct {
	At   time.Time // its last packet's arrival, or that of a repeat it waited for
	TS   uint32
	Key  bool
	Size int // bytes on the wire

	Height int // as the last keyframe says, 0 if it does not
}

// piece is what is known of a packet.
type piece struct {
	ts     uint32
	size   int
	marker bool
	key    bool // begins a keyframe
	height int  // of that
}

// keep this many numbers: more than any path's round trip.
const keep = 4096

// Packet takes one.
func (s *Screen) Packet(p peer.Packet) {
	if p.Track.Kind != "video" || len(p.Plain) < 12 {
		return
	}
	seq, plain := p.Header.Seq, p.Plain
	if p.RTX {
		if len(plain) < 15 {
			return // padding
		}
		seq = binary.BigEndian.Uint16(plain[12:]) // RFC 4588 section 4
		plain = append(append(make([]byte, 0, len(plain)), plain[:12]...), plain[14:]...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packets == nil {
		s.packets, s.highest = map[uint64]piece{}, 1<<32|uint64(seq)
	}
	n := s.highest + uint64(int64(int16(seq-uint16(s.highest))))
	if n < s.next {
		return
	}
	s.highest = max(s.highest, n)
	s.packets[n] = piece{ts: p.Header.TS, size: p.Size, marker: p.Header.Marker, key: startsKeyframe(plain), height: height(plain)}
	s.show(p.Arrival)
}

// show what can be shown now.
func (s *Screen) show(now time.Time) {
	for s.next != 0 && s.whole(s.next, now) {
	}
	for n := s.highest; n > s.next && n+keep > s.highest; n-- {
		if s.packets[n].key && s.whole(s.first(n), now) { // what comes before it has been waited for long enough
			for s.whole(s.next, now) {
			}
			break
		}
	}
	for n := range s.packets {
		if n < s.next || n+keep < s.highest {
			delete(s.packets, n)
		}
	}
}

// first packet that is here of the picture that packet n is of.
func (s *Screen) first(n uint64) uint64 {
	for {
		p, ok := s.packets[n-1]
		if !ok || p.marker || p.ts != s.packets[n].ts {
			return n
		}
		n--
	}
}

// whole shows the picture that begins with packet first, if all of it is here.
func (s *Screen) whole(first uint64, now time.Time) bool {
	pic := Picture{At: now, TS: s.packets[first].ts, Key: s.packets[first].key}
	for n := first; ; n++ {
		p, ok := s.packets[n]
		if !ok || p.ts != pic.TS {
			return false
		}
		pic.Size += p.size
		if p.marker {
			if h := s.packets[first].height; h > 0 {
				s.height = h
			}
			pic.Height = s.height
			s.shown, s.next = append(s.shown, pic), n+1
			return true
		}
	}
}

// Shown are the pictures so far that came after a moment.
func (s *Screen) Shown(since time.Time) (after []Picture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.shown {
		if p.At.After(since) {
			after = append(after, p)
		}
	}
	return after
}

// Stall is the longest time between two pictures from since on; now ends the last.
func (s *Screen) Stall(since, now time.Time) (longest time.Duration) {
	last := since
	for _, p := range s.Shown(since) {
		if p.At.Before(now) {
			longest, last = max(longest, p.At.Sub(last)), p.At
		}
	}
	return max(longest, now.Sub(last))
}

// height of the pictures that follow on an H.264 packet which begins with a sequence parameter set, alone or first of some units; else 0.
func height(plain []byte) int {
	if len(plain) < 16 {
		return 0
	}
	unit := plain[12:]
	if unit[0]&0x1f == 24 { // STAP-A (RFC 6184 section 5.7.1)
		n := int(binary.BigEndian.Uint16(unit[1:]))
		unit = unit[3:min(3+n, len(unit))]
	}
	var sps h264.SPS
	if len(unit) == 0 || unit[0]&0x1f != 7 || sps.Unmarshal(unit) != nil {
		return 0
	}
	return sps.Height()
}
