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

// Move changes chunks in place so that they belong to another track and their decoding times are earlier by some ticks.
func Move(data []byte, track uint32, earlier uint64) {
	each(data, func(name string, b []byte) {
		switch {
		case name == "prft" && len(b) >= prftLen:
			binary.BigEndian.PutUint32(b[12:], track)
			back(b[24:], earlier)
		case name == "moof":
			each(b[8:], func(name string, traf []byte) {
				if name == "traf" {
					each(traf[8:], func(name string, b []byte) { moveIn(name, b, track, earlier) })
				}
			})
		}
	})
}

func moveIn(name string, b []byte, track uint32, earlier uint64) {
	switch {
	case name == "tfhd" && len(b) >= tfhdLen:
		binary.BigEndian.PutUint32(b[12:], track)
	case name == "tfdt" && len(b) >= tfdtLen:
		back(b[12:], earlier)
	}
}

func back(b []byte, earlier uint64) {
	if v := binary.BigEndian.Uint64(b); v >= earlier {
		binary.BigEndian.PutUint64(b, v-earlier)
	} else {
		binary.BigEndian.PutUint64(b, 0)
	}
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
