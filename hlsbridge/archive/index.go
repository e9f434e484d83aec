package archive

import (
	"encoding/binary"
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

// readIndex reads a track's index, and adds what the file has behind its last record.
func (t *Take) readIndex(k *Track) ([]Segment, error) {
	data, err := os.ReadFile(t.file(k.ID, ".idx"))
	if err != nil {
		return nil, fmt.Errorf("read take: %w", err)
	}
	f, err := os.OpenFile(t.file(k.ID, ".mp4"), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("read take: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("read take: %w", err)
	}
	var segments []Segment
	end, at := k.InitSize, t.Started
	for ; len(data) >= recordSize; data = data[recordSize:] {
		s := parseRecord(data)
		if s.Offset != end || s.Size < 0 || s.Offset+s.Size > size { // written before its data, or damaged
			break
		}
		segments, end, at = append(segments, s), s.Offset+s.Size, s.End()
	}
	if size > end {
		if s, ok := findTail(f, end, size, k.Rate, at); ok {
			segments = append(segments, s)
		}
	}
	return segments, nil
}

// findTail finds the whole chunks of a segment that was never closed.
func findTail(f *os.File, from, to int64, rate int, at time.Time) (Segment, bool) {
	tail := make([]byte, to-from)
	if _, err := f.ReadAt(tail, from); err != nil {
		return Segment{}, false
	}
	whole, ticks := cmaf.Whole(tail)
	if whole == 0 {
		return Segment{}, false
	}
	return Segment{Offset: from, Size: int64(whole), Start: at, Duration: time.Duration(ticks) * time.Second / time.Duration(rate)}, true
}
