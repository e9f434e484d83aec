// Package cmaf writes single-track CMAF: initialisation segments, and chunks of samples in one allocation each.
//
// A chunk (ISO/IEC 23000-19 section 7.3.2.3) is prft, moof and mdat. It is an LL-HLS part as it stands, and a
// segment is its chunks in a row.
package cmaf

import (
	"encoding/binary"

	"watershed/sfu/media"
)

// Sample is one access unit with its place on the track's clock.
type Sample struct {
	Units    [][]byte
	Duration uint32 // ticks until the next sample is decoded
	Offset   int32  // ticks from decoding to showing
	Sync     bool   // decoding can start here
}

// Chunk is what one moof and mdat carry.
type Chunk struct {
	Codec      media.Codec
	Sequence   uint32 // of the moof; grows within a track
	DecodeTime uint64 // ticks, of the first sample
	Produced   int64  // Unix nanoseconds at which the first sample was captured or arrived; 0 leaves prft out
	Captured   bool   // Produced is the camera's own clock
	Samples    []Sample
}

// Fixed sizes of the boxes written below, in bytes.
const (
	prftLen   = 32
	mfhdLen   = 16
	tfhdLen   = 16
	tfdtLen   = 20
	trunLen   = 20 // and 16 for each sample
	sampleLen = 16
)

// Append writes the chunk behind dst, which it grows at most once.
func (c *Chunk) Append(dst []byte) []byte {
	trun := trunLen + sampleLen*len(c.Samples)
	traf := 8 + tfhdLen + tfdtLen + trun
	moof := 8 + mfhdLen + traf
	data := 0
	for i := range c.Samples {
		data += c.size(&c.Samples[i])
	}
	if need := prftLen + moof + 8 + data; cap(dst)-len(dst) < need {
		dst = append(make([]byte, 0, len(dst)+need), dst...)
	}
	if c.Produced != 0 {
		dst = c.prft(dst)
	}
	dst = box(dst, moof, "moof")
	dst = u32(full(dst, mfhdLen, "mfhd", 0, 0), c.Sequence)
	dst = box(dst, traf, "traf")
	dst = u32(full(dst, tfhdLen, "tfhd", 0, 0x020000), TrackID) // default-base-is-moof
	dst = binary.BigEndian.AppendUint64(full(dst, tfdtLen, "tfdt", 1, 0), c.DecodeTime)
	dst = full(dst, trun, "trun", 1, 0x000f01) // data offset; duration, size, flags and offset of each sample
	dst = u32(u32(dst, uint32(len(c.Samples))), uint32(moof+8))
	for i := range c.Samples {
		s := &c.Samples[i]
		dst = u32(u32(u32(u32(dst, s.Duration), uint32(c.size(s))), s.flags()), uint32(s.Offset))
	}
	dst = box(dst, 8+data, "mdat")
	for i := range c.Samples {
		dst = c.appendData(dst, &c.Samples[i])
	}
	return dst
}

// prft tells when the first sample was made (ISO/IEC 14496-12 section 8.16.5); version 1.
func (c *Chunk) prft(dst []byte) []byte {
	const ntpEpoch = 2208988800 // seconds from 1900 to 1970
	flags := uint32(0)          // the time at which the encoder got it
	if c.Captured {
		flags = 24 // captured, and arbitrary but consistent
	}
	dst = u32(full(dst, prftLen, "prft", 1, flags), TrackID)
	sec, frac := uint64(c.Produced/1e9), uint64(c.Produced%1e9)
	dst = binary.BigEndian.AppendUint64(dst, (sec+ntpEpoch)<<32|frac<<32/1e9)
	return binary.BigEndian.AppendUint64(dst, c.DecodeTime)
}

// Sample flags (ISO/IEC 14496-12 section 8.8.3.1): depends on no other, or on others and cannot be started at.
func (s *Sample) flags() uint32 {
	if s.Sync {
		return 0x02000000
	}
	return 0x01010000
}

// size of a sample in mdat.
func (c *Chunk) size(s *Sample) (n int) {
	for _, u := range s.Units {
		if c.Codec.Kind() == media.Audio {
			n += len(u)
		} else if !InInit(c.Codec, u) {
			n += 4 + len(u)
		}
	}
	return n
}

func (c *Chunk) appendData(dst []byte, s *Sample) []byte {
	for _, u := range s.Units {
		if c.Codec.Kind() == media.Audio {
			dst = append(dst, u...)
		} else if !InInit(c.Codec, u) {
			dst = append(u32(dst, uint32(len(u))), u...)
		}
	}
	return dst
}

// InInit reports a NAL unit that avc1 and hvc1 tracks keep in the initialisation segment, or nowhere: parameter sets and delimiters.
func InInit(codec media.Codec, nal []byte) bool {
	if len(nal) == 0 {
		return true
	}
	if codec == media.H265 {
		t := nal[0] >> 1 & 0x3f
		return t >= 32 && t <= 35 // VPS, SPS, PPS, AUD
	}
	t := nal[0] & 0x1f
	return t >= 7 && t <= 9 // SPS, PPS, AUD
}

func u32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

func box(dst []byte, size int, name string) []byte { return append(u32(dst, uint32(size)), name...) }

func full(dst []byte, size int, name string, version byte, flags uint32) []byte {
	return u32(box(dst, size, name), uint32(version)<<24|flags)
}
