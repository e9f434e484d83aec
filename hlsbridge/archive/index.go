package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"watershed/hlsbridge/cmaf"
)

// recordSize of a segment in an index: offset, size, start and duration in nanoseconds, big-endian.
const recordSize = 32

func (s *Segment) record() []byte {
	b := make([]byte, 0, recordSize)
	for _, v := range []int64{s.Offset, s.Size, s.Start.UnixNano(), int64(s.Duration)} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

func parseRecord(b []byte) Segment {
	v := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
	return Segment{Offset: v(0), Size: v(1), Start: time.Unix(0, v(2)), Duration: time.Duration(v(3))}
}

// extent of a track that is not written any longer.
type extent struct {
	records int       // of its index that are good
	tail    []Segment // that are not in it: pieces of one that was never closed, and empty ones
	bytes   int64
	end     time.Time
}

func (x *extent) count() int { return x.records + len(x.tail) }

// newExtent of a track's segments, of which so many are in its index.
func newExtent(k *Track, segments []Segment, records int) extent {
	x := extent{records: min(records, len(segments)), bytes: k.InitSize}
	x.tail = segments[x.records:]
	if n := len(segments); n > 0 {
		x.bytes, x.end = segments[n-1].Offset+segments[n-1].Size, segments[n-1].End()
	}
	return x
}

// measure finds out how much of a track's files is good: the segments of its index, and whole chunks behind them, of a segment that was never closed.
func (t *take) measure(k *Track) (segments []Segment, loose []chunk, err error) {
	f, err := os.Open(t.file(k.ID, ".mp4"))
	if err != nil {
		return nil, nil, fmt.Errorf("read take: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, nil, fmt.Errorf("read take: %w", err)
	}
	if segments, err = t.readRecords(k, size, -1); err != nil {
		return nil, nil, err
	}
	from := k.InitSize
	if n := len(segments); n > 0 {
		from = segments[n-1].Offset + segments[n-1].Size
	}
	return segments, slices.Collect(chunks(f, from, size)), nil
}

// read the segments of a track that was measured.
func (t *take) read(k *Track, x *extent) ([]Segment, error) {
	segments, err := t.readRecords(k, x.bytes, x.records)
	return append(segments, x.tail...), err
}

// readRecords reads an index as far as it is good for a file of a size, or so many records of it.
func (t *take) readRecords(k *Track, size int64, count int) ([]Segment, error) {
	data, err := os.ReadFile(t.file(k.ID, ".idx"))
	if err != nil {
		return nil, fmt.Errorf("read take: %w", err)
	}
	segments := make([]Segment, 0, len(data)/recordSize+1)
	end := k.InitSize
	for ; len(data) >= recordSize && len(segments) != count; data = data[recordSize:] {
		s := parseRecord(data)
		if s.Offset != end || s.Size < 0 || s.Size > size-s.Offset || s.Duration < 0 { // written before its data, or damaged
			break
		}
		segments, end = append(segments, s), s.Offset+s.Size
	}
	return segments, nil
}

// longestTail of a segment that is found again: it is cut at the next keyframe, as segments of pictures are anyway.
const longestTail = time.Second

// split what the leading track has behind its last segment: at keyframes, or where a segment would be longer than players were told.
func (t *take) split(segments []Segment, loose []chunk) []Segment {
	k, s := &t.Tracks[0], Segment{Start: t.Started}
	longest := time.Duration(max(1, t.Target))*time.Second + time.Second/2 // what rounds to the target
	if n := len(segments); n > 0 {
		s.Start = segments[n-1].End()
	}
	for _, c := range loose {
		d := k.duration(c)
		if s.Size > 0 && (c.sync && s.Duration >= longestTail || s.Duration+d >= longest) {
			segments, s = append(segments, s), Segment{Start: s.End()}
		}
		if s.Size == 0 {
			s.Offset = c.offset
		}
		s.Size, s.Duration = s.Size+c.size, s.Duration+d
	}
	if s.Size > 0 {
		segments = append(segments, s)
	}
	return segments
}

// fit gives another track as many segments as the leading one has. What it has behind its last one is cut where those of the leading one begin, the last
// takes the rest; one that it has nothing of is empty.
func fit(k *Track, segments []Segment, loose []chunk, lead []Segment) []Segment {
	segments = segments[:min(len(segments), len(lead))]
	for n := len(segments); n < len(lead); n++ {
		s := after(k, segments, &lead[n])
		for ; len(loose) > 0; loose = loose[1:] {
			d := k.duration(loose[0])
			if n+1 < len(lead) && !s.End().Add(d/2).Before(lead[n+1].Start) {
				break
			}
			s.Size, s.Duration = s.Size+loose[0].size, s.Duration+d
		}
		if s.Size == 0 {
			s.Start, s.Duration = lead[n].Start, lead[n].Duration
		}
		segments = append(segments, s)
	}
	return segments
}

// after is the beginning of a track's next segment: where its last one ended, or where the leading one's begins if it has none.
func after(k *Track, segments []Segment, lead *Segment) Segment {
	n := len(segments)
	if n == 0 {
		return Segment{Offset: k.InitSize, Start: lead.Start}
	}
	return Segment{Offset: segments[n-1].Offset + segments[n-1].Size, Start: segments[n-1].End()}
}

// chunk of a file: what is there of it.
type chunk struct {
	offset, size int64
	ticks        uint64
	sync         bool // its first sample is one that decoding can start at
}

// duration of a chunk of the track.
func (k *Track) duration(c chunk) time.Duration {
	return time.Duration(c.ticks) * time.Second / time.Duration(k.Rate)
}

// longestMoof bounds what is read of a damaged file; ours describe a part of a second.
const longestMoof = 1 << 20

var errDamaged = errors.New("damaged")

// chunks walks over the whole ones between two offsets.
func chunks(f io.ReaderAt, from, to int64) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		c := chunk{offset: from}
		for at := from; ; {
			name, size, err := boxAt(f, at, to)
			if err != nil {
				return
			}
			if name == "moof" {
				moof := make([]byte, min(size, longestMoof))
				if _, err := f.ReadAt(moof, at); err != nil {
					return
				}
				c.ticks, c.sync = cmaf.Describe(moof)
			}
			at += size
			if name == "mdat" {
				c.size = at - c.offset
				if !yield(c) {
					return
				}
				c = chunk{offset: at}
			}
		}
	}
}

func boxAt(f io.ReaderAt, at, to int64) (name string, size int64, err error) {
	var head [8]byte
	if at+8 > to {
		return "", 0, io.EOF
	}
	if _, err := f.ReadAt(head[:], at); err != nil {
		return "", 0, err
	}
	size = int64(binary.BigEndian.Uint32(head[:]))
	if size < 8 || size > to-at {
		return "", 0, errDamaged
	}
	return string(head[4:]), size, nil
}
