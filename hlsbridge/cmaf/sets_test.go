package cmaf

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

// bits are a parameter set as a row of zeros and ones, as the standards' syntax tables have them.
func bits(rows ...string) (nal []byte) {
	all := strings.Join(rows, "")
	for all += "1"; len(all)%8 != 0; {
		all += "0"
	}
	for ; all != ""; all = all[8:] {
		var b byte
		fmt.Sscanf(all[:8], "%b", &b)
		nal = append(nal, b)
	}
	return nal
}

// ue is a number as Exp-Golomb code.
func ue(n uint64) string {
	s := fmt.Sprintf("%b", n+1)
	return strings.Repeat("0", len(s)-1) + s
}

func fixed(n uint64, width int) string { return fmt.Sprintf("%0*b", width, n) }

// avcWith is an SPS of the baseline profile whose reference frames in a cycle of picture order are as many as it says: none of them follows.
func avcWith(cycle uint64) []byte {
	return bits(fixed(0x67, 8), fixed(66, 8), fixed(0xc0, 8), fixed(30, 8), ue(0), ue(0), ue(1), "0", ue(0), ue(0), ue(cycle))
}

// hevcWith is an SPS of H.265 with a table of so many buffers, for the reference decoder.
func hevcWith(buffers uint64) []byte {
	return bits(
		fixed(0x4201, 16), fixed(0, 4), fixed(0, 3), "1", fixed(1, 8), fixed(0x60000000, 32), fixed(0x9000, 16), fixed(0, 32), fixed(93, 8),
		ue(0), ue(1), ue(160), ue(96), "0", ue(0), ue(0), ue(4), "1", ue(0), ue(0), ue(0), ue(0), ue(3), ue(0), ue(3), ue(0), ue(0), "0000", ue(0), "000",
		"1", "00000000", // usability information
		"1", fixed(1, 32), fixed(25, 32), "0", "1", "100", fixed(0, 4), fixed(0, 4), fixed(23, 5), fixed(23, 5), fixed(23, 5), "1", ue(0), ue(buffers-1),
	)
}

// What a camera says of itself may not cost the node more than its bytes.
func TestStrangeParameterSets(t *testing.T) {
	for name, cfg := range map[string]media.Config{
		"a cycle of four billion":     {Codec: media.H264, SPS: avcWith(1<<32 - 2)},
		"a cycle of two billion":      {Codec: media.H264, SPS: avcWith(1 << 31)},
		"one byte":                    {Codec: media.H264, SPS: []byte{0x67}},
		"nothing":                     {Codec: media.H264, SPS: []byte{}},
		"a picture of no size":        {Codec: media.H264, SPS: bits(fixed(0x6742c01e, 32), ue(0), ue(0), ue(2), ue(1), "0", ue(1<<32-2), ue(0), "1100")},
		"pictures wider than a box":   {Codec: media.H264, SPS: bits(fixed(0x6742c01e, 32), ue(0), ue(0), ue(2), ue(1), "0", ue(4096), ue(0), "1100")},
		"more than a box's length":    {Codec: media.H264, SPS: append(bits(fixed(0x6742c01e, 32), ue(0), ue(0), ue(2), ue(1), "0", ue(9), ue(9), "1100"), make([]byte, 1<<16)...)},
		"H.265 in a byte":             {Codec: media.H265, SPS: []byte{0x42}},
		"H.265 without its size":      {Codec: media.H265, SPS: bits(fixed(0x4201, 16), fixed(1, 8), fixed(1, 8), fixed(0x60000000, 32))},
		"H.265 that is another's SPS": {Codec: media.H265, SPS: avcWith(1)},
	} {
		cfg.ClockRate, cfg.VPS, cfg.PPS = 90000, []byte{0x40, 1}, []byte{0x68}
		_, err := Init(&cfg)
		require.Error(t, err, name)
		require.False(t, Carries(&cfg), "%s: it is to be converted, or left out", name)
		require.Empty(t, Codecs(&cfg), name)
	}
	for _, buffers := range []uint64{1, 256, 1 << 31} { // what follows the size does not matter here
		cfg := &media.Config{Codec: media.H265, ClockRate: 90000, VPS: []byte{0x40, 1}, SPS: hevcWith(buffers), PPS: []byte{0x44, 1}}
		if _, err := Init(cfg); err == nil {
			require.Equal(t, "hvc1.1.6.L93.90", Codecs(cfg))
		}
	}
}

// What Init writes of a configuration, Config reads back.
func TestInitOfKnownSets(t *testing.T) {
	for codecs, cfg := range map[string]media.Config{
		"avc1.42C01E":     {Codec: media.H264, SPS: bits(fixed(0x6742c01e, 32), ue(0), ue(0), ue(2), ue(1), "0", ue(9), ue(5), "1100"), PPS: []byte{0x68, 0xce}, Width: 160, Height: 96},
		"avc1.4D001E":     {Codec: media.H264, SPS: bits(fixed(0x674d001e, 32), ue(0), ue(0), ue(2), ue(1), "0", ue(9), ue(5), "1100"), PPS: []byte{0x68, 0xce}, MorePPS: [][]byte{{0x68, 0x5b}, {0x68, 0x6b}}, Width: 160, Height: 96},
		"avc1.F4001E":     {Codec: media.H264, SPS: bits(fixed(0x67f4001e, 32), ue(0), ue(3), "0", ue(0), ue(0), "00", ue(0), ue(2), ue(1), "0", ue(9), ue(5), "1100"), PPS: []byte{0x68, 0xce}, Width: 160, Height: 96},
		"avc1.6E001E":     {Codec: media.H264, SPS: bits(fixed(0x676e001e, 32), ue(0), ue(1), ue(2), ue(2), "00", ue(0), ue(2), ue(1), "0", ue(9), ue(5), "1100"), PPS: []byte{0x68, 0xce}, Width: 160, Height: 96},
		"hvc1.1.6.L93.90": {Codec: media.H265, VPS: []byte{0x40, 1}, SPS: hevcWith(1), PPS: []byte{0x44, 1}, MorePPS: [][]byte{{0x44, 1, 0x50}}, Width: 160, Height: 96},
	} {
		cfg.ClockRate = 90000
		require.True(t, Carries(&cfg), codecs)
		init, err := Init(&cfg)
		require.NoError(t, err, codecs)
		require.Equal(t, codecs, Codecs(&cfg))
		read, err := Config(init)
		require.NoError(t, err, codecs)
		require.Equal(t, &cfg, read, codecs)
	}
}

func FuzzInit(f *testing.F) {
	f.Add(byte(media.H264), []byte{}, avcWith(1), []byte{0x68, 0xce})
	f.Add(byte(media.H264), []byte{}, avcWith(1<<31), []byte{0x68, 0xce})
	f.Add(byte(media.H265), []byte{0x40, 1}, hevcWith(1), []byte{0x44, 1})
	f.Add(byte(media.H265), []byte{0x40, 1}, hevcWith(256), []byte{0x44, 1})
	f.Add(byte(media.AAC), []byte{}, []byte{0x11, 0x90}, []byte{})
	f.Fuzz(func(t *testing.T, codec byte, vps, sps, pps []byte) {
		cfg := &media.Config{Codec: media.Codec(codec), ClockRate: 90000, VPS: vps, SPS: sps, PPS: pps, ASC: sps}
		init, err := Init(cfg)
		if err != nil || cfg.Codec == media.AAC {
			return
		}
		if Codecs(cfg) == "" {
			t.Fatal("an initialisation segment of a codec without a name")
		}
		read, err := Config(init)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read.SPS, sps) || !bytes.Equal(read.PPS, pps) || read.Codec == media.H265 && !bytes.Equal(read.VPS, vps) {
			t.Fatal("other parameter sets")
		}
		again, err := Init(read)
		if err != nil || !bytes.Equal(init, again) {
			t.Fatal("another initialisation segment", err)
		}
	})
}
