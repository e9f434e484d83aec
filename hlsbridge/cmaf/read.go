package cmaf

import (
	"encoding/binary"
)

// Whole walks over chunks as Append writes them and returns how many bytes the complete ones have, and how many ticks they last.
func Whole(data []byte) (size int, ticks uint64) {
	at, open := 0, uint64(0)
	for at+8 <= len(data) {
		n := int(binary.BigEndian.Uint32(data[at:]))
		if n < 8 || at+n > len(data) {
			break
		}
		body := data[at : at+n]
		at += n
		switch string(body[4:8]) {
		case "moof":
			open = moofTicks(body)
		case "mdat":
			size, ticks, open = at, ticks+open, 0
		}
	}
	return size, ticks
}

// Describe tells how many ticks a moof's samples last, and whether decoding can start at the first.
func Describe(moof []byte) (ticks uint64, sync bool) {
	if len(moof) < 8 {
		return 0, false
	}
	table := trunTable(moof)
	return moofTicks(moof), len(table) >= sampleLen && table[8]&0x02 != 0
}

func moofTicks(moof []byte) (ticks uint64) {
	each(moof[8:], func(name string, traf []byte) {
		if name != "traf" {
			return
		}
		each(traf[8:], func(name string, b []byte) {
			if name != "trun" || len(b) < trunLen {
				return
			}
			for s := b[trunLen:]; len(s) >= sampleLen; s = s[sampleLen:] {
				ticks += uint64(binary.BigEndian.Uint32(s))
			}
		})
	})
	return ticks
}

// each calls do with the boxes in a row, header included; a damaged size ends it.
func each(data []byte, do func(name string, box []byte)) {
	for len(data) >= 8 {
		n := int(binary.BigEndian.Uint32(data))
		if n < 8 || n > len(data) {
			return
		}
		do(string(data[4:8]), data[:n])
		data = data[n:]
	}
}

// Move changes chunks in place so that they belong to another track and their decoding times are later by some ticks, or earlier; never before zero.
func Move(data []byte, track uint32, later int64) {
	each(data, func(name string, b []byte) {
		switch {
		case name == "prft" && len(b) >= prftLen:
			binary.BigEndian.PutUint32(b[12:], track)
			shift(b[24:], later)
		case name == "moof":
			each(b[8:], func(name string, traf []byte) {
				if name == "traf" {
					each(traf[8:], func(name string, b []byte) { moveIn(name, b, track, later) })
				}
			})
		}
	})
}

func moveIn(name string, b []byte, track uint32, later int64) {
	switch {
	case name == "tfhd" && len(b) >= tfhdLen:
		binary.BigEndian.PutUint32(b[12:], track)
	case name == "tfdt" && len(b) >= tfdtLen:
		shift(b[12:], later)
	}
}

func shift(b []byte, later int64) {
	binary.BigEndian.PutUint64(b, uint64(max(0, int64(binary.BigEndian.Uint64(b))+later)))
}

// Start is the decoding time of the first sample in chunks.
func Start(data []byte) (ticks uint64) {
	found := false
	each(data, func(name string, b []byte) {
		if name != "moof" || found {
			return
		}
		each(b[8:], func(name string, traf []byte) {
			if name != "traf" {
				return
			}
			each(traf[8:], func(name string, b []byte) {
				if name == "tfdt" && len(b) >= tfdtLen && !found {
					ticks, found = binary.BigEndian.Uint64(b[12:]), true
				}
			})
		})
	})
	return ticks
}
