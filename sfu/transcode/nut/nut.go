// Package nut reads and writes the part of the NUT container that passes between Watershed and an FFmpeg child.
//
// Of FFmpeg's containers it is the one that adds no delay: a frame's size and exact time come before its bytes, so it can be decoded as
// soon as it was written, where Matroska and fragmented MP4 wait for the next frame and MPEG-TS for the next start
// code. It knows every codec, and any clock. One stream is written; all are read. (Format: ffmpeg.org/~michael/nut.txt.)
package nut

import "errors"

// Stream describes one stream of a container.
type Stream struct {
	Video    bool
	FourCC   string // "H264", "Opus", ...; for audio also two bytes of a WAVE format tag
	Num, Den int    // time base: Num/Den seconds a tick
	Extra    []byte // codec-specific data

	Width, Height int // video
	Millihertz    int // video, pictures in a thousand seconds; 0 is not said, and it is not read
	Rate          int // audio, samples a second
	Channels      int // audio
}

// Frame is one frame of a stream.
type Frame struct {
	Stream   int
	PTS      int64 // ticks of the stream's time base
	Keyframe bool
	Data     []byte // owned by whoever asked for the frame
}

// ErrFormat is what every reading error other than of the underlying reader wraps.
var ErrFormat = errors.New("not a NUT stream that is understood here")

const magic = "nut/multimedia container\x00"

// Start codes: a letter pair, then 48 random-looking bits (section "Constants").
const (
	startMain   = 0x4e4d7a561f5f04ad
	startStream = 0x4e5311405bf2f9db
	startSync   = 0x4e4be4adeeca4569
	startInfo   = 0x4e49ab68b596ba78
)

// Flags of a frame (section "Frame flags").
const (
	flagKey        = 1 << 0
	flagCodedPTS   = 1 << 3
	flagStreamID   = 1 << 4
	flagSizeMSB    = 1 << 5
	flagChecksum   = 1 << 6
	flagReserved   = 1 << 7
	flagSideData   = 1 << 8
	flagHeaderIdx  = 1 << 10
	flagMatchTime  = 1 << 11
	flagCoded      = 1 << 12
	flagInvalid    = 1 << 13
	ptsShift       = 7 // of what is written: all times are written in full
	maxDistance    = 65536
	checksumPoly   = 0x04c11db7
	longHeader     = 4096 // packets larger than this have a checksum after their size
	maxFrame       = 32 << 20
	maxHeader      = 1 << 20
	maxStreams     = 16
	maxTimeBases   = 16
	maxElisionSize = 256
)

var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ checksumPoly
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// checksum of the format: CRC-32 with the first bit first and nothing inverted.
func checksum(p []byte) (c uint32) {
	for _, b := range p {
		c = c<<8 ^ crcTable[byte(c>>24)^b]
	}
	return c
}
