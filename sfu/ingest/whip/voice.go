package whip

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"watershed/sfu/media"
)

const (
	loudest = 127 // RFC 6464 section 3 counts -dBov, so this many less is silence

	// levelKept is for how long a level stands without a packet: senders that are silent send one in 400 ms (RFC 7587 section 3.1.3 calls it DTX), or none.
	levelKept = 600 * time.Millisecond
	// levelShare of each packet in the smoothed level: with 20 ms of sound in each, a level follows within a syllable.
	levelShare = 8
)

// voice is what one publisher's sound is like, and whether it is let through. The track's reader writes, anybody reads.
type voice struct {
	silent atomic.Bool
	level  atomic.Int64 // Unix milliseconds of the last packet, and in the low byte its smoothed level

	smooth int // the reader's own: the level times levelShare
}

// hear notes the level that a packet tells of itself under the extension's id; 0 is none.
func (v *voice) hear(pkt *rtp.Packet, extension uint8, now time.Time) {
	if extension == 0 {
		return
	}
	b := pkt.GetExtension(extension)
	if len(b) == 0 {
		return
	}
	v.smooth += loudest - int(b[0]&0x7f) - v.smooth/levelShare
	v.level.Store(now.UnixMilli()<<8 | int64(v.smooth/levelShare))
}

// at tells the level now, in dB above silence: 0 to 127.
func (v *voice) at(now time.Time) int {
	l := v.level.Load()
	if now.UnixMilli()-l>>8 > levelKept.Milliseconds() {
		return 0
	}
	return int(l & 0xff)
}

// Level of what is said, in dB above silence: 0 to 127, as the publisher's packets tell it (RFC 6464); 0 if they do not, or the sound is silenced.
func (p *Session) Level() int {
	if p.voice.silent.Load() {
		return 0
	}
	return p.voice.at(time.Now())
}

// Silence replaces the publisher's sound by silence until it is called with false: nobody hears it, and the stream goes on.
func (p *Session) Silence(on bool) { p.voice.silent.Store(on) }

// levelExtension is the id under which packets tell their level, 0 if they do not.
func levelExtension(r *webrtc.RTPReceiver) uint8 {
	for _, e := range r.GetParameters().HeaderExtensions {
		if e.URI == sdp.AudioLevelURI {
			return uint8(e.ID)
		}
	}
	return 0
}

// silence of a codec in the place of a payload.
func silence(c media.Codec, payload []byte) []byte {
	switch c {
	case media.Opus:
		return []byte{0xf8, 0xff, 0xfe} // one CELT frame of 20 ms, RFC 6716 section 3.1
	case media.PCMU:
		return bytes.Repeat([]byte{0xff}, len(payload))
	}
	return bytes.Repeat([]byte{0xd5}, len(payload)) // A-law
}
