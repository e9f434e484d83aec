package transcode

import (
	"context"
	"time"

	"watershed/sfu"
	"watershed/sfu/media"
	"watershed/sfu/ring"
	"watershed/sfu/timeline"
)

// follower reads a layer for a decoder: pictures from the last keyframe, sound from now; and never a picture whose reference was
// missed. One goroutine at a time uses it.
type follower struct {
	layer   *sfu.Layer
	reader  *ring.Reader
	skipped uint64
	needKey bool
	back    *media.Frame
}

func follow(l *sfu.Layer) *follower {
	r := l.Ring()
	start := r.Next()
	if key, ok := r.Keyframe(); ok && l.Track.Kind == media.Video {
		start = key
	}
	return &follower{layer: l, reader: r.ReadFrom(start), needKey: l.Track.Kind == media.Video}
}

// newest frame of the layer; only after next has returned one.
func (f *follower) newest() *media.Frame {
	if n := f.layer.Ring().Latest(); n != nil {
		return n
	}
	return f.back
}

// unread makes next return the frame again, because it belongs to the next child; unless nothing can begin with it.
func (f *follower) unread(frame *media.Frame) {
	f.needKey = f.layer.Track.Kind == media.Video && !frame.Keyframe
	if !f.needKey {
		f.back = frame
	}
}

// tooLate is how far a decoder may fall behind before it leaves out the rest of a GOP.
const tooLate = time.Second

// next waits for the next frame that can be decoded.
func (f *follower) next(ctx context.Context) (*media.Frame, error) {
	if b := f.back; b != nil {
		f.back = nil
		return b, nil
	}
	for {
		frame, err := f.reader.Next(ctx)
		if err != nil {
			return nil, err
		}
		if n := f.reader.Skipped(); n != f.skipped {
			f.skipped, f.needKey = n, f.layer.Track.Kind == media.Video
		}
		if key, ok := f.layer.Ring().Keyframe(); ok && key > frame.Number && f.behind(frame) {
			f.reader, f.skipped = f.layer.Ring().ReadFrom(key), 0
			continue
		}
		if f.needKey && !frame.Keyframe {
			continue
		}
		f.needKey = false
		return frame, nil
	}
}

func (f *follower) behind(frame *media.Frame) bool {
	return timeline.Duration(f.newest().PTS-frame.PTS, frame.Config.ClockRate) > tooLate
}
