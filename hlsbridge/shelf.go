package hlsbridge

import (
	"cmp"
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
		s = &shelf{dir: filepath.Join(b.cfg.Recordings, string(name))}
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

// kept is how long, and how much of, a stream's recording is kept.
func (b *Bridge) kept(spec *sfu.Spec) (age time.Duration, size int64) {
	return cmp.Or(spec.Keep, b.cfg.KeepFor), cmp.Or(spec.KeepSize, b.cfg.KeepSize)
}

// window of a stream's dvr.m3u8.
func (b *Bridge) window(st *sfu.Stream) time.Duration { return cmp.Or(st.Spec().DVR, b.cfg.DVR) }

// pruneEvery is how often old takes are looked for.
const pruneEvery = time.Minute

// prune removes old recordings until the bridge ends.
func (b *Bridge) prune() {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		b.pruneAll(time.Now())
		select {
		case <-tick.C:
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
		spec := sfu.Spec{}
		if st, ok := b.cfg.SFU.Stream(name); ok {
			spec = st.Spec()
		}
		age, size := b.kept(&spec)
		a, err := b.archive(name, false)
		if err == nil && a != nil {
			err = a.Prune(now.Add(-age), size)
		}
		if err != nil {
			b.cfg.Log.Error("old recordings cannot be removed", "stream", name, "error", err)
		}
	}
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
