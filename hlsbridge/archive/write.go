package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Writer appends to the newest take. One goroutine uses it.
type Writer struct {
	archive *Archive
	take    *Take
	files   []*os.File // by track
	indexes []*os.File
	offset  []int64 // in files, of the next chunk
	begun   []int64 // of the open segment
}

// Begin opens a take. Its header's number and first are the archive's to choose.
func (a *Archive) Begin(h Header) (*Writer, error) {
	a.mu.Lock()
	h.Number, h.First = uint64(1), 0
	if n := len(a.takes); n > 0 {
		last := a.takes[n-1]
		h.Number, h.First = last.Number+1, last.First+uint64(last.count())
	}
	a.mu.Unlock()
	for i := range h.Tracks {
		h.Tracks[i].InitSize = int64(len(h.Tracks[i].Init))
	}
	t := &Take{Header: h, dir: filepath.Join(a.dir, strconv.FormatUint(h.Number, 10)), segments: make([][]Segment, len(h.Tracks))}
	w := &Writer{archive: a, take: t}
	if err := w.open(); err != nil {
		w.Close()
		os.RemoveAll(t.dir)
		return nil, fmt.Errorf("begin take: %w", err)
	}
	a.mu.Lock()
	a.takes = append(slices.Clone(a.takes), t)
	a.size += t.size()
	a.mu.Unlock()
	return w, nil
}

// open writes the files' beginnings, the header last: a take without one is nothing.
func (w *Writer) open() error {
	t := w.take
	if err := os.MkdirAll(t.dir, 0o750); err != nil {
		return err
	}
	for i := range t.Tracks {
		k := &t.Tracks[i]
		for _, x := range []struct {
			to     *[]*os.File
			suffix string
		}{{&w.files, ".mp4"}, {&w.indexes, ".idx"}} {
			f, err := os.OpenFile(t.file(k.ID, x.suffix), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
			if err != nil {
				return err
			}
			*x.to = append(*x.to, f)
		}
		if _, err := w.files[i].Write(k.Init); err != nil {
			return err
		}
		w.offset, w.begun = append(w.offset, k.InitSize), append(w.begun, k.InitSize)
	}
	data, err := json.Marshal(t.Header)
	if err != nil {
		return err
	}
	temporary := filepath.Join(t.dir, headerFile+".new")
	if err := os.WriteFile(temporary, data, 0o640); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(t.dir, headerFile))
}

// Chunk appends to a track's open segment. After an error the take must be closed; what was there before stays readable.
func (w *Writer) Chunk(track int, body []byte) error {
	n, err := w.files[track].WriteAt(body, w.offset[track])
	if err != nil {
		if n > 0 {
			err = errors.Join(err, w.files[track].Truncate(w.offset[track]))
		}
		return fmt.Errorf("record: %w", err)
	}
	w.offset[track] += int64(n)
	return nil
}

// Segment ends a track's open segment.
func (w *Writer) Segment(track int, start time.Time, duration time.Duration) error {
	s := Segment{Offset: w.begun[track], Size: w.offset[track] - w.begun[track], Start: start, Duration: duration}
	if _, err := w.indexes[track].Write(s.record()); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	w.begun[track] = w.offset[track]
	a := w.archive
	a.mu.Lock()
	defer a.mu.Unlock()
	w.take.segments[track] = append(w.take.segments[track], s)
	a.size += s.Size
	return nil
}

// Tracks of the take.
func (w *Writer) Tracks() []Track { return w.take.Tracks }

// Length of what is complete.
func (w *Writer) Length() time.Duration {
	w.archive.mu.Lock()
	defer w.archive.mu.Unlock()
	if n := w.take.count(); n > 0 {
		return w.take.segments[0][n-1].End().Sub(w.take.Started)
	}
	return 0
}

// Close ends the take.
func (w *Writer) Close() error {
	var all error
	for _, f := range append(w.files, w.indexes...) {
		all = errors.Join(all, f.Close())
	}
	w.files, w.indexes = nil, nil
	return all
}
