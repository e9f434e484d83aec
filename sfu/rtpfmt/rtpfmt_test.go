package rtpfmt

import (
	"bytes"
	"testing"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

// cut divides bytes into units: a length of 16 bits, then as much as there is.
func cutUnits(data []byte) (units [][]byte) {
	for len(data) > 2 && len(units) < 64 {
		n := int(data[0])<<8 | int(data[1])
		data = data[2:]
		n = min(n, len(data))
		if n > 0 {
			units = append(units, data[:n])
		}
		data = data[n:]
	}
	return units
}

// depacketize is the way back, by the library that RTSP uses.
func depacketize(t *testing.T, f format.Format, packets []media.Packet) (parts [][]byte) {
	t.Helper()
	var decode func(*rtp.Packet) ([][]byte, error)
	switch f := f.(type) {
	case *format.H264:
		d, err := f.CreateDecoder()
		require.NoError(t, err)
		decode = d.Decode
	case *format.H265:
		d, err := f.CreateDecoder()
		require.NoError(t, err)
		decode = d.Decode
	case *format.AV1:
		d, err := f.CreateDecoder()
		require.NoError(t, err)
		decode = d.Decode
	case *format.VP8:
		d, err := f.CreateDecoder()
		require.NoError(t, err)
		decode = func(p *rtp.Packet) ([][]byte, error) { frame, err := d.Decode(p); return [][]byte{frame}, err }
	case *format.VP9:
		d, err := f.CreateDecoder()
		require.NoError(t, err)
		decode = func(p *rtp.Packet) ([][]byte, error) { frame, err := d.Decode(p); return [][]byte{frame}, err }
	}
	for i, p := range packets {
		var q rtp.Packet
		require.NoError(t, q.Unmarshal(p))
		require.LessOrEqual(t, len(q.Payload), MaxPayload)
		require.Equal(t, i == len(packets)-1, q.Marker, "only the last packet has the marker")
		q.SequenceNumber = uint16(65530 + i)
		au, err := decode(&q)
		if i < len(packets)-1 {
			require.Error(t, err, "a picture before its last packet")
			continue
		}
		require.NoError(t, err)
		parts = au
	}
	return parts
}

func nalUnit(header []byte, n int) []byte {
	nal := append(bytes.Clone(header), make([]byte, n)...)
	for i := len(header); i < len(nal); i++ {
		nal[i] = byte(i%250 + 3) // no start code
	}
	return nal
}

// Sizes round a packet's, alone and together: what comes out is what went in.
func TestRoundTripNAL(t *testing.T) {
	sizes := []int{1, 2, 100, MaxPayload - 3, MaxPayload - 2, MaxPayload - 1, MaxPayload, MaxPayload + 1, 2 * MaxPayload, 2*MaxPayload - 5, 50_000}
	for _, c := range []struct {
		codec  media.Codec
		format format.Format
		header []byte
	}{
		{media.H264, &format.H264{PacketizationMode: 1}, []byte{0x65}},
		{media.H265, &format.H265{}, []byte{0x26, 1}},
	} {
		p, err := New(c.codec)
		require.NoError(t, err)
		for _, a := range sizes {
			require.Equal(t, [][]byte{nalUnit(c.header, a)}, depacketize(t, c.format, p.Packets([][]byte{nalUnit(c.header, a)})), "%v of %d", c.codec, a)
			for _, b := range sizes {
				au := [][]byte{nalUnit(c.header, a), nalUnit(c.header, b), nalUnit(c.header, 7)}
				require.Equal(t, au, depacketize(t, c.format, p.Packets(au)), "%v of %d and %d", c.codec, a, b)
			}
		}
	}
}

// All packets of a large picture but the last have one size: the kernel sends them in one call.
func TestEqualFragments(t *testing.T) {
	p, _ := New(media.H264)
	for _, n := range []int{1500, 5000, 9999, 60_000} {
		packets := p.Packets([][]byte{nalUnit([]byte{0x65}, n)})
		for _, q := range packets[:len(packets)-1] {
			require.Len(t, q, len(packets[0]))
		}
		require.LessOrEqual(t, len(packets[len(packets)-1]), len(packets[0]))
		require.Len(t, packets, (n+MaxPayload-3)/(MaxPayload-2), "no more than need be")
	}
}

// TestSoundIsBounded: RTMP lets a publisher call ten megabytes an audio frame; no datagram has more than 64 kB.
func TestSoundIsBounded(t *testing.T) {
	for _, c := range []media.Codec{media.Opus, media.PCMU, media.PCMA} {
		p, err := New(c)
		require.NoError(t, err)
		require.Empty(t, p.Packets([][]byte{make([]byte, 10<<20)}), c)
		require.Len(t, p.Packets([][]byte{make([]byte, 4000)}), 1, c)
	}
}

func TestAudioHasNoMarker(t *testing.T) {
	p, _ := New(media.Opus)
	packets := p.Packets([][]byte{{0xfc, 1, 2}})
	require.Len(t, packets, 1)
	require.False(t, packets[0].Marker())
	require.Equal(t, []byte{0xfc, 1, 2}, packets[0].Payload())
	_, err := New(media.AAC)
	require.Error(t, err)
}

func FuzzH264(f *testing.F) {
	f.Add([]byte{0, 3, 0x67, 1, 2, 0, 2, 0x68, 1, 0x10, 0, 0x65, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzNAL(t, media.H264, &format.H264{PacketizationMode: 1}, cutUnits(data), &h264, func(nal []byte) bool { return nal[0] > 0 && nal[0] < 0x80 && nal[0]&0x1f < 24 && nal[0]&0x1f > 0 })
	})
}

func FuzzH265(f *testing.F) {
	f.Add([]byte{0, 4, 0x40, 1, 2, 3, 0, 4, 0x42, 1, 2, 3, 0x10, 0, 0x26, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzNAL(t, media.H265, &format.H265{}, cutUnits(data), &h265, func(nal []byte) bool { return len(nal) > 1 && nal[0]>>1&0x3f < 48 && nal[0]>>7 == 0 })
	})
}

// fuzzNAL packetizes anything, and requires the same back if it is what the RTP format can carry.
func fuzzNAL(t *testing.T, c media.Codec, f format.Format, units [][]byte, nf *nalFormat, carried func([]byte) bool) {
	p, _ := New(c)
	packets := p.Packets(units)
	var want [][]byte
	for _, u := range units {
		switch {
		case len(u) <= nf.headerLen || nf.drop(u):
		case !carried(u) || bytes.Contains(u, []byte{0, 0, 1}): // not a NAL unit; the library looks for start codes
			return
		default:
			want = append(want, u)
		}
	}
	if want == nil || len(want) > 20 { // the library takes no more in a picture
		return
	}
	require.Equal(t, want, depacketize(t, f, packets))
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00}) // a VP8 keyframe's start
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		for _, c := range []media.Codec{media.VP8, media.VP9} {
			p, _ := New(c)
			packets := p.Packets([][]byte{data})
			if c == media.VP8 {
				require.Equal(t, [][]byte{data}, depacketize(t, &format.VP8{}, packets))
			}
			for _, q := range packets {
				require.LessOrEqual(t, len(q.Payload()), MaxPayload)
			}
		}
		p, _ := New(media.AV1)
		for _, q := range p.Packets(cutUnits(data)) {
			require.LessOrEqual(t, len(q.Payload()), MaxPayload)
		}
	})
}

func TestRoundTripAV1(t *testing.T) {
	p, _ := New(media.AV1)
	for _, n := range []int{10, 1100, 1187, 1188, 1200, 3000, 20_000} {
		tu := [][]byte{{0x0a - 2, 1, 2, 3}, append([]byte{0x30}, nalUnit(nil, n)...)} // sequence header, frame
		require.Equal(t, tu, depacketize(t, &format.AV1{}, p.Packets(tu)), "%d", n)
	}
}

func TestRoundTripVP8(t *testing.T) {
	p, _ := New(media.VP8)
	for _, n := range []int{1, 1187, 1188, 1189, 20_000} {
		frame := nalUnit([]byte{0x10}, n)
		require.Equal(t, [][]byte{frame}, depacketize(t, &format.VP8{}, p.Packets([][]byte{frame})), "%d", n)
	}
}
