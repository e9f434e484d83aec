package sfu

import (
	"time"

	"watershed/sfu/media"
)

// A publisher whose network or processor is weak stops sending its best layers and resumes them later. A viewer who asked
// for nothing in particular gets the best layer that flows.

// quietAfter is how long a layer may be silent and still flow: seven pictures of the slowest camera, 5 a second.
const quietAfter = 1400 * time.Millisecond

// flows reports whether the layer can be watched now: pictures come, and decoding can start.
func (l *Layer) flows(now time.Time) bool {
	f := l.ring.Latest()
	_, key := l.ring.Keyframe()
	return f != nil && key && now.UnixNano()-f.Server < int64(quietAfter)
}

// checkFlow lets viewers choose again when a layer of a simulcast begins or stops to flow. Only the watchdog calls it.
func (st *Stream) checkFlow(now time.Time) {
	t := st.Track(media.Video)
	if t == nil {
		return
	}
	var flow uint32
	n := 0
	for i, l := range t.Layers() {
		if l.Converted {
			continue
		}
		n++
		if l.flows(now) {
			flow |= 1 << (i & 31)
		}
	}
	if n < 2 || flow == st.flow {
		st.flow = flow
		return
	}
	st.flow = flow
	st.mu.Lock()
	slots := st.slotsLocked()
	st.mu.Unlock()
	for _, sl := range slots {
		sl.reselect()
	}
}
