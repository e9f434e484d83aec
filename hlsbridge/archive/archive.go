// Package archive keeps a stream's recordings on disk: CMAF chunks as they were served, with an index beside them.
//
// A recording is a row of takes. A take is an uninterrupted piece of at most an hour in a folder of its own: take.json says what is in it, and for each
// track TRACK.mp4 has the initialisation segment and all chunks in a row, a file that players read as it is, and TRACK.idx
// one record of 32 bytes for each segment. Chunks are appended as they are made, so a process that is killed loses at most the one it was writing: what
// stands behind the last record is found again when the archive is opened.
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
	Number  uint64    `json:"number"`  // of the take; grows
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

// Take is one piece of a recording. Its segments grow while it is written.
type Take struct {
	Header
	dir      string
	segments [][]Segment // by track
}

// Segments of all tracks: as many as every track has.
func (t *Take) count() int {
	n := len(t.segments[0])
	for _, s := range t.segments[1:] {
		n = min(n, len(s))
	}
	return n
}

// Archive is the recording of one stream. Its methods may be called from any goroutine.
type Archive struct {
	dir string

	mu    sync.Mutex // guards what follows
	takes []*Take
	size  int64
}

const headerFile = "take.json"

// Open reads the recording in a folder, which is made if it is not there. Takes that a crash left open are repaired.
func Open(dir string) (*Archive, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	a := &Archive{dir: dir}
	for _, e := range entries {
		if _, err := strconv.ParseUint(e.Name(), 10, 64); err != nil || !e.IsDir() {
			continue
		}
		t, err := readTake(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) { // killed before the header was written: nothing is in it
			os.RemoveAll(filepath.Join(dir, e.Name()))
			continue
		}
		if err != nil {
			return nil, err
		}
		a.takes = append(a.takes, t)
		a.size += t.size()
	}
	slices.SortFunc(a.takes, func(x, y *Take) int { return cmp.Compare(x.Number, y.Number) })
	return a, nil
}

func readTake(dir string) (*Take, error) {
	data, err := os.ReadFile(filepath.Join(dir, headerFile))
	if err != nil {
		return nil, fmt.Errorf("read take: %w", err)
	}
	t := &Take{dir: dir}
	if err := json.Unmarshal(data, &t.Header); err != nil || len(t.Tracks) == 0 {
		return nil, fmt.Errorf("read take %s: the header is damaged: %w", dir, err)
	}
	for i := range t.Tracks {
		segments, err := t.readIndex(&t.Tracks[i])
		if err != nil {
			return nil, err
		}
		t.segments = append(t.segments, segments)
	}
	return t, nil
}

func (t *Take) file(track, suffix string) string { return filepath.Join(t.dir, track+suffix) }

func (t *Take) size() (n int64) {
	for i, s := range t.segments {
		n += t.Tracks[i].InitSize
		if len(s) > 0 {
			last := s[len(s)-1]
			n = n - t.Tracks[i].InitSize + last.Offset + last.Size
		}
	}
	return n
}

// Span is a run of segments of one take.
type Span struct {
	Header
	From     int         // index of the first
	Segments [][]Segment // by track, equally many
}

// Between returns what was recorded from one moment to another, whole segments.
func (a *Archive) Between(from, to time.Time) (spans []Span) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.takes {
		n := t.count()
		lead := t.segments[0][:n]
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
		if i == j {
			continue
		}
		span := Span{Header: t.Header, From: i}
		for _, s := range t.segments {
			span.Segments = append(span.Segments, s[i:j:j])
		}
		spans = append(spans, span)
	}
	return spans
}

// Piece opens a track's file of a take. The caller closes it.
func (a *Archive) Piece(number uint64, track string) (*os.File, error) {
	a.mu.Lock()
	i := slices.IndexFunc(a.takes, func(t *Take) bool { return t.Number == number })
	if i < 0 || !slices.ContainsFunc(a.takes[i].Tracks, func(t Track) bool { return t.ID == track }) {
		a.mu.Unlock()
		return nil, fs.ErrNotExist
	}
	path := a.takes[i].file(track, ".mp4")
	a.mu.Unlock()
	return os.Open(path)
}

// Size of all takes in bytes.
func (a *Archive) Size() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

// Prune removes the oldest takes: those that ended before a moment, and as many as it needs to be at most so many bytes (0: any). The newest stays.
func (a *Archive) Prune(before time.Time, bytes int64) error {
	for {
		a.mu.Lock()
		if len(a.takes) < 2 {
			a.mu.Unlock()
			return nil
		}
		t := a.takes[0]
		old := a.takes[1].Started.Before(before)
		if !old && (bytes == 0 || a.size <= bytes) {
			a.mu.Unlock()
			return nil
		}
		a.takes = slices.Clone(a.takes[1:])
		a.size -= t.size()
		a.mu.Unlock()
		if err := os.RemoveAll(t.dir); err != nil {
			return fmt.Errorf("remove old take: %w", err)
		}
	}
}
