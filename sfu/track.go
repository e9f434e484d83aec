package sfu

import (
	"sync"
	"sync/atomic"
	"time"

	"watershed/sfu/media"
	"watershed/sfu/ring"
	"watershed/sfu/timeline"
)

// Track is one video or one audio of a stream.
type Track struct {
	Kind   media.Kind
	Stream *Stream
	layers atomic.Pointer[[]*Layer]
}

// Layers of the track, best first. The slice is not to be changed.
func (t *Track) Layers() []*Layer {
	if p := t.layers.Load(); p != nil {
		return *p
	}
	return nil
}

// Layer is one encoding of a track.
type Layer struct {
	Label     string // high, mid, low, 720p, ...; main for a single one
	Track     *Track
	Codec     media.Codec
	Converted bool // made here from another layer, for those who cannot take that
	rung      int  // of a ladder, from 1, the largest; 0 for others

	part Part
	ring *ring.Ring
	// writing is held while a frame is appended: a publisher who is replaced may be in the middle of one when the next begins. Else nobody waits.
	writing sync.Mutex

	config atomic.Pointer[media.Config]
	taps   []atomic.Pointer[tap] // by shard

	server atomic.Int64 // nanoseconds from the timeline to Unix server time, at the newest frame

	frames atomic.Uint64
	bytes  atomic.Uint64
	rate   rate

	keyframes keyframeAsker
}

func (st *Stream) newLayer(t *Track, label string, cfg *media.Config, converted bool) *Layer {
	l := &Layer{
		Label: label, Track: t, Codec: cfg.Codec, Converted: converted,
		ring: ring.New(limits(cfg.Codec.Kind()), st.sfu.cfg.FirstSeq), taps: make([]atomic.Pointer[tap], len(st.sfu.shards)),
	}
	l.config.Store(cfg)
	return l
}

// limits of a layer's ring. Every frame of sound can be started from, so its history alone decides: 10 s of AAC, for readers that a busy machine holds up.
func limits(k media.Kind) ring.Limits {
	if k == media.Audio {
		return ring.Limits{Bytes: 2 << 20, History: 500}
	}
	return ring.DefaultLimits
}

// Ring of the layer's recent frames.
func (l *Layer) Ring() *ring.Ring { return l.ring }

// Config in force.
func (l *Layer) Config() *media.Config { return l.config.Load() }

// Frames and bytes written so far, and the rate over the last seconds in bits a second.
func (l *Layer) Frames() (frames, bytes uint64, bitrate float64, fps float64) {
	bitrate, fps = l.rate.read()
	return l.frames.Load(), l.bytes.Load(), bitrate, fps
}

func (l *Layer) noteServer(dts int64, server time.Time) {
	l.server.Store(server.UnixNano() - int64(timeline.Duration(dts, l.Config().ClockRate)))
}

// serverAt is the server time of a position on the timeline, as the layer's newest frames have it.
func (l *Layer) serverAt(position time.Duration) time.Time {
	return time.Unix(0, l.server.Load()+int64(position))
}

// append publishes a frame and wakes the shards that have viewers on the layer.
func (l *Layer) append(f *media.Frame) {
	l.ring.Append(f)
	l.frames.Add(1)
	l.bytes.Add(uint64(f.Size))
	l.rate.add(f.Server, f.Size)
	for i := range l.taps {
		if t := l.taps[i].Load(); t != nil && !t.queued.Swap(true) {
			t.shard.mail.put(task{tap: t})
		}
	}
}

// forgetPictures empties the rings of a part that nobody watches any longer: whoever comes in an hour shall not be shown this hour as the present, and
// hundreds of cameras on demand shall not each keep a GOP.
func (st *Stream) forgetPictures(p Part) {
	for _, t := range st.Status().Tracks {
		for _, l := range t.Layers() {
			if l.part == p {
				l.writing.Lock()
				l.ring.Forget()
				l.writing.Unlock()
			}
		}
	}
}

// RequestKeyframe asks the layer's source for one, if it can be asked; requests of many viewers become one.
func (l *Layer) RequestKeyframe() bool { return l.keyframes.ask(l.Label) }

// keyframeAsker relays requests to a source that can answer, at most two a second.
type keyframeAsker struct {
	mu   sync.Mutex
	fn   func(label string)
	last time.Time
}

// keyframeInterval between requests: an encoder needs that long to answer and a GOP shorter than this wastes its bits.
const keyframeInterval = 500 * time.Millisecond

func (k *keyframeAsker) set(fn func(string)) {
	k.mu.Lock()
	k.fn, k.last = fn, time.Time{}
	k.mu.Unlock()
}

func (k *keyframeAsker) ask(label string) bool {
	k.mu.Lock()
	fn, due := k.fn, time.Since(k.last) >= keyframeInterval
	if fn != nil && due {
		k.last = time.Now()
	}
	k.mu.Unlock()
	if fn != nil && due {
		fn(label)
	}
	return fn != nil
}

// rate measures over windows of two seconds. One writer, many readers.
type rate struct {
	start         int64 // Unix nanoseconds, the writer's own
	bytes, frames int

	bits, fps atomic.Uint64 // milli-units
}

func (r *rate) add(now int64, size int) {
	if r.start == 0 {
		r.start = now
	}
	r.bytes += size
	r.frames++
	if d := now - r.start; d >= int64(2*time.Second) {
		r.bits.Store(uint64(float64(r.bytes) * 8e3 / (float64(d) / 1e9)))
		r.fps.Store(uint64(float64(r.frames) * 1e3 / (float64(d) / 1e9)))
		r.start, r.bytes, r.frames = now, 0, 0
	}
}

func (r *rate) read() (bits, fps float64) {
	return float64(r.bits.Load()) / 1e3, float64(r.fps.Load()) / 1e3
}
