package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"watershed/hlsbridge/cmaf"
)

// Writer appends to the newest take. One goroutine uses it.
type Writer struct {
	archive *Archive
	take    *take
	files   []File // by track
	indexes []File
	tracks  []position
}

// position in a track's file.
type position struct {
	offset  int64     // of the next chunk
	records int64     // in the index: a piece of one that did not fit on the disk is written over
	begun   int64     // of the open segment
	ticks   uint64    // in it
	start   time.Time // of it: where the last one ended
}

// Begin opens a take. Its header's number and first are the archive's to choose.
func (a *Archive) Begin(h Header) (*Writer, error) {
	a.mu.Lock()
	h.Number, h.First = a.last.Number+1, a.last.Next
	a.mu.Unlock()
	h.Tracks = slices.Clone(h.Tracks)
	for i := range h.Tracks {
		h.Tracks[i].InitSize = int64(len(h.Tracks[i].Init))
	}
	t := &take{Header: h, dir: a.folder(h.Number), writing: true, end: h.Started, segments: make([][]Segment, len(h.Tracks))}
	if err := makeFolder(t.dir); err != nil {
		if errors.Is(err, fs.ErrExist) { // the next try is for the next number
			a.mu.Lock()
			a.last.Number = h.Number
			a.mu.Unlock()
		}
		return nil, fmt.Errorf("begin take: %w", err)
	}
	w := &Writer{archive: a, take: t}
	if err := w.open(); err != nil {
		w.release()
		os.RemoveAll(t.dir)
		return nil, fmt.Errorf("begin take: %w", err)
	}
	a.mu.Lock()
	a.takes = append(slices.Clone(a.takes), t)
	a.last.Number = h.Number
	a.mu.Unlock()
	return w, nil
}

// makeFolder of a take, where there is nothing but perhaps an empty folder, which a crash left. What is in one is never removed for another take.
func makeFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o750)
	if there, e := os.ReadDir(dir); e == nil && len(there) == 0 {
		return nil
	}
	return err
}

// open writes the files' beginnings, the header last: nothing is in a take without one.
func (w *Writer) open() error {
	t := w.take
	for i := range t.Tracks {
		k := &t.Tracks[i]
		for _, x := range []struct {
			to     *[]File
			suffix string
		}{{&w.files, ".mp4"}, {&w.indexes, ".idx"}} {
			f, err := w.archive.create(t.file(k.ID, x.suffix))
			if err != nil {
				return err
			}
			*x.to = append(*x.to, f)
		}
		if _, err := w.files[i].Write(k.Init); err != nil {
			return err
		}
		w.tracks = append(w.tracks, position{offset: k.InitSize, begun: k.InitSize, start: t.Started})
	}
	data, err := json.Marshal(t.Header)
	if err != nil {
		return err
	}
	return replace(filepath.Join(t.dir, headerFile), data)
}

// Chunk appends to a track's open segment. After an error the take must be closed; what was there before stays readable.
func (w *Writer) Chunk(track int, body []byte) error {
	p := &w.tracks[track]
	n, err := w.files[track].WriteAt(body, p.offset)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, w.files[track].Truncate(p.offset))
		}
		return fmt.Errorf("record: %w", err)
	}
	_, ticks := cmaf.Whole(body)
	p.offset, p.ticks = p.offset+int64(n), p.ticks+ticks
	return nil
}

// Segment ends a track's open segment.
func (w *Writer) Segment(track int, start time.Time, duration time.Duration) error {
	p := &w.tracks[track]
	s := Segment{Offset: p.begun, Size: p.offset - p.begun, Start: start, Duration: duration}
	if _, err := w.indexes[track].WriteAt(s.record(), p.records*recordSize); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	p.records++
	p.begun, p.ticks, p.start = p.offset, 0, s.End()
	a, t := w.archive, w.take
	a.mu.Lock()
	defer a.mu.Unlock()
	t.segments[track] = append(t.segments[track], s)
	t.bytes += s.Size
	a.size += s.Size
	a.countLocked(t)
	return nil
}

// countLocked finds out how many segments of the take there are in every track.
func (a *Archive) countLocked(t *take) {
	t.count = len(t.segments[0])
	for _, k := range t.segments[1:] {
		t.count = min(t.count, len(k))
	}
	if t.count > 0 {
		t.end = t.segments[0][t.count-1].End()
	}
	if a.last.Number == t.Number {
		a.last.Next = t.First + uint64(t.count)
	}
}

// Length and size of what is complete.
func (w *Writer) Length() (d time.Duration, bytes int64) {
	w.archive.mu.Lock()
	defer w.archive.mu.Unlock()
	return w.take.end.Sub(w.take.Started), w.take.bytes
}

// Close ends the take. Segments that are open end where they are, and a track that has fewer than the leading one has empty ones; a take without any is
// removed.
func (w *Writer) Close() error {
	var all error
	for i := range w.tracks {
		if p := &w.tracks[i]; p.offset > p.begun {
			d := time.Duration(p.ticks) * time.Second / time.Duration(w.take.Tracks[i].Rate)
			all = errors.Join(all, w.Segment(i, p.start, d))
		}
	}
	all = errors.Join(all, w.release())
	a, t := w.archive, w.take
	a.mu.Lock()
	for i := range t.segments { // as they are found when the archive is opened again
		k := &t.Tracks[i]
		t.segments[i] = fit(k, t.segments[i], nil, t.segments[0])
		t.extents = append(t.extents, newExtent(k, t.segments[i], int(w.tracks[i].records)))
	}
	a.countLocked(t)
	empty := t.count == 0
	t.writing = false
	if empty {
		a.takes = slices.DeleteFunc(slices.Clone(a.takes), func(x *take) bool { return x == t })
		a.size -= t.bytes
		if a.last.Number == t.Number {
			a.last.Number--
		}
	}
	a.evictLocked()
	a.mu.Unlock()
	if empty {
		all = errors.Join(all, os.RemoveAll(t.dir))
	}
	return all
}

// release writes out and closes the files.
func (w *Writer) release() error {
	var all error
	for _, f := range append(w.files, w.indexes...) {
		all = errors.Join(all, f.Sync(), f.Close())
	}
	w.files, w.indexes = nil, nil
	return all
}
