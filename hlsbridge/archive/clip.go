package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/Eyevinn/mp4ff/mp4"

	"watershed/hlsbridge/cmaf"
)

// Extent of a piece of a track's file by its name: init.mp4, or OFFSET-SIZE.m4s of a segment in the index.
func (a *Archive) Extent(number uint64, track, name string) (offset, size int64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.takes, func(t *Take) bool { return t.Number == number })
	if i < 0 {
		return 0, 0, fs.ErrNotExist
	}
	t := a.takes[i]
	k := slices.IndexFunc(t.Tracks, func(k Track) bool { return k.ID == track })
	if k < 0 {
		return 0, 0, fs.ErrNotExist
	}
	if name == "init.mp4" {
		return 0, t.Tracks[k].InitSize, nil
	}
	base, ok := strings.CutSuffix(name, ".m4s")
	if _, err := fmt.Sscanf(base, "%d-%d", &offset, &size); err != nil || !ok || base != fmt.Sprintf("%d-%d", offset, size) {
		return 0, 0, fs.ErrNotExist
	}
	n, found := slices.BinarySearchFunc(t.segments[k], offset, func(s Segment, o int64) int { return int(s.Offset - o) })
	if !found || t.segments[k][n].Size != size {
		return 0, 0, fs.ErrNotExist
	}
	return offset, size, nil
}

// Clip is a span as one fragmented MP4 with all tracks, beginning at zero.
type Clip struct {
	Size int64

	head  []byte
	files []*os.File
	span  *Span
	begin []uint64 // by track: decoding time of the first sample
}

// Clip prepares a span for writing. The caller closes it.
func (a *Archive) Clip(s *Span) (_ *Clip, err error) {
	c := &Clip{span: s}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	var inits [][]byte
	for i, t := range s.Tracks {
		f, err := a.Piece(s.Number, t.ID)
		if err != nil {
			return nil, err
		}
		c.files = append(c.files, f)
		init := make([]byte, t.InitSize)
		if _, err := f.ReadAt(init, 0); err != nil {
			return nil, err
		}
		inits = append(inits, init)
		first := make([]byte, s.Segments[i][0].Size)
		if _, err := f.ReadAt(first, s.Segments[i][0].Offset); err != nil {
			return nil, err
		}
		c.begin = append(c.begin, cmaf.Start(first))
		for _, x := range s.Segments[i] {
			c.Size += x.Size
		}
	}
	if c.head, err = join(inits); err != nil {
		return nil, err
	}
	c.align()
	c.Size += int64(len(c.head))
	return c, nil
}

// align has all tracks begin at the earliest one's time.
func (c *Clip) align() {
	seconds := func(i int) float64 { return float64(c.begin[i]) / float64(c.span.Tracks[i].Rate) }
	first := seconds(0)
	for i := range c.begin {
		first = min(first, seconds(i))
	}
	for i := range c.begin {
		c.begin[i] = uint64(first * float64(c.span.Tracks[i].Rate))
	}
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

// WriteTo writes the file: segment by segment, all tracks of each.
func (c *Clip) WriteTo(w io.Writer) (n int64, err error) {
	put := func(b []byte) {
		if err == nil {
			var k int
			k, err = w.Write(b)
			n += int64(k)
		}
	}
	put(c.head)
	for j := range c.span.Segments[0] {
		for i, f := range c.files {
			x := c.span.Segments[i][j]
			b := make([]byte, x.Size)
			if _, e := f.ReadAt(b, x.Offset); e != nil {
				return n, e
			}
			cmaf.Move(b, uint32(i+1), c.begin[i])
			put(b)
		}
	}
	return n, err
}

// Close releases the files.
func (c *Clip) Close() error {
	var all error
	for _, f := range c.files {
		all = errors.Join(all, f.Close())
	}
	return all
}
