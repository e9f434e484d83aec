// Package archive keeps a stream's recordings on disk: CMAF chunks as they were served, with an index beside them.
//
// A recording is a row of takes. A take is an uninterrupted piece of at most an hour in a folder of its own: take.json says what is in it, and for each
// track TRACK.mp4 has the initialisation segment and all chunks in a row, a file that players read as it is, and TRACK.idx
// one record of 32 bytes for each segment. All tracks have equally many segments, the leading one's; one that a track has nothing of is empty.
// Beside the takes, last.json has the numbers that go on when they are removed, and keep.json what their stream wishes of that.
//
// Chunks are appended as they are made, so a process that is killed loses at most the one it was writing: what
// stands behind the last record is found again when the archive is opened. A power cut may take what the system had not written yet, of a take
// that is not closed; what is left is found the same way.
//
// In memory are what a take is, and the segments of the takes that are written or were read last: a week of two-second segments is 30 MB otherwise.
package archive

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Track of a take.
type Track struct {
	ID       string  `json:"id"` // v0, a0
	Audio    bool    `json:"audio,omitempty"`
	Codecs   string  `json:"codecs"` // RFC 6381
	Width    int     `json:"width,omitempty"`
	Height   int     `json:"height,omitempty"`
	FPS      float64 `json:"fps,omitempty"`
	Rate     int     `json:"rate"` // ticks a second
	InitSize int64   `json:"initSize"`
	Init     []byte  `json:"-"` // for Begin
}

// Header of a take: take.json.
type Header struct {
	Number  uint64    `json:"number"`  // of the take; grows by one
	First   uint64    `json:"first"`   // sequence number of its first segment in the whole recording
	Started time.Time `json:"started"` // of the first picture
	Target  int       `json:"target"`  // EXT-X-TARGETDURATION
	Tracks  []Track   `json:"tracks"`
}

// Segment is a piece of a track's file, beginning with a keyframe.
type Segment struct {
	Offset, Size int64
	Start        time.Time
	Duration     time.Duration
}

// End of the segment.
func (s *Segment) End() time.Time { return s.Start.Add(s.Duration) }

// take is one piece of a recording. Its header and folder never change; the archive's mutex guards the rest.
type take struct {
	Header
	dir     string
	writing bool
	count   int       // segments that every track has; of some tracks they may be empty
	end     time.Time // of the last of them
	bytes   int64
	extents []extent // by track: of one that is not written any longer

	segments [][]Segment // by track; nil: on disk
	used     uint64      // when segments were last asked for, by the archive's count
}

// Archive is the recording of one stream. Its methods may be called from any goroutine. None holds the mutex while it reads or writes a disk.
type Archive struct {
	dir     string
	create  func(path string) (File, error)
	memory  int     // inMemory, but for tests
	damaged []error // takes that cannot be read

	mu    sync.Mutex // guards what follows
	takes []*take
	size  int64
	last  counters // of the newest take there ever was
	uses  uint64
}

// counters go on when the takes that they count are gone: an address never means two things.
type counters struct {
	Number uint64 `json:"number"` // of the newest take
	Next   uint64 `json:"next"`   // sequence number of the segment after it
}

const (
	headerFile   = "take.json"
	countersFile = "last.json"
	keptFile     = "keep.json"
)

// File is what a take is written to.
type File interface {
	Write([]byte) (int, error)
	WriteAt([]byte, int64) (int, error)
	Truncate(int64) error
	Sync() error
	Close() error
}

// Options of an archive.
type Options struct {
	Create func(path string) (File, error) // makes a file that must not be there; nil is the system's. Tests have slow ones
}

// Open reads the recording in a folder, which is made if it is not there. What a crash left open is found again; nothing is changed.
func Open(dir string, o Options) (*Archive, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	a := &Archive{dir: dir, create: o.Create, memory: inMemory}
	if a.create == nil {
		a.create = createFile
	}
	if err := a.readCounters(); err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		if number, err := strconv.ParseUint(e.Name(), 10, 63); err == nil && e.IsDir() {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		a.add(number)
	}
	for i, t := range a.takes { // what was found behind a take's end has no number if the next one was begun since
		if i+1 < len(a.takes) && a.takes[i+1].First >= t.First {
			t.count = int(min(uint64(t.count), a.takes[i+1].First-t.First))
		}
	}
	return a, nil
}

func (a *Archive) folder(number uint64) string {
	return filepath.Join(a.dir, strconv.FormatUint(number, 10))
}

// add a take as it was found, the newest so far. Whatever is in its folder, its numbers are not used again; an empty one is nothing.
func (a *Archive) add(number uint64) {
	t, err := readTake(a.folder(number), number)
	count := t.count
	if err != nil {
		if len(t.Tracks) == 0 {
			t.First = a.last.Next
		}
		found := false
		if count, found = t.lose(); !found {
			return
		}
		if !errors.Is(err, errUnbegun) {
			a.damaged = append(a.damaged, err)
		}
	}
	a.takes = append(a.takes, t)
	a.size += t.bytes
	a.last.Number = max(a.last.Number, number)
	a.last.Next = max(a.last.Next, t.First+uint64(count))
}

func createFile(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
}

func (a *Archive) readCounters() error {
	data, err := os.ReadFile(filepath.Join(a.dir, countersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &a.last)
	}
	if err != nil {
		return fmt.Errorf("open recording: %s: %w", countersFile, err)
	}
	return nil
}

// errUnbegun is of a take without a header: the process was killed before it wrote that, and with it the first chunk.
var errUnbegun = errors.New("no header")

// readTake returns as much of a take as can be read.
func readTake(dir string, number uint64) (*take, error) {
	t := &take{dir: dir}
	h, err := readHeader(dir, number)
	if err != nil {
		t.Number = number
		return t, fmt.Errorf("read take %s: %w", dir, err)
	}
	t.Header = h
	var lead []Segment
	for i := range t.Tracks {
		k := &t.Tracks[i]
		segments, loose, err := t.measure(k)
		if err != nil {
			return t, err
		}
		records := len(segments)
		if i == 0 {
			lead = t.split(segments, loose)
			segments = lead
		} else {
			segments = fit(k, segments, loose, lead)
		}
		t.extents = append(t.extents, newExtent(k, segments, records))
	}
	t.summarise()
	return t, nil
}

func readHeader(dir string, number uint64) (h Header, err error) {
	data, err := os.ReadFile(filepath.Join(dir, headerFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h, errUnbegun
	case err != nil:
		return h, err
	}
	if err := json.Unmarshal(data, &h); err != nil {
		return h, fmt.Errorf("the header is damaged: %w", err)
	}
	if h.Number != number || len(h.Tracks) == 0 || slices.ContainsFunc(h.Tracks, func(k Track) bool { return k.Rate <= 0 || !filepath.IsLocal(k.ID) }) {
		return h, errors.New("the header is damaged")
	}
	return h, nil
}

// lose has a take that cannot be read list nothing, and be as large and as old as its files, so that it is removed in its time. It tells how many segments
// the take seems to have had, and whether there are any files.
func (t *take) lose() (segments int, found bool) {
	t.Tracks, t.extents = nil, nil
	entries, _ := os.ReadDir(t.dir)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		found, t.bytes = true, t.bytes+info.Size()
		if info.ModTime().After(t.end) {
			t.end = info.ModTime()
		}
		if filepath.Ext(e.Name()) == ".idx" {
			segments = max(segments, int(info.Size()/recordSize))
		}
	}
	return segments, found
}

// summarise what the extents say. The leading track's segments are the take's.
func (t *take) summarise() {
	t.count, t.end = t.extents[0].count(), t.extents[0].end
	for _, x := range t.extents {
		t.bytes += x.bytes
	}
}

func (t *take) file(track, suffix string) string { return filepath.Join(t.dir, track+suffix) }

// inMemory is how many segments are kept of takes that are not written, so that a list that is asked for each two seconds needs no disk: a window of two
// hours with sound has 7,200 at two seconds each, in however many takes. These are 1.5 MB.
const inMemory = 1 << 15

// segmentsOf a take, by track.
func (a *Archive) segmentsOf(t *take) ([][]Segment, error) {
	a.mu.Lock()
	a.uses++
	t.used = a.uses
	found, extents, count := slices.Clone(t.segments), t.extents, t.count
	a.mu.Unlock()
	if found != nil {
		return found, nil
	}
	for i := range t.Tracks {
		s, err := t.read(&t.Tracks[i], &extents[i])
		if err != nil {
			return nil, err
		}
		found = append(found, s[:min(count, len(s))])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t.segments = slices.Clone(found)
	a.evictLocked()
	return found, nil
}

// evictLocked forgets the segments that were not asked for lately, but for one take's.
func (a *Archive) evictLocked() {
	var kept []*take
	for _, t := range a.takes {
		if t.segments != nil && !t.writing {
			kept = append(kept, t)
		}
	}
	slices.SortFunc(kept, func(x, y *take) int { return cmp.Compare(y.used, x.used) })
	segments := 0
	for i, t := range kept {
		if segments += t.count * len(t.Tracks); i > 0 && segments > a.memory {
			t.segments = nil
		}
	}
}

// Span is a run of segments of one take.
type Span struct {
	Header
	From     int         // index of the first
	Segments [][]Segment // by track, equally many
}

// Between returns what was recorded from one moment to another, whole segments.
func (a *Archive) Between(from, to time.Time) (spans []Span, err error) {
	a.mu.Lock()
	var takes []*take
	for _, t := range a.takes {
		if t.count > 0 && t.Started.Before(to) && t.end.After(from) {
			takes = append(takes, t)
		}
	}
	a.mu.Unlock()
	for _, t := range takes {
		segments, err := a.segmentsOf(t)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
			continue
		case err != nil:
			return nil, err
		}
		if s, ok := t.span(segments, from, to); ok {
			spans = append(spans, s)
		}
	}
	return spans, nil
}

// span is what a take has between two moments.
func (t *take) span(segments [][]Segment, from, to time.Time) (s Span, ok bool) {
	n := len(segments[0])
	for _, k := range segments[1:] {
		n = min(n, len(k))
	}
	lead := segments[0][:n]
	i, _ := slices.BinarySearchFunc(lead, from, func(s Segment, at time.Time) int {
		if s.End().After(at) {
			return 1
		}
		return -1
	})
	j := i
	for j < n && lead[j].Start.Before(to) {
		j++
	}
	s = Span{Header: t.Header, From: i}
	for _, k := range segments {
		s.Segments = append(s.Segments, k[i:j:j])
	}
	return s, i < j
}

// find a take and the index of a track in it.
func (a *Archive) find(number uint64, track string) (t *take, k int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, found := slices.BinarySearchFunc(a.takes, number, func(t *take, n uint64) int { return cmp.Compare(t.Number, n) })
	if !found {
		return nil, 0, false
	}
	t = a.takes[i]
	k = slices.IndexFunc(t.Tracks, func(k Track) bool { return k.ID == track })
	return t, k, k >= 0
}

// Piece opens a track's file of a take. The caller closes it.
func (a *Archive) Piece(number uint64, track string) (*os.File, error) {
	t, _, ok := a.find(number, track)
	if !ok {
		return nil, fs.ErrNotExist
	}
	return os.Open(t.file(track, ".mp4"))
}

// Size of all takes in bytes.
func (a *Archive) Size() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

// Damaged are the takes that could not be read when the archive was opened. They stay where they are until they are too old.
func (a *Archive) Damaged() []error { return a.damaged }

// Prune removes the oldest takes: those that ended before a moment, and as many as it needs to be at most so many bytes (0: any). The one that is
// written stays. So does one that cannot be removed, until the next call.
func (a *Archive) Prune(before time.Time, bytes int64) error {
	var failed []*take
	var first error
	for t := a.takeOldest(before, bytes); t != nil; t = a.takeOldest(before, bytes) {
		if err := a.remove(t); err != nil {
			failed, first = append(failed, t), cmp.Or(first, fmt.Errorf("remove old take: %w", err))
		}
	}
	a.putBack(failed)
	return first
}

// takeOldest takes the oldest take off the list if it is to go.
func (a *Archive) takeOldest(before time.Time, bytes int64) *take {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.takes) == 0 || a.takes[0].writing || !a.takes[0].end.Before(before) && (bytes == 0 || a.size <= bytes) {
		return nil
	}
	t := a.takes[0]
	a.takes, a.size = slices.Clone(a.takes[1:]), a.size-t.bytes
	return t
}

// putBack takes that are older than all that are listed.
func (a *Archive) putBack(takes []*take) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takes = slices.Concat(takes, a.takes)
	for _, t := range takes {
		a.size += t.bytes
	}
}

// remove a take's folder. The numbers that it used are known by a newer take's header, and noted where there is none; a disk that is too full for that
// note gets room by what the note is for.
func (a *Archive) remove(t *take) error {
	a.mu.Lock()
	last := a.last
	known := slices.ContainsFunc(a.takes, func(x *take) bool { return x.Number > t.Number && x.count > 0 })
	a.mu.Unlock()
	if !known {
		err := a.note(last)
		if errors.Is(err, syscall.ENOSPC) {
			for i := range t.Tracks {
				os.Remove(t.file(t.Tracks[i].ID, ".mp4"))
			}
			err = a.note(last)
		}
		if err != nil {
			return err
		}
	}
	return os.RemoveAll(t.dir)
}

func (a *Archive) note(c counters) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return replace(filepath.Join(a.dir, countersFile), data)
}

// Kept is for how long, and how much of, a recording is to be kept. Zero is no wish.
type Kept struct {
	Age  time.Duration `json:"age,omitempty"`
	Size int64         `json:"size,omitempty"`
}

// Kept is what Keep was last told; zero if that is nothing.
func (a *Archive) Kept() (k Kept, err error) {
	data, err := os.ReadFile(filepath.Join(a.dir, keptFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Kept{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil {
		return Kept{}, fmt.Errorf("how long a recording is kept: %w", err)
	}
	return k, nil
}

// Keep notes what is wished, beside the takes: a recording outlives the process, and what is known of its stream.
func (a *Archive) Keep(k Kept) error {
	if noted, err := a.Kept(); err == nil && noted == k {
		return nil
	}
	data, err := json.Marshal(k)
	if err == nil {
		err = replace(filepath.Join(a.dir, keptFile), data)
	}
	if err != nil {
		return fmt.Errorf("note how long a recording is kept: %w", err)
	}
	return nil
}

// replace a file at once: after a crash it is the old one or the new.
func replace(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	return os.Rename(path+".new", path)
}
