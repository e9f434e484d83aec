package sfu

import (
	"slices"
	"sync"
	"time"

	"watershed/sfu/media"
)

// LowLabel is the label of a camera's own small stream.
const LowLabel = "low"

// demand counts who wants something, and remembers when the last one left.
type demand struct {
	held     int
	released time.Time
}

// lowIdle keeps the small stream pulled a while after its last viewer: people's networks come and go.
const lowIdle = 15 * time.Second

func highs(spec Spec) (urls []string) {
	for _, in := range spec.Inputs {
		urls = append(urls, in.High)
	}
	return urls
}

func lows(spec Spec) (urls []string) {
	for _, in := range spec.Inputs {
		if in.Low != "" {
			urls = append(urls, in.Low)
		}
	}
	return urls
}

// HasLow reports whether the stream's inputs have a small stream that is pulled when it is wanted.
func (st *Stream) HasLow() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(lows(st.spec)) > 0
}

// HasLayer reports whether the video can be had as the layer of this label.
func (st *Stream) HasLayer(label string) bool {
	t := st.Track(media.Video)
	return label == LowLabel && st.HasLow() ||
		t != nil && slices.ContainsFunc(t.Layers(), func(l *Layer) bool { return l.Label == label })
}

// HoldLow has the small layer pulled until release is called. It appears among the video track's layers.
func (st *Stream) HoldLow() (release func()) {
	st.mu.Lock()
	st.low.held++
	st.notifyLocked()
	st.mu.Unlock()
	var once sync.Once
	return func() {
		once.Do(func() {
			st.mu.Lock()
			defer st.mu.Unlock()
			if st.low.held--; st.low.held == 0 {
				st.low.released = time.Now()
			}
			st.notifyLocked()
		})
	}
}

func (st *Stream) lowWanted(now time.Time) (ok, watched bool, again time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.low.held > 0 {
		return true, true, 0
	}
	if left := lowIdle - now.Sub(st.low.released); !st.low.released.IsZero() && left > 0 {
		return true, false, left
	}
	return false, false, 0
}
