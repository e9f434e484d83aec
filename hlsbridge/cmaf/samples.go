package cmaf

import (
	"encoding/binary"
	"iter"
)

// Stored is a sample as a chunk holds it.
type Stored struct {
	Decode uint64 // ticks
	Offset int32  // ticks from decoding to showing
	Sync   bool
	Data   []byte // NAL units with their lengths before them, or one frame of sound
}

// Samples of chunks as Append writes them.
func Samples(data []byte) iter.Seq[Stored] {
	return func(yield func(Stored) bool) {
		var at uint64
		var table []byte
		stop := false
		each(data, func(name string, b []byte) {
			switch {
			case stop:
			case name == "moof":
				at, table = Start(b[:]), trunTable(b)
			case name == "mdat":
				stop = !split(b[8:], at, table, yield)
			}
		})
	}
}

// trunTable is the part of a moof that describes its samples.
func trunTable(moof []byte) (table []byte) {
	each(moof[8:], func(name string, traf []byte) {
		if name != "traf" {
			return
		}
		each(traf[8:], func(name string, b []byte) {
			if name == "trun" && len(b) >= trunLen {
				table = b[trunLen:]
			}
		})
	})
	return table
}

func split(body []byte, at uint64, table []byte, yield func(Stored) bool) bool {
	for ; len(table) >= sampleLen; table = table[sampleLen:] {
		duration, size := binary.BigEndian.Uint32(table), int(binary.BigEndian.Uint32(table[4:]))
		if size > len(body) {
			return false
		}
		s := Stored{Decode: at, Offset: int32(binary.BigEndian.Uint32(table[12:])), Sync: table[8]&0x02 != 0, Data: body[:size]}
		if !yield(s) {
			return false
		}
		body, at = body[size:], at+uint64(duration)
	}
	return true
}

// Units are the NAL units of a sample.
func (s *Stored) Units() (units [][]byte) {
	for d := s.Data; len(d) >= 4; {
		n := int(binary.BigEndian.Uint32(d))
		if n > len(d)-4 {
			return units
		}
		if n > 0 {
			units = append(units, d[4:4+n])
		}
		d = d[4+n:]
	}
	return units
}
