package hlsbridge

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"watershed/hlsbridge/archive"
	"watershed/hlsbridge/cmaf"
	"watershed/sfu"
	"watershed/sfu/id"
)

// recorder writes what a packager publishes. It reads generations as a viewer does, so a disk that is slow or full delays nobody; it
// may be late by what generations keep.
type recorder struct {
	archive *archive.Archive
	log     *slog.Logger

	writer *archive.Writer
	epoch  string
	init   int      // of the leading rendition, in this take
	at     []cursor // by track: what comes next
	first  uint64   // segment of this take
	next   uint64   // first segment of the next take
	until  uint64   // segment before which this take ends; 0: not known yet
}

type cursor struct {
	msn  uint64
	part int
}

// takeLength after which a take is followed by another: what is lost when one file is damaged, and what retention removes at a time.
const takeLength = time.Hour

// A recording that fails is tried again after a pause; old takes are looked for once a minute.
const (
	recordAgain = 15 * time.Second
	pruneEvery  = time.Minute
)

var errBehind = errors.New("the disk is slower than the stream: what was not written in time is missing")

// archive of a stream; nil if there is none and make is false.
func (b *Bridge) archive(name id.Stream, create bool) (*archive.Archive, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.archives[name]; a != nil || b.cfg.Recordings == "" {
		return a, nil
	}
	dir := filepath.Join(b.cfg.Recordings, string(name))
	if !create && !exists(dir) {
		return nil, nil
	}
	a, err := archive.Open(dir)
	if err == nil {
		b.archives[name] = a
	}
	return a, err
}

// record follows a packager while its stream is to be recorded, until ctx ends.
func (b *Bridge) record(ctx context.Context, p *packager) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return
	}
	r := &recorder{log: p.log}
	defer r.close()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	for ctx.Err() == nil {
		g := p.gen.Load()
		var pause <-chan time.Time
		if err := b.recordOnce(r, p.stream, g); err != nil {
			r.log.Error("recording failed: the live stream goes on, a part of its recording is missing", "error", err, "again", recordAgain)
			r.close()
			r.next = g.views[0].lastMSN + 1
			pause = time.After(recordAgain)
		}
		wake := g.views[0].next
		if pause != nil {
			wake = nil
		}
		select {
		case <-wake:
		case <-pause:
		case <-prune.C:
			b.prune(r)
		case <-ctx.Done():
		}
	}
}

func (b *Bridge) prune(r *recorder) {
	if r.archive == nil {
		return
	}
	if err := r.archive.Prune(time.Now().Add(-b.cfg.KeepFor), b.cfg.KeepBytes); err != nil {
		r.log.Error("old recordings cannot be removed", "error", err)
	}
}

func (b *Bridge) recordOnce(r *recorder, st *sfu.Stream, g *generation) (err error) {
	if !st.Status().Spec.Record {
		r.close()
		return nil
	}
	if r.archive == nil {
		if r.archive, err = b.archive(st.Name, true); err != nil {
			return err
		}
	}
	return r.take(g)
}

// take writes what the generation has and the files have not.
func (r *recorder) take(g *generation) error {
	if g.epoch != r.epoch {
		r.close()
		r.epoch, r.next = g.epoch, 0
	}
	for {
		if r.writer == nil {
			if ok, err := r.begin(g); !ok || err != nil {
				return err
			}
		}
		done := true
		for i, v := range forDisk(g)[:len(r.at)] {
			ended, err := r.track(i, v)
			if err != nil {
				return err
			}
			done = done && ended
		}
		if !done {
			return nil
		}
		r.next = r.until
		r.close()
	}
}

// forDisk are the views that are recorded: the best pictures and the sound. Rungs can be made again.
func forDisk(g *generation) []*view {
	views := g.views[:1:1]
	if s := g.sound(); s != nil {
		views = append(views, s)
	}
	return views
}

// begin opens a take at the first segment from next on that has something to show; false if there is none yet.
func (r *recorder) begin(g *generation) (bool, error) {
	lead := g.views[0]
	var first *segment
	for _, s := range lead.segments {
		if s.msn >= r.next && !s.gap && len(s.parts) > 0 {
			first = s
			if r.next > 0 {
				break
			}
		}
	}
	if first == nil {
		return false, nil
	}
	h := archive.Header{Started: time.Unix(0, first.wall), Target: g.plan.target}
	r.at, r.first, r.until, r.init = nil, first.msn, 0, first.init
	for _, v := range forDisk(g) {
		s := v.segment(first.msn)
		if s == nil {
			return false, nil // a follower comes to it soon
		}
		t := v.track
		t.Init = v.inits[s.init]
		h.Tracks = append(h.Tracks, t)
		r.at = append(r.at, cursor{msn: first.msn})
	}
	w, err := r.archive.Begin(h)
	r.writer = w
	return err == nil, err
}

// track writes the new parts of one rendition. It reports whether the take has ended for it.
func (r *recorder) track(i int, v *view) (ended bool, err error) {
	for c := &r.at[i]; ; {
		if r.until > 0 && c.msn >= r.until {
			return true, nil
		}
		s := v.segment(c.msn)
		switch {
		case s == nil && len(v.segments) > 0 && c.msn < v.segments[0].msn:
			return false, errBehind
		case s == nil:
			return false, nil
		case i == 0 && c.part == 0 && (s.gap || s.init != r.init || s.cut && s.msn > r.first || r.writer.Length() >= takeLength):
			r.until = s.msn
			continue
		}
		for ; c.part < len(s.parts); c.part++ {
			if err := r.writer.Chunk(i, s.parts[c.part].body); err != nil {
				return false, err
			}
		}
		if !s.complete {
			return false, nil
		}
		if err := r.writer.Segment(i, time.Unix(0, s.wall), s.duration); err != nil {
			return false, err
		}
		*c = cursor{msn: s.msn + 1}
	}
}

func (r *recorder) close() {
	if r.writer != nil {
		if err := r.writer.Close(); err != nil {
			r.log.Error("recording: close a take", "error", err)
		}
	}
	r.writer = nil
}

// track is how an archive describes the rendition.
func (r *rendition) track() archive.Track {
	t := archive.Track{ID: r.id, Audio: r.sound(), Codecs: cmaf.Codecs(r.cfg), Rate: r.cfg.ClockRate}
	if !t.Audio {
		t.Width, t.Height, t.FPS = r.cfg.Width, r.cfg.Height, float64(time.Second)/float64(r.frame)
	}
	return t
}
