// Package flv writes FLV with H.264 and AAC (Adobe Flash Video File Format 10.1, annex E).
package flv

import (
	"encoding/binary"
	"math"
	"time"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu/media"
	"watershed/sfu/timeline"
)

// Types of tags.
const (
	tagAudio  = 8
	tagVideo  = 9
	tagScript = 18
)

// Header says which tracks follow: players wait for those that it promises.
func Header(video, audio bool) []byte {
	flags := byte(0)
	if video {
		flags |= 1
	}
	if audio {
		flags |= 4
	}
	return []byte{'F', 'L', 'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0}
}

// milliseconds on a tag: 32 bits that wrap after 49 days, of which the upper eight stand behind the others.
func milliseconds(at time.Duration) uint32 { return uint32(at.Milliseconds()) }

// tag writes a tag whose body is the pieces in a row, and its size behind it.
func tag(dst []byte, kind byte, at time.Duration, pieces ...[]byte) []byte {
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	ms := milliseconds(at)
	dst = append(dst, kind, byte(size>>16), byte(size>>8), byte(size), byte(ms>>16), byte(ms>>8), byte(ms), byte(ms>>24), 0, 0, 0)
	for _, p := range pieces {
		dst = append(dst, p...)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(11+size))
}

// Metadata is the script tag onMetaData. A nil configuration is a track that is not there.
func Metadata(video, audio *media.Config, fps float64) []byte {
	b := append([]byte{2, 0, 10}, "onMetaData"...)
	var properties []byte
	n := uint32(0)
	put := func(name string, v float64) {
		n++
		properties = append(properties, 0, byte(len(name)))
		properties = append(append(properties, name...), 0)
		properties = binary.BigEndian.AppendUint64(properties, math.Float64bits(v))
	}
	if video != nil {
		put("width", float64(video.Width))
		put("height", float64(video.Height))
		put("framerate", fps)
		put("videocodecid", 7)
	}
	if audio != nil {
		put("audiocodecid", 10)
		put("audiosamplerate", float64(audio.ClockRate))
	}
	b = binary.BigEndian.AppendUint32(append(b, 8), n)
	b = append(append(b, properties...), 0, 0, 9)
	return tag(nil, tagScript, 0, b)
}

// Configuration is the tag that precedes the first frame of a configuration.
func Configuration(cfg *media.Config, at time.Duration) []byte {
	if cfg.Codec == media.AAC {
		return tag(nil, tagAudio, at, []byte{0xaf, 0}, cfg.ASC)
	}
	sps, pictures := cfg.SPS, append([][]byte{cfg.PPS}, cfg.MorePPS...)
	record := []byte{1, sps[1], sps[2], sps[3], 0xff, 0xe1, byte(len(sps) >> 8), byte(len(sps))} // ISO/IEC 14496-15 section 5.3.3.1
	record = append(append(record, sps...), byte(len(pictures)))
	for _, pps := range pictures {
		record = append(append(record, byte(len(pps)>>8), byte(len(pps))), pps...)
	}
	return tag(nil, tagVideo, at, []byte{0x17, 0, 0, 0, 0}, record)
}

// Frame appends a frame's tag. at is its decoding time from the file's beginning.
func Frame(dst []byte, f *media.Frame, at time.Duration) []byte {
	if f.Config.Codec == media.AAC {
		return tag(dst, tagAudio, at, append([][]byte{{0xaf, 1}}, f.Units...)...)
	}
	kind := byte(0x27)
	if f.Keyframe {
		kind = 0x17
	}
	offset := uint32(timeline.Duration(f.PTS-f.DTS, f.Config.ClockRate).Milliseconds())
	pieces := [][]byte{{kind, 1, byte(offset >> 16), byte(offset >> 8), byte(offset)}}
	for _, u := range f.Units {
		if !cmaf.InInit(media.H264, u) {
			pieces = append(pieces, binary.BigEndian.AppendUint32(nil, uint32(len(u))), u)
		}
	}
	return tag(dst, tagVideo, at, pieces...)
}
