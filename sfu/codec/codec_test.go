package codec

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

var (
	sps1080 = []byte{ // constrained baseline: no reordering
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	spsHigh = []byte{ // high profile, 352 × 288, two pictures of reordering
		0x67, 0x64, 0x00, 0x0c, 0xac, 0x3b, 0x50, 0xb0, 0x4b, 0x42, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x3d, 0x08,
	}
	ppsA   = []byte{0x68, 0xee, 0x3c, 0x80}
	ppsB   = []byte{0x68, 0xee, 0x3c, 0xb0}
	idr    = []byte{0x65, 0x88, 0x84, 0x00}
	slice1 = []byte{0x41, 0x9a, 0x24, 0x6c}
	aud    = []byte{0x09, 0xf0}
)

// Parameter sets precede every keyframe whether the source repeats them or not, delimiters go, and nothing is forwarded that nobody can decode.
func TestParameterSets(t *testing.T) {
	p := NewParser(media.Config{Codec: media.H264, ClockRate: 90000})
	out, key := p.Parse([][]byte{aud, idr})
	require.Empty(t, out, "a keyframe without parameter sets")
	require.False(t, key)

	out, _ = p.Parse([][]byte{sps1080, ppsA})
	require.Empty(t, out, "parameter sets alone are learned, not forwarded")
	first := p.Config()
	require.Equal(t, 1920, first.Width)

	out, key = p.Parse([][]byte{aud, idr})
	require.True(t, key)
	require.Equal(t, [][]byte{sps1080, ppsA, idr}, out)
	require.Same(t, first, p.Config(), "nothing changed")

	out, key = p.Parse([][]byte{sps1080, ppsA, idr})
	require.True(t, key)
	require.Equal(t, [][]byte{sps1080, ppsA, idr}, out, "once, not twice")

	out, key = p.Parse([][]byte{slice1})
	require.False(t, key)
	require.Equal(t, [][]byte{slice1}, out)

	out, _ = p.Parse([][]byte{spsHigh, ppsB, idr})
	require.Equal(t, [][]byte{spsHigh, ppsB, idr}, out)
	require.Greater(t, p.Config().Version, first.Version)
	require.Equal(t, 1920, first.Width, "a Config does not change once it was seen")
}

// A source whose parameter sets allow no reordering is decoded as it is shown; one that goes back has B-frames.
func TestDecodingTimes(t *testing.T) {
	p := NewParser(media.Config{Codec: media.H264, ClockRate: 90000, SPS: sps1080, PPS: ppsA})
	for i := range int64(5) {
		require.Equal(t, i*3600, p.DTS([][]byte{slice1}, i*3600))
	}
	require.False(t, p.Config().BFrames)
	require.Equal(t, int64(4*3600+1), p.DTS([][]byte{slice1}, 3600), "time never stands")
	require.True(t, p.Config().BFrames)

	q := NewParser(media.Config{Codec: media.H264, ClockRate: 90000, SPS: sps1080, PPS: ppsA})
	for _, pts := range []int64{0, 3600 * 3, 3600} {
		q.Shown(pts)
	}
	require.True(t, q.Config().BFrames)
}

// A clock that goes back by more than a picture can is another clock: time goes back with it, for package timeline to see.
func TestClockGoesBack(t *testing.T) {
	p := NewParser(media.Config{Codec: media.H264, ClockRate: 90000, SPS: sps1080, PPS: ppsA})
	p.DTS([][]byte{slice1}, 1_000_000)
	require.Equal(t, int64(5000), p.DTS([][]byte{slice1}, 5000))
	require.False(t, p.Config().BFrames)
}

func TestKeyframes(t *testing.T) {
	for name, c := range map[string]struct {
		codec media.Codec
		units [][]byte
		key   bool
		w, h  int
	}{
		"VP8 key":   {media.VP8, [][]byte{{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00}}, true, 320, 240},
		"VP8 inter": {media.VP8, [][]byte{{0x11, 0x02, 0x00, 1, 2, 3}}, false, 0, 0},
		"VP8 empty": {media.VP8, [][]byte{{}}, false, 0, 0},
		"VP9 short": {media.VP9, [][]byte{{0x82}}, false, 0, 0},
		"AV1 inter": {media.AV1, [][]byte{{0x12, 0}, {0x32, 1, 2}}, false, 0, 0},
		"opus":      {media.Opus, [][]byte{{0xfc}}, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewParser(media.Config{Codec: c.codec, ClockRate: 90000})
			_, key := p.Parse(c.units)
			require.Equal(t, c.key, key)
			require.Equal(t, [2]int{c.w, c.h}, [2]int{p.Config().Width, p.Config().Height})
		})
	}
}

// Whatever a source sends: no panic, parameter sets at the front of every keyframe, and time that only grows.
func FuzzParse(f *testing.F) {
	seed := func(codec byte, units ...[]byte) {
		data := []byte{codec}
		for _, u := range units {
			data = append(append(data, byte(len(u))), u...)
		}
		f.Add(data, int64(3600))
	}
	seed(byte(media.H264), sps1080, ppsA, idr, slice1)
	seed(byte(media.H264), spsHigh, ppsB, idr, slice1)
	seed(byte(media.H265), []byte{0x40, 1, 12}, []byte{0x42, 1, 1}, []byte{0x44, 1, 0xc1}, []byte{0x26, 1, 0xaf})
	seed(byte(media.AV1), []byte{0x12, 0}, []byte{0x0a, 0x0b, 0, 0, 0, 0x42, 0xa7})
	seed(byte(media.VP8), []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00})
	seed(byte(media.VP9), []byte{0x82, 0x49, 0x83, 0x42, 0, 0x77, 0xf0, 0x32, 0x34})
	f.Fuzz(func(t *testing.T, data []byte, step int64) {
		if len(data) == 0 {
			return
		}
		p := NewParser(media.Config{Codec: media.Codec(data[0]%9 + 1), ClockRate: 90000})
		last := int64(-1 << 62)
		pts := int64(0)
		for data = data[1:]; len(data) > 0; {
			var au [][]byte
			for n := int(data[0])%4 + 1; n > 0 && len(data) > 0; n-- {
				size := min(int(data[0]), len(data)-1)
				au, data = append(au, data[1:1+size]), data[1+size:]
			}
			out, key := p.Parse(au)
			cfg := p.Config()
			if key && cfg.Codec == media.H264 && !(bytes.Equal(out[0], cfg.SPS) && bytes.Equal(out[1], cfg.PPS)) {
				t.Fatal("a keyframe without its parameter sets")
			}
			if len(out) == 0 {
				continue
			}
			before := pts
			pts += step % (1 << 20)
			if pts < before-90000 { // its clock began anew
				last = int64(-1 << 62)
			}
			dts := p.DTS(out, pts)
			if dts <= last {
				t.Fatalf("decoding time went from %d to %d", last, dts)
			}
			last = dts
		}
	})
}

// Recovery points are where decoding starts when there is nothing better: no IDR yet, or none for very long.
func TestRecoveryPoints(t *testing.T) {
	recovery := []byte{0x06, 6, 4, 0xd0, 0x80, 0x80, 0x80, 0x80}
	behind := []byte{0x06, 5, 2, 0xaa, 0xbb, 6, 1, 0xc4, 0x80}
	p := NewParser(media.Config{Codec: media.H264, ClockRate: 90000, SPS: sps1080, PPS: ppsA})
	_, key := p.Parse([][]byte{slice1})
	require.False(t, key)
	for _, sei := range [][]byte{recovery, behind} {
		out, key := p.Parse([][]byte{sei, slice1})
		require.True(t, key)
		require.Equal(t, [][]byte{sps1080, ppsA, sei, slice1}, out)
		require.True(t, p.Config().Gradual)
	}
	_, key = p.Parse([][]byte{idr})
	require.True(t, key)
	require.False(t, p.Config().Gradual)
	for i := range longestGOP + 5 {
		_, key = p.Parse([][]byte{recovery, slice1})
		require.Equal(t, i >= longestGOP, key, "picture %d after an IDR", i+1)
	}

	p = NewParser(media.Config{Codec: media.H265, ClockRate: 90000, VPS: []byte{0x40, 1}, SPS: []byte{0x42, 1}, PPS: []byte{0x44, 1}})
	_, key = p.Parse([][]byte{{0x4e, 1, 6, 1, 0xa0, 0x80}, {0x02, 1, 0xd0}})
	require.True(t, key)
}

func FuzzRecoveryPoint(f *testing.F) {
	f.Add([]byte{5, 255, 1, 2, 3})
	f.Add([]byte{255, 255, 6})
	f.Fuzz(func(_ *testing.T, messages []byte) { recoveryPoint(messages) })
}

// A source may use several picture parameter sets side by side: pictures name theirs by its number.
func TestSeveralPictureSets(t *testing.T) {
	other := []byte{0x68, 0x5b, 0x8f, 0x20} // number 1
	p := NewParser(media.Config{Codec: media.H264, ClockRate: 90000})
	out, key := p.Parse([][]byte{sps1080, ppsA, other, idr})
	require.True(t, key)
	require.Equal(t, [][]byte{sps1080, ppsA, other, idr}, out)
	first := p.Config()
	require.Equal(t, ppsA, first.PPS)
	require.Equal(t, [][]byte{other}, first.MorePPS)

	for _, again := range [][][]byte{{idr}, {other, idr}, {ppsA, idr}, {sps1080, other, ppsA, idr}} {
		out, _ = p.Parse(again)
		require.Equal(t, [][]byte{sps1080, ppsA, other, idr}, out)
		require.Same(t, first, p.Config(), "nothing changed")
	}
	out, _ = p.Parse([][]byte{ppsB, idr})
	require.Equal(t, [][]byte{sps1080, ppsB, other, idr}, out, "another of the same number takes its place")
	require.Equal(t, ppsA, first.PPS, "a Config does not change once it was seen")
	out, _ = p.Parse([][]byte{spsHigh, ppsA, idr})
	require.Equal(t, [][]byte{spsHigh, ppsA, idr}, out, "another sequence has its own")
	for i := range 300 {
		p.Parse([][]byte{{0x68, 0, 0x80 | byte(i>>2), byte(i << 6)}, idr})
	}
	require.Less(t, len(p.Config().MorePPS), mostPictureSets)
}
