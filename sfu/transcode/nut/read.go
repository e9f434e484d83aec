package nut

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Reader reads frames as they come.
type Reader struct {
	r       *bufio.Reader
	codes   [256]frameCode
	bases   [][2]uint64
	streams []stream
	want    int      // streams that the header promises
	elided  [][]byte // headers that frames leave out
}

type frameCode struct {
	flags    uint64
	stream   uint64
	mul, lsb uint64
	delta    int64
	reserved uint64
	header   uint64
}

type stream struct {
	info  Stream
	base  int
	shift uint64
	last  int64
	known bool
}

// NewReader reads the headers; it returns when the first frame can be read.
func NewReader(r io.Reader) (*Reader, error) {
	n := &Reader{r: bufio.NewReaderSize(r, 64<<10)}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(n.r, head); err != nil {
		return nil, err
	}
	if string(head) != magic {
		return nil, fmt.Errorf("%w: no magic", ErrFormat)
	}
	for n.want == 0 || !n.complete() {
		code, err := n.r.ReadByte()
		if err != nil {
			return nil, err
		}
		if code != 'N' {
			return nil, fmt.Errorf("%w: a frame before all headers", ErrFormat)
		}
		if err := n.readPacket(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *Reader) complete() bool {
	for i := range n.streams {
		if !n.streams[i].known {
			return false
		}
	}
	return true
}

// Streams that the container has.
func (n *Reader) Streams() []Stream {
	var all []Stream
	for i := range n.streams {
		all = append(all, n.streams[i].info)
	}
	return all
}

// Next reads until the next frame is complete.
func (n *Reader) Next() (Frame, error) {
	for {
		code, err := n.r.ReadByte()
		if err != nil {
			return Frame{}, err
		}
		if code == 'N' {
			if err := n.readPacket(); err != nil {
				return Frame{}, err
			}
			continue
		}
		return n.readFrame(code)
	}
}

// readPacket reads a header or a synchronisation point whose first byte, 'N', was read, and skips what is not needed.
func (n *Reader) readPacket() error {
	var rest [7]byte
	if _, err := io.ReadFull(n.r, rest[:]); err != nil {
		return unexpected(err)
	}
	start := binary.BigEndian.Uint64(append([]byte{'N'}, rest[:]...))
	size, err := n.v()
	if err != nil {
		return err
	}
	if size < 4 || size > maxHeader {
		return fmt.Errorf("%w: a header of %d bytes", ErrFormat, size)
	}
	if size > longHeader {
		if _, err := n.r.Discard(4); err != nil {
			return unexpected(err)
		}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(n.r, body); err != nil {
		return unexpected(err)
	}
	if checksum(body) != 0 { // over data and checksum it is zero
		return fmt.Errorf("%w: a header's checksum is wrong", ErrFormat)
	}
	f := fields{b: body[:size-4]}
	switch start {
	case startMain:
		n.readMain(&f)
	case startStream:
		n.readStream(&f)
	case startSync:
		n.readSync(&f)
	}
	return f.err
}

func (n *Reader) readMain(f *fields) {
	if version := f.v(); version != 3 {
		f.fail("version %d", version)
		return
	}
	streams := f.v()
	f.v() // max_distance
	bases := f.v()
	if streams == 0 || streams > maxStreams || bases == 0 || bases > maxTimeBases {
		f.fail("%d streams, %d time bases", streams, bases)
		return
	}
	n.bases = n.bases[:0]
	for range bases {
		num, den := f.v(), f.v()
		if num == 0 || den == 0 || num > 1<<31 || den > 1<<31 {
			f.fail("time base %d/%d", num, den)
			return
		}
		n.bases = append(n.bases, [2]uint64{num, den})
	}
	n.readCodes(f)
	n.elided = [][]byte{nil}
	for i := f.v(); i > 0 && f.err == nil; i-- {
		h := f.bytes()
		if len(n.elided) > 127 || len(h) > maxElisionSize {
			f.fail("too many elision headers")
		}
		n.elided = append(n.elided, h)
	}
	if f.err == nil && n.want == 0 { // it is repeated now and then
		n.want = int(streams)
		n.streams = make([]stream, streams)
	}
}

// readCodes reads the table of frame codes (section "Main header"): runs of codes that differ in size.
func (n *Reader) readCodes(f *fields) {
	c := frameCode{mul: 1}
	for i := 0; i < 256 && f.err == nil; {
		c.flags = f.v()
		fields := f.v()
		c.lsb, c.reserved = 0, 0
		if fields > 0 {
			c.delta = f.s()
		}
		if fields > 1 {
			c.mul = f.v()
		}
		if fields > 2 {
			c.stream = f.v()
		}
		if fields > 3 {
			c.lsb = f.v()
		}
		if fields > 4 {
			c.reserved = f.v()
		}
		count := c.mul - c.lsb
		if fields > 5 {
			count = f.v()
		}
		if fields > 6 {
			f.s() // match time, which only seeking uses
		}
		if fields > 7 {
			c.header = f.v()
		}
		for j := uint64(8); j < fields && f.err == nil; j++ {
			f.v()
		}
		if count == 0 || count > 256 || c.mul > maxFrame || c.lsb > maxFrame {
			f.fail("frame code table")
			return
		}
		first := c.lsb
		for j := uint64(0); j < count && i < 256; i++ {
			if i == 'N' {
				n.codes[i].flags = flagInvalid
				continue
			}
			c.lsb = first + j
			n.codes[i] = c
			j++
		}
	}
}

func (n *Reader) readStream(f *fields) {
	id := f.v()
	if id >= uint64(len(n.streams)) {
		f.fail("stream %d", id)
		return
	}
	s := stream{known: true}
	class := f.v()
	s.info.Video = class == 0
	s.info.FourCC = string(f.bytes())
	base := f.v()
	s.shift = f.v()
	f.v() // max_pts_distance
	f.v() // decode_delay
	f.v() // flags
	s.info.Extra = f.bytes()
	if base >= uint64(len(n.bases)) || s.shift >= 16 {
		f.fail("stream header")
		return
	}
	s.base = int(base)
	s.info.Num, s.info.Den = int(n.bases[base][0]), int(n.bases[base][1])
	switch class {
	case 0:
		s.info.Width, s.info.Height = int(f.v()&0xffff), int(f.v()&0xffff)
	case 1:
		rate, den := f.v(), f.v()
		if den != 0 {
			s.info.Rate = int(rate / den & 0xffffffff)
		}
		s.info.Channels = int(f.v() & 0xff)
	}
	if f.err == nil {
		n.streams[id] = s
	}
}

// readSync sets every stream's clock, from which short times count.
func (n *Reader) readSync(f *fields) {
	v := f.v()
	if len(n.bases) == 0 {
		f.fail("a synchronisation point before the header")
		return
	}
	from := n.bases[v%uint64(len(n.bases))]
	t := float64(v/uint64(len(n.bases))) * float64(from[0]) / float64(from[1])
	for i := range n.streams {
		s := &n.streams[i]
		if s.known {
			to := n.bases[s.base]
			if to == from {
				s.last = int64(v / uint64(len(n.bases)))
			} else {
				s.last = int64(t * float64(to[1]) / float64(to[0]))
			}
		}
	}
}

func (n *Reader) readFrame(code byte) (Frame, error) {
	c := n.codes[code]
	flags := c.flags
	bad := func(what string) (Frame, error) { return Frame{}, fmt.Errorf("%w: %s", ErrFormat, what) }
	if flags&flagInvalid != 0 {
		return bad("invalid frame code")
	}
	var err error
	number := func(flag, otherwise uint64) uint64 {
		if flags&flag == 0 || err != nil {
			return otherwise
		}
		var v uint64
		v, err = n.v()
		return v
	}
	flags ^= number(flagCoded, 0)
	flags &^= flagCoded
	id := number(flagStreamID, c.stream)
	if id >= uint64(len(n.streams)) {
		return bad("unknown stream")
	}
	s := &n.streams[id]
	pts := s.last + c.delta
	if coded := number(flagCodedPTS, 0); flags&flagCodedPTS != 0 {
		pts = s.full(coded)
	}
	size := c.lsb
	if msb := number(flagSizeMSB, 0); flags&flagSizeMSB != 0 {
		if msb > maxFrame {
			return bad("a frame too large")
		}
		size += msb * c.mul
	}
	number(flagMatchTime, 0)
	header := number(flagHeaderIdx, c.header)
	for i := number(flagReserved, c.reserved); i > 0 && err == nil; i-- {
		if i > 64 {
			return bad("too many reserved fields")
		}
		_, err = n.v()
	}
	if err != nil {
		return Frame{}, err
	}
	if flags&flagChecksum != 0 {
		if _, err := n.r.Discard(4); err != nil {
			return Frame{}, unexpected(err)
		}
	}
	if flags&flagSideData != 0 || header >= uint64(len(n.elided)) {
		return bad("side data or an unknown elision header")
	}
	prefix := n.elided[header]
	if size > longHeader { // section "Elision headers": long frames leave nothing out
		prefix = nil
	}
	if size > maxFrame || size < uint64(len(prefix)) {
		return bad("a frame of impossible size")
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(n.r, data[copy(data, prefix):]); err != nil {
		return Frame{}, unexpected(err)
	}
	s.last = pts
	return Frame{Stream: int(id), PTS: pts, Keyframe: flags&flagKey != 0, Data: data}, nil
}

// full completes a time of which only the low bits may have been written (section "pts").
func (s *stream) full(coded uint64) int64 {
	if coded >= 1<<s.shift {
		return int64(coded - 1<<s.shift)
	}
	mask := int64(1)<<s.shift - 1
	delta := s.last - mask/2
	return (int64(coded)-delta)&mask + delta
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// v reads a number as putV writes it.
func (n *Reader) v() (v uint64, err error) {
	for range 10 {
		b, err := n.r.ReadByte()
		if err != nil {
			return 0, unexpected(err)
		}
		v = v<<7 | uint64(b&0x7f)
		if b&0x80 == 0 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: a number too long", ErrFormat)
}

// fields of a header, read in turn; after a failure all are zero.
type fields struct {
	b   []byte
	err error
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
	}
	f.b = nil
}

func (f *fields) v() (v uint64) {
	for i, b := range f.b {
		if i == 10 {
			break
		}
		v = v<<7 | uint64(b&0x7f)
		if b&0x80 == 0 {
			f.b = f.b[i+1:]
			return v
		}
	}
	f.fail("a header is cut short")
	return 0
}

// s reads a signed number: 0, 1, -1, 2, ... (section "Definitions").
func (f *fields) s() int64 {
	v := f.v() + 1
	if v&1 == 1 {
		return -int64(v >> 1)
	}
	return int64(v >> 1)
}

func (f *fields) bytes() []byte {
	size := f.v()
	if size > uint64(len(f.b)) {
		f.fail("a header is cut short")
		return nil
	}
	p := f.b[:size:size]
	f.b = f.b[size:]
	return p
}
