package hlsbridge

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"watershed/hlsbridge/archive"
	"watershed/hlsbridge/cmaf"
	"watershed/sfu"
)

// recorder writes what a packager publishes. It reads generations as a viewer does, so a disk that is slow or full delays nobody; it
// may be late by what generations keep.
type recorder struct {
	shelf   *shelf
	archive *archive.Archive
	log     *slog.Logger
	wanted  bool          // the stream is to be recorded
	longest time.Duration // of a take
	largest int64         // likewise; 0: any

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

// takeLength after which a take is followed by another: what is lost when one file is damaged, and what retention removes at a time. It is less where
// less is kept: retention removes whole takes, so there are some of them.
const (
	takeLength = time.Hour
	takesKept  = 8
)

// A recording that fails is tried again after a pause; a failure that stays the same is logged again after a while.
const (
	recordAgain = 15 * time.Second
	complain    = 10 * time.Minute
)

var errBehind = errors.New("the disk is slower than the stream: what was not written in time is missing")

// record follows a packager while its stream is to be recorded, until ctx ends. The packager does not wait for it, nor does the next one of the same name: its
// recorder does.
func (b *Bridge) record(ctx context.Context, p *packager) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return
	}
	r := &recorder{log: p.log, shelf: b.shelf(p.stream.Name)}
	select {
	case r.shelf.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-r.shelf.turn }()
	defer r.close()
	for ctx.Err() == nil {
		g := p.gen.Load()
		var pause <-chan time.Time
		err := b.recordOnce(r, p.stream, g)
		r.report(err, time.Now())
		if err != nil {
			r.close()
			r.next = g.views[0].lastMSN + 1
			pause = time.After(b.cfg.again)
		}
		wake := g.views[0].next
		if pause != nil {
			wake = nil
		}
		select {
		case <-wake:
		case <-pause:
		case <-ctx.Done():
		}
	}
}

// report tells operators when a recording fails, and when it goes on.
func (r *recorder) report(err error, now time.Time) {
	before := r.shelf.failure.Load()
	switch {
	case err == nil && before == nil:
		return
	case err == nil:
		if r.writer != nil || !r.wanted {
			r.shelf.failure.Store(nil)
			r.log.Info("recording goes on")
		}
		return
	case before != nil && before.message == err.Error() && now.Sub(before.logged) < complain:
		return
	}
	r.shelf.failures.Add(1)
	r.shelf.failure.Store(&failure{message: err.Error(), logged: now})
	r.log.Error("recording failed: the live stream goes on, a part of its recording is missing", "error", err)
}

func (b *Bridge) recordOnce(r *recorder, st *sfu.Stream, g *generation) (err error) {
	spec := st.Spec()
	if r.wanted = spec.Record; !r.wanted {
		r.close()
		r.epoch, r.next = g.epoch, g.views[0].lastMSN+1 // what comes before it is wanted again was not wanted, or is there
		return nil
	}
	if r.archive == nil {
		if r.archive, err = b.archive(st.Name, true); err != nil {
			return err
		}
	}
	keep, size := b.kept(wishes(&spec))
	r.longest, r.largest = min(takeLength, max(keep/takesKept, sfu.LeastKept/2)), size/takesKept
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
		case i == 0 && c.part == 0 && (s.gap || s.init != r.init || s.cut && s.msn > r.first || r.full()):
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

// full reports that the take is as long or as large as one may be.
func (r *recorder) full() bool {
	length, size := r.writer.Length()
	return length >= r.longest || r.largest > 0 && size >= r.largest
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
