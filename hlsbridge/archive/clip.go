package archive

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"watershed/hlsbridge/cmaf"
)

// Extent of a piece of a track's file by its name: init.mp4, or OFFSET-SIZE.m4s of a segment in the index.
func (a *Archive) Extent(number uint64, track, name string) (offset, size int64, err error) {
	t, k, ok := a.find(number, track)
	if !ok {
		return 0, 0, fs.ErrNotExist
	}
	if name == "init.mp4" {
		return 0, t.Tracks[k].InitSize, nil
	}
	base, ok := strings.CutSuffix(name, ".m4s")
	if _, err := fmt.Sscanf(base, "%d-%d", &offset, &size); err != nil || !ok || base != fmt.Sprintf("%d-%d", offset, size) {
		return 0, 0, fs.ErrNotExist
	}
	segments, err := a.segmentsOf(t)
	if err != nil {
		return 0, 0, err
	}
	n, _ := slices.BinarySearchFunc(segments[k], offset, func(s Segment, o int64) int { return cmp.Compare(s.Offset, o) })
	for ; n < len(segments[k]) && segments[k][n].Offset == offset; n++ { // empty ones stand where the next one begins
		if segments[k][n].Size == size {
			return offset, size, nil
		}
	}
	return 0, 0, fs.ErrNotExist
}

// Clip is a range as one fragmented MP4 with all tracks, beginning at zero. What was not recorded is left out: the next take begins where the one
// before ended. Its files are open one take at a time: a day of a camera that drops out has thousands.
type Clip struct {
	Size int64

	archive *Archive
	head    []byte
	pieces  []piece
}

// piece of a clip: what it has of one take.
type piece struct {
	span  *Span
	later []int64 // by track: ticks between a chunk's place in the take and in the clip
}

// DifferError says that a range cannot be one file, because its takes have other tracks or another format.
type DifferError struct {
	Ranges [][2]time.Time // that can be one each
}

func (e *DifferError) Error() string { return "the recording changed its format in this range" }

// Clip prepares spans for writing.
func (a *Archive) Clip(spans []Span) (*Clip, error) {
	c := &Clip{archive: a}
	var inits [][][]byte
	at := time.Duration(0)
	for i := range spans {
		p := piece{span: &spans[i]}
		err := p.with(a, func(files []*os.File) (err error) {
			init, err := p.inits(files)
			if err != nil {
				return err
			}
			inits = append(inits, init)
			at, err = p.align(files, at)
			return err
		})
		if err != nil {
			return nil, err
		}
		c.pieces = append(c.pieces, p)
		c.Size += p.size()
	}
	if d := differ(spans, inits); len(d.Ranges) > 1 {
		return nil, d
	}
	head, err := join(inits[0])
	if err != nil {
		return nil, err
	}
	c.head, c.Size = head, c.Size+int64(len(head))
	return c, nil
}

// with does something with the piece's files, by track.
func (p *piece) with(a *Archive, do func(files []*os.File) error) error {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close() // it was only read
		}
	}()
	for _, t := range p.span.Tracks {
		f, err := a.Piece(p.span.Number, t.ID)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	return do(files)
}

// inits are the initialisation segments.
func (p *piece) inits(files []*os.File) (inits [][]byte, err error) {
	for i, t := range p.span.Tracks {
		init := make([]byte, t.InitSize)
		if _, err := files[i].ReadAt(init, 0); err != nil {
			return nil, err
		}
		inits = append(inits, init)
	}
	return inits, nil
}

// differ finds the ranges in which all takes have the same tracks in the same format.
func differ(spans []Span, inits [][][]byte) *DifferError {
	d := &DifferError{}
	for i, s := range spans {
		lead := s.Segments[0]
		start, end := lead[0].Start, lead[len(lead)-1].End()
		if i > 0 && slices.EqualFunc(inits[i-1], inits[i], bytes.Equal) {
			d.Ranges[len(d.Ranges)-1][1] = end
			continue
		}
		d.Ranges = append(d.Ranges, [2]time.Time{start, end})
	}
	for i := range d.Ranges { // segments that the range touches are in it: keep off the neighbours'
		d.Ranges[i][0], d.Ranges[i][1] = d.Ranges[i][0].Add(time.Millisecond), d.Ranges[i][1].Add(-time.Millisecond)
	}
	return d
}

// align has the piece begin at a time of the clip, all tracks by the earliest one's clock, and returns when it ends.
func (p *piece) align(files []*os.File, at time.Duration) (end time.Duration, err error) {
	start, stop := math.Inf(1), math.Inf(-1)
	for i, f := range files {
		segments, rate := p.span.Segments[i], float64(p.span.Tracks[i].Rate)
		full := func(s Segment) bool { return s.Size > 0 } // an empty one has no times
		first := slices.IndexFunc(segments, full)
		if first < 0 {
			continue
		}
		last := len(segments) - 1
		for !full(segments[last]) {
			last--
		}
		head, err := readSegment(f, &segments[first])
		if err != nil {
			return 0, err
		}
		tail, err := readSegment(f, &segments[last])
		if err != nil {
			return 0, err
		}
		_, ticks := cmaf.Whole(tail)
		start = min(start, float64(cmaf.Start(head))/rate)
		stop = max(stop, float64(cmaf.Start(tail)+ticks)/rate)
	}
	if start > stop { // nothing in it
		start, stop = 0, 0
	}
	for _, t := range p.span.Tracks {
		p.later = append(p.later, int64((at.Seconds()-start)*float64(t.Rate)))
	}
	return at + time.Duration((stop-start)*float64(time.Second)), nil
}

func readSegment(f *os.File, s *Segment) ([]byte, error) {
	b := make([]byte, s.Size)
	_, err := f.ReadAt(b, s.Offset)
	return b, err
}

func (p *piece) size() (n int64) {
	for _, k := range p.span.Segments {
		for _, s := range k {
			n += s.Size
		}
	}
	return n
}

// join makes one initialisation segment of several with one track each.
func join(inits [][]byte) ([]byte, error) {
	var all *mp4.InitSegment
	for i, data := range inits {
		f, err := mp4.DecodeFile(bytes.NewReader(data))
		if err != nil || f.Init == nil || len(f.Init.Moov.Traks) != 1 {
			return nil, fmt.Errorf("initialisation segment: %w", errors.Join(err, fs.ErrInvalid))
		}
		if i == 0 {
			all = f.Init
			continue
		}
		trak, trex := f.Init.Moov.Trak, f.Init.Moov.Mvex.Trex
		trak.Tkhd.TrackID, trex.TrackID = uint32(i+1), uint32(i+1)
		all.Moov.AddChild(trak)
		all.Moov.Mvex.AddChild(trex)
		all.Moov.Mvhd.NextTrackID = uint32(i + 2)
	}
	var b bytes.Buffer
	err := all.Encode(&b)
	return b.Bytes(), err
}

// WriteTo writes the file: segment by segment, all tracks of each. A take that is removed meanwhile ends it with an error.
func (c *Clip) WriteTo(w io.Writer) (n int64, err error) {
	k, err := w.Write(c.head)
	n = int64(k)
	for i := range c.pieces {
		if err != nil {
			return n, err
		}
		p := &c.pieces[i]
		err = p.with(c.archive, func(files []*os.File) error {
			written, err := p.writeTo(w, files)
			n += written
			return err
		})
	}
	return n, err
}

func (p *piece) writeTo(w io.Writer, files []*os.File) (n int64, err error) {
	for j := range p.span.Segments[0] {
		for i, f := range files {
			b, err := readSegment(f, &p.span.Segments[i][j])
			if err != nil {
				return n, err
			}
			cmaf.Move(b, uint32(i+1), p.later[i])
			k, err := w.Write(b)
			if n += int64(k); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}
