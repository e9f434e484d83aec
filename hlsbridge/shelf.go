package hlsbridge

import (
	"cmp"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"watershed/hlsbridge/archive"
	"watershed/sfu"
	"watershed/sfu/id"
)

// shelf is where a stream's recording is, and how it does. A disk that hangs holds up those who want this recording, and nobody else.
type shelf struct {
	dir      string
	turn     chan struct{} // holds something while a recorder writes: one waits until another has closed its take
	failures atomic.Uint64
	failure  atomic.Pointer[failure] // nil: none, or it is over

	opened  atomic.Pointer[archive.Archive]
	opening sync.Mutex // so that it happens once
}

// failure of a recording that has not gone on since.
type failure struct {
	message string
	logged  time.Time
}

// shelf of a stream.
func (b *Bridge) shelf(name id.Stream) *shelf {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.shelves[name]
	if s == nil {
		s = &shelf{dir: filepath.Join(b.cfg.Recordings, string(name)), turn: make(chan struct{}, 1)}
		b.shelves[name] = s
	}
	return s
}

// archive of a stream; nil if there is none and create is false.
func (b *Bridge) archive(name id.Stream, create bool) (*archive.Archive, error) {
	if b.cfg.Recordings == "" {
		return nil, nil
	}
	s := b.shelf(name)
	if a := s.opened.Load(); a != nil {
		return a, nil
	}
	s.opening.Lock()
	defer s.opening.Unlock()
	if a := s.opened.Load(); a != nil || !create && !exists(s.dir) {
		return a, nil
	}
	a, err := archive.Open(s.dir, archive.Options{Create: b.cfg.create})
	if err != nil {
		return nil, err
	}
	for _, damage := range a.Damaged() {
		b.cfg.Log.Error("a piece of a recording cannot be read and is left out", "stream", name, "error", damage)
	}
	s.opened.Store(a)
	return a, nil
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// kept is how long, and how much of, a recording is kept that has these wishes.
func (b *Bridge) kept(wish archive.Kept) (age time.Duration, size int64) {
	return cmp.Or(wish.Age, b.cfg.KeepFor), cmp.Or(wish.Size, b.cfg.KeepSize)
}

func wishes(spec *sfu.Spec) archive.Kept { return archive.Kept{Age: spec.Keep, Size: spec.KeepSize} }

// window of a stream's dvr.m3u8.
func (b *Bridge) window(st *sfu.Stream) time.Duration { return cmp.Or(st.Spec().DVR, b.cfg.DVR) }

// pruneEvery is how often old takes are looked for.
const pruneEvery = time.Minute

// prune removes old recordings until the bridge ends. It does not hurry: a node that has just begun does not know all its streams yet.
func (b *Bridge) prune() {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.pruneAll(time.Now())
		case <-b.ctx.Done():
			return
		}
	}
}

// pruneAll removes what is too old or too much of every recording, also of streams that are recorded or known no longer.
func (b *Bridge) pruneAll(now time.Time) {
	entries, _ := os.ReadDir(b.cfg.Recordings) // not there: nothing was recorded
	for _, e := range entries {
		name, err := id.ParseStream(e.Name())
		if err != nil || !e.IsDir() || b.ctx.Err() != nil {
			continue
		}
		if err := b.pruneOne(name, now); err != nil {
			b.cfg.Log.Error("old recordings cannot be removed", "stream", name, "error", err)
		}
	}
}

// pruneOne recording, as its stream wishes: by its spec, or what that last said while nobody has declared the stream. It notes the wish last, because
// a full disk has no room for that before.
func (b *Bridge) pruneOne(name id.Stream, now time.Time) error {
	a, err := b.archive(name, false)
	if err != nil || a == nil {
		return err
	}
	spec, declared := sfu.Spec{}, false
	if st, ok := b.cfg.SFU.Stream(name); ok {
		spec = st.Spec()
		declared = !spec.Ephemeral
	}
	wish := wishes(&spec)
	if !declared {
		if wish, err = a.Kept(); err != nil {
			return err
		}
	}
	age, size := b.kept(wish)
	err = a.Prune(now.Add(-age), size)
	if declared {
		err = errors.Join(err, a.Keep(wish))
	}
	return err
}

// Recording tells how a stream's recording does: "" when it is not to be recorded, "on", or "failed" with the reason.
func (b *Bridge) Recording(st *sfu.Stream) (state, message string) {
	if !st.Spec().Record || b.cfg.Recordings == "" {
		return "", ""
	}
	if f := b.shelf(st.Name).failure.Load(); f != nil {
		return "failed", f.message
	}
	return "on", ""
}

var (
	recordingsDesc = prometheus.NewDesc("watershed_recordings", "Streams that are to be recorded, by how that goes.", []string{"state"}, nil)
	failuresDesc   = prometheus.NewDesc("watershed_recording_failures_total", "Times that a recording failed, for a new reason or still.", nil, nil)
	recordedDesc   = prometheus.NewDesc("watershed_recorded_bytes", "Of all recordings that were looked at since the start.", nil, nil)
)

func (b *Bridge) collectRecordings(out chan<- prometheus.Metric) {
	states := map[string]int{"on": 0, "failed": 0}
	for _, st := range b.cfg.SFU.Streams() {
		if s, _ := b.Recording(st); s != "" {
			states[s]++
		}
	}
	for s, n := range states {
		out <- prometheus.MustNewConstMetric(recordingsDesc, prometheus.GaugeValue, float64(n), s)
	}
	failures, bytes := uint64(0), int64(0)
	b.mu.RLock()
	shelves := slices.Collect(maps.Values(b.shelves))
	b.mu.RUnlock()
	for _, s := range shelves {
		failures += s.failures.Load()
		if a := s.opened.Load(); a != nil {
			bytes += a.Size()
		}
	}
	out <- prometheus.MustNewConstMetric(failuresDesc, prometheus.CounterValue, float64(failures))
	out <- prometheus.MustNewConstMetric(recordedDesc, prometheus.GaugeValue, float64(bytes))
}
