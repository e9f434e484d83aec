// Package reorder puts RTP packets back in order and waits a bounded time for missing ones.
package reorder

import (
	"time"

	"github.com/pion/rtp"
)

// depth bounds what is held: 1,024 packets are a second of 10 Mb/s.
const depth = 1024

// restart is a distance in sequence numbers that no reordering explains: the source began anew (RFC 3550 appendix A.1, MAX_DROPOUT).
const restart = 3000

// Buffer reorders one RTP stream. One goroutine uses it. It needs no timer: a packet that waits for a missing one is given up to the next
// arrival after the wait, and a stream in which nothing more arrives has nothing to show.
type Buffer struct {
	Wait time.Duration // for a missing packet, from the arrival of the one after it

	started bool
	next    uint16 // sequence number that is due; its slot is empty
	held    [depth]held
	count   int
	out     []Packet
}

type held struct {
	packet *rtp.Packet
	at     time.Time
}

// Packet is one in order.
type Packet struct {
	*rtp.Packet
	Lost bool // at least one packet before this one is missing for good
}

// Push takes a packet as it arrived and returns those that are due now, in order. The slice is valid until the next call. Duplicates and packets
// that come after they were given up are dropped.
func (b *Buffer) Push(p *rtp.Packet, now time.Time) []Packet {
	b.out = b.out[:0]
	if !b.started {
		b.started, b.next = true, p.SequenceNumber
	}
	ahead := p.SequenceNumber - b.next
	switch {
	case ahead < depth:
		b.hold(p, now)
	case -ahead <= restart: // late, or twice
	default: // too far to wait for what is between
		for b.count > 0 {
			b.skip()
		}
		b.out = append(b.out, Packet{p, true})
		b.next = p.SequenceNumber + 1
	}
	for b.count > 0 && now.Sub(b.front().at) >= b.Wait {
		b.skip()
	}
	return b.out
}

func (b *Buffer) hold(p *rtp.Packet, now time.Time) {
	slot := &b.held[p.SequenceNumber%depth]
	if slot.packet != nil {
		return
	}
	*slot = held{p, now}
	b.count++
	b.release(false)
}

// release gives out what is contiguous.
func (b *Buffer) release(lost bool) {
	for b.count > 0 {
		slot := &b.held[b.next%depth]
		if slot.packet == nil {
			return
		}
		b.out = append(b.out, Packet{slot.packet, lost})
		*slot = held{}
		b.count--
		b.next++
		lost = false
	}
}

// front is the first packet after the hole; there is one when count is not 0.
func (b *Buffer) front() held {
	n := b.next
	for b.held[n%depth].packet == nil {
		n++
	}
	return b.held[n%depth]
}

// skip gives up the hole at the front.
func (b *Buffer) skip() {
	for b.held[b.next%depth].packet == nil {
		b.next++
	}
	b.release(true)
}
