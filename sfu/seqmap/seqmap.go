// Package seqmap renumbers packets of changing layers into one contiguous sequence, and back again for retransmission.
//
// Inside a stay on one layer nothing is dropped selectively, so out = in + delta. A Map remembers the last few stays: tens
// of bytes each, instead of an entry for each packet.
package seqmap

// stays is how many a NACK can reach back over: switches are seconds apart, NACKs ask for the last second.
const stays = 8

// Map is one viewer's numbering of one SSRC. K names a layer. The zero value starts at output 0. One goroutine uses it.
type Map[K comparable] struct {
	ring [stays]stay[K]
	n    int    // stays so far
	next uint64 // extended number of the next output packet
}

type stay[K comparable] struct {
	layer K
	out   uint64 // number of its first output packet
	delta uint64 // out = in + delta, modulo 2^64
}

// Start sets the number of the first output packet; it may be called before the first Switch only.
func (m *Map[K]) Start(out uint64) { m.next = out }

// Switch begins a stay: the layer's packet in becomes the next output packet.
func (m *Map[K]) Switch(layer K, in uint64) {
	m.ring[m.n%stays] = stay[K]{layer: layer, out: m.next, delta: m.next - in}
	m.n++
}

// Advance maps the first of n packets in a row of the current stay and returns its output number.
func (m *Map[K]) Advance(in, n uint64) (out uint64) {
	out = in + m.ring[(m.n-1)%stays].delta
	m.next = out + n
	return out
}

// Out is the output number of a packet of the current stay.
func (m *Map[K]) Out(in uint64) uint64 { return in + m.ring[(m.n-1)%stays].delta }

// Since is the first packet of the current stay.
func (m *Map[K]) Since() uint64 {
	s := &m.ring[(m.n-1)%stays]
	return s.out - s.delta
}

// Next is the number that the next output packet will have.
func (m *Map[K]) Next() uint64 { return m.next }

// Reverse finds what was sent as the packet whose number ends in these 16 bits; ok is false if it was not sent, or too long ago.
func (m *Map[K]) Reverse(seq uint16) (layer K, in uint64, ok bool) {
	if m.n == 0 {
		return layer, 0, false
	}
	out := m.next - uint64(uint16(m.next)-seq) // the last number that ends so and is not above next
	if uint16(m.next) == seq || out > m.next {
		return layer, 0, false
	}
	for i := m.n - 1; i >= 0 && i >= m.n-stays; i-- {
		if s := &m.ring[i%stays]; out >= s.out {
			return s.layer, out - s.delta, true
		}
	}
	return layer, 0, false
}
