package rtpfmt

// nalFormat is what differs between the RTP payload formats of H.264 (RFC 6184) and H.265 (RFC 7798).
type nalFormat struct {
	headerLen int // of a NAL unit
	drop      func(nal []byte) bool
	aggregate func(nals [][]byte) []byte                         // payload header of an aggregation packet
	fragment  func(nal []byte, first, last bool) (header []byte) // payload header of a fragmentation unit
}

var h264 = nalFormat{
	headerLen: 1,
	drop: func(nal []byte) bool {
		switch nal[0] & 0x1f {
		case 9, 12: // access unit delimiter, filler data
			return true
		case 6: // supplemental enhancement information
			return timingSEI(nal[1:])
		}
		return false
	},
	aggregate: func(nals [][]byte) []byte { // STAP-A, section 5.7.1: the highest NRI of its parts
		var nri byte
		for _, n := range nals {
			nri = max(nri, n[0]&0x60)
		}
		return []byte{nri | 24}
	},
	fragment: func(nal []byte, first, last bool) []byte { // FU-A, section 5.8
		return []byte{nal[0]&0xe0 | 28, startEnd(first, last) | nal[0]&0x1f}
	},
}

var h265 = nalFormat{
	headerLen: 2,
	drop: func(nal []byte) bool {
		t := nal[0] >> 1 & 0x3f
		return t == 35 || t == 38 || t == 39 && timingSEI(nal[2:]) // access unit delimiter, filler data, prefix SEI
	},
	aggregate: func(nals [][]byte) []byte { // AP, section 4.4.2
		return []byte{48<<1 | nals[0][0]&0x81, nals[0][1]}
	},
	fragment: func(nal []byte, first, last bool) []byte { // FU, section 4.4.3
		return []byte{49<<1 | nal[0]&0x81, nal[1], startEnd(first, last) | nal[0]>>1&0x3f}
	},
}

func startEnd(first, last bool) (b byte) {
	if first {
		b |= 0x80
	}
	if last {
		b |= 0x40
	}
	return b
}

// timingSEI reports an SEI message of buffering period (0) or picture timing (1): RTP carries the timing itself, and without them most
// pictures of most cameras fit one send. Captions and user data are other types and stay.
func timingSEI(payload []byte) bool { return len(payload) > 0 && payload[0] <= 1 }

// cut writes the packets of one access unit: small NAL units together, large ones in fragments of equal size.
func (f *nalFormat) cut(s *slab, nals [][]byte) {
	var small [][]byte
	size := 0
	flush := func() {
		switch len(small) {
		case 0:
		case 1:
			s.add(small[0])
		default:
			s.add(f.joined(small)...)
		}
		small, size = small[:0], 0
	}
	for _, nal := range nals {
		switch {
		case len(nal) <= f.headerLen || f.drop(nal):
		case len(nal) > MaxPayload:
			flush()
			f.split(s, nal)
		default:
			if f.headerLen+size+2+len(nal) > MaxPayload {
				flush()
			}
			small = append(small, nal)
			size += 2 + len(nal)
		}
	}
	flush()
}

func (f *nalFormat) joined(nals [][]byte) [][]byte {
	pieces := [][]byte{f.aggregate(nals)}
	for _, n := range nals {
		pieces = append(pieces, []byte{byte(len(n) >> 8), byte(len(n))}, n)
	}
	return pieces
}

func (f *nalFormat) split(s *slab, nal []byte) {
	room := MaxPayload - f.headerLen - 1
	body := nal[f.headerLen:]
	n := (len(body) + room - 1) / room
	size := (len(body) + n - 1) / n
	for first := true; len(body) > 0; first = false {
		piece := body[:min(size, len(body))]
		body = body[len(piece):]
		s.add(f.fragment(nal, first, len(body) == 0), piece)
	}
}
