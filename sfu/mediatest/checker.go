// Package mediatest holds what every media test checks: the invariants of a viewer's stream, and clips to feed.
package mediatest

import (
	"fmt"
	"sync"

	"watershed/sfu/peer"
)

// Checker proves, packet by packet, what every viewer is promised for one track: it starts at a keyframe (H.264), sequence numbers are
// contiguous, timestamps never go back, and grow from picture to picture. Use it as peer.Config.OnPacket with Verify 1; retransmissions are not its
// business. It may be read while packets arrive.
type Checker struct {
	Kind  string // track to check: "video" or "audio"
	Lossy bool   // numbers may be missing, but not come twice or late
	Late  bool   // the path may have lost all of the first keyframe, too

	mu      sync.Mutex // guards what follows
	started bool
	seq     uint16
	ts      uint32
	marked  bool
	packets int
	frames  int
	errs    []error
}

// maxErrors kept: the first tell what is wrong.
const maxErrors = 10

// Packet checks one.
func (c *Checker) Packet(p peer.Packet) {
	if p.Track.Kind != c.Kind || p.RTX {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := p.Header
	if c.started {
		c.follows(h)
	} else if c.Kind == "video" && !c.Late && !startsKeyframe(p.Plain) {
		c.fail("starts with packet %d, which does not begin a keyframe", h.Seq)
	}
	c.started, c.seq, c.ts, c.marked = true, h.Seq, h.TS, h.Marker
	c.packets++
	if h.Marker {
		c.frames++
	}
}

func (c *Checker) follows(h peer.Header) {
	step := int16(h.Seq - c.seq)
	if step != 1 && (!c.Lossy || step <= 0) {
		c.fail("after packet %d came %d", c.seq, h.Seq)
	}
	switch d := int32(h.TS - c.ts); {
	case d < 0:
		c.fail("packet %d: timestamp goes back by %d from %d", h.Seq, -d, c.ts)
	case d == 0 && c.marked && c.Kind == "video":
		c.fail("packet %d: a new picture with the timestamp of the last, %d", h.Seq, h.TS)
	case d > 0 && !c.marked && c.Kind == "video" && step == 1:
		c.fail("packet %d: the picture before it had no marker", h.Seq)
	}
}

func (c *Checker) fail(format string, args ...any) {
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, fmt.Errorf(format, args...))
	}
}

// Seen counts packets and whole pictures.
func (c *Checker) Seen() (packets, frames int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.packets, c.frames
}

// Err is the first broken invariants, or nil.
func (c *Checker) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d packets, %d pictures: %v", c.Kind, c.packets, c.frames, c.errs)
}

// startsKeyframe reports whether an H.264 payload begins with a parameter set or an IDR slice.
func startsKeyframe(plain []byte) bool {
	if len(plain) < 16 {
		return false
	}
	payload := plain[12:]
	typ := payload[0] & 0x1f
	if typ == 24 { // STAP-A: its first unit
		typ = payload[3] & 0x1f
	}
	return typ == 7 || typ == 5 || typ == 28 && payload[1]&0x1f == 5
}
