package codec

import "watershed/sfu/media"

// longestGOP is how many pictures without an IDR show that there will be none: 12 s of 25 a second. Until then a recovery point is only a help after
// loss, and the IDR is the better start.
const longestGOP = 300

// refresh follows where decoding of H.264 and H.265 can start. An encoder with intra refresh sends no IDR pictures, or one in all: columns of each picture renew it
// piece by piece, and recovery points (H.264 section D.2.8, H.265 section D.3.8) say where a round begins. FFmpeg starts there and shows
// pictures from the round's end on; browsers do not start at all. So such a layer is converted for them, by WebRTC and HLS alike, and they see whole
// pictures only; without FFmpeg the stream is degraded, no-keyframe.
type refresh struct {
	idr   bool // there has been one
	since int  // pictures after it
}

// starts reports whether a picture that is no IDR is the best place to start that this source has.
func (r *refresh) starts(idr, recovery bool) bool {
	if idr {
		*r = refresh{idr: true}
		return false
	}
	r.since++
	return recovery && (!r.idr || r.since > longestGOP)
}

// headerLen of NAL units.
var headerLen = map[media.Codec]int{media.H264: 1, media.H265: 2}

// recoveryPoint finds the message among those of an SEI NAL unit (H.264 section 7.3.2.3.1): type and size are sums of bytes, of which 255 is not the last. Emulation
// prevention can lengthen a message, which then hides those behind it: encoders send this one first or alone.
func recoveryPoint(messages []byte) bool {
	const kind = 6
	number := func() (n int, ok bool) {
		for len(messages) > 0 {
			b := messages[0]
			messages = messages[1:]
			n += int(b)
			if b != 255 {
				return n, true
			}
		}
		return 0, false
	}
	for len(messages) > 1 { // one byte is the trailing bits
		t, _ := number()
		size, ok := number()
		if !ok || size > len(messages) {
			return false
		}
		if t == kind {
			return true
		}
		messages = messages[size:]
	}
	return false
}
