package nut

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Writer writes one stream. Every frame is a call of the underlying Write, so that it leaves at once.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter writes the headers of a container with the one stream.
func NewWriter(w io.Writer, s Stream) (*Writer, error) {
	nw := &Writer{w: w}
	out := append([]byte(magic), packet(startMain, mainHeader(s))...)
	out = append(out, packet(startStream, streamHeader(s))...)
	if s.Millihertz > 0 {
		out = append(out, packet(startInfo, rateInfo(s.Millihertz))...)
	}
	_, err := w.Write(out)
	return nw, err
}

func mainHeader(s Stream) []byte {
	b := putV(nil, 3) // version
	b = putV(b, 1)    // streams
	b = putV(b, maxDistance)
	b = putV(b, 1) // time bases
	b = putV(b, uint64(s.Num))
	b = putV(b, uint64(s.Den))
	// One run of frame codes that say everything explicitly, 'N' excepted, which is always invalid.
	b = putV(b, flagCoded)
	b = putV(b, 6)    // fields: pts, mul, stream, size, reserved, count
	b = append(b, 0)  // pts delta
	b = putV(b, 1)    // size multiplier
	b = putV(b, 0)    // stream
	b = putV(b, 0)    // size
	b = putV(b, 0)    // reserved
	b = putV(b, 255)  // count
	return putV(b, 0) // no elision headers
}

func streamHeader(s Stream) []byte {
	b := putV(nil, 0) // stream id
	class := uint64(1)
	if s.Video {
		class = 0
	}
	b = putV(b, class)
	b = putBytes(b, []byte(s.FourCC))
	b = putV(b, 0) // time base
	b = putV(b, ptsShift)
	b = putV(b, uint64(s.Den)) // largest distance of times without a checksum; every frame has one
	b = putV(b, 0)             // decode delay: frames carry presentation times, the decoder reorders
	b = putV(b, 0)             // flags
	b = putBytes(b, s.Extra)
	if s.Video {
		b = putV(b, uint64(s.Width))
		b = putV(b, uint64(s.Height))
		b = putV(b, 0) // sample aspect unknown
		b = putV(b, 0)
		return putV(b, 0) // colour space unknown
	}
	b = putV(b, uint64(s.Rate))
	b = putV(b, 1)
	return putV(b, uint64(s.Channels))
}

// rateInfo tells the rate of pictures in the way of FFmpeg, which the format itself does not: else FFmpeg guesses it from the first times that it sees.
func rateInfo(millihertz int) []byte {
	b := putV(nil, 1) // about the first stream
	b = append(b, 0)  // no chapter: neither a number,
	b = putV(b, 0)    // nor a start,
	b = putV(b, 0)    // nor a length
	b = putV(b, 1)    // one field
	b = putBytes(b, []byte("r_frame_rate"))
	b = append(b, 2) // -1: a text follows
	return putBytes(b, fmt.Appendf(nil, "%d/1000", millihertz))
}

// Write writes one frame of the stream: the parts of its data in a row. PTS is not negative.
func (w *Writer) Write(pts int64, key bool, parts ...[]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	// A synchronisation point before each frame keeps every reader within the distance that the header promises.
	sync := putV(nil, uint64(pts)) // one time base: the time is the time
	sync = putV(sync, 0)           // nothing to go back to
	w.buf = append(w.buf[:0], packet(startSync, sync)...)
	start := len(w.buf)
	flags := uint64(flagCodedPTS | flagSizeMSB | flagChecksum | flagStreamID)
	if key {
		flags |= flagKey
	}
	w.buf = append(w.buf, 0) // frame code
	w.buf = putV(w.buf, flags)
	w.buf = putV(w.buf, 0) // stream
	w.buf = putV(w.buf, uint64(pts)+1<<ptsShift)
	w.buf = putV(w.buf, uint64(size))
	w.buf = binary.BigEndian.AppendUint32(w.buf, checksum(w.buf[start:]))
	for _, p := range parts {
		w.buf = append(w.buf, p...)
	}
	_, err := w.w.Write(w.buf)
	return err
}

// packet wraps a header in its start code, size and checksum.
func packet(start uint64, body []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, start)
	b = putV(b, uint64(len(body)+4))
	if len(body)+4 > longHeader {
		b = binary.BigEndian.AppendUint32(b, checksum(b))
	}
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, checksum(body))
}

// putV appends a number in groups of seven bits, most significant first.
func putV(b []byte, v uint64) []byte {
	n := 1
	for x := v >> 7; x > 0; x >>= 7 {
		n++
	}
	for i := n - 1; i > 0; i-- {
		b = append(b, byte(v>>(7*i))|0x80)
	}
	return append(b, byte(v&0x7f))
}

func putBytes(b, p []byte) []byte { return append(putV(b, uint64(len(p))), p...) }
