package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
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
	tail    []Segment // what the file has behind them: of a segment that was never closed
	bytes   int64
	end     time.Time
}

func (x *extent) count() int { return x.records + len(x.tail) }

// measure finds out how much of a track's files is good.
func (t *take) measure(k *Track) (x extent, err error) {
	f, err := os.Open(t.file(k.ID, ".mp4"))
	if err != nil {
		return x, fmt.Errorf("read take: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return x, fmt.Errorf("read take: %w", err)
	}
	segments, err := t.readRecords(k, size, -1)
	if err != nil {
		return x, err
	}
	x.records, x.bytes, x.end = len(segments), k.InitSize, t.Started
	if n := len(segments); n > 0 {
		x.bytes, x.end = segments[n-1].Offset+segments[n-1].Size, segments[n-1].End()
	}
	if size > x.bytes {
		x.tail = findTail(f, x.bytes, size, k, x.end)
	}
	if n := len(x.tail); n > 0 {
		x.bytes, x.end = x.tail[n-1].Offset+x.tail[n-1].Size, x.tail[n-1].End()
	}
	return x, nil
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

// findTail finds the whole chunks behind the last segment of a file. It reads their headers only: after a power cut there may be much.
func findTail(f io.ReaderAt, from, to int64, k *Track, at time.Time) (tail []Segment) {
	for c := range chunks(f, from, to) {
		d := time.Duration(c.ticks) * time.Second / time.Duration(k.Rate)
		n := len(tail)
		if n == 0 || c.sync && tail[n-1].Duration >= longestTail {
			start := at
			if n > 0 {
				start = tail[n-1].End()
			}
			tail = append(tail, Segment{Offset: c.offset, Start: start})
			n++
		}
		tail[n-1].Size += c.size
		tail[n-1].Duration += d
	}
	return tail
}

// chunk of a file: what is there of it.
type chunk struct {
	offset, size int64
	ticks        uint64
	sync         bool // its first sample is one that decoding can start at
}

// longestMoof bounds what is read of a damaged file; ours describe a part of a second.
const longestMoof = 1 << 20

var errDamaged = errors.New("damaged")

// chunks walks over the whole ones between two offsets.
func chunks(f io.ReaderAt, from, to int64) func(yield func(chunk) bool) {
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
