package depacket

import (
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/ingest/ingesttest"
	"watershed/sfu/media"
)

// receiver of a stream's H.264.
func receiver(t *testing.T) (*Receiver, *sfu.Layer) {
	t.Helper()
	s := ingesttest.Node(t, nil)
	f := New(&format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: ingesttest.SPS, PPS: ingesttest.PPS})
	_, writers, err := s.Ensure("river", sfu.Spec{}).Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: f.Config}}, Pushed: true})
	require.NoError(t, err)
	return &Receiver{Format: f, Writer: writers[0]}, writers[0].Layer()
}

// packets of pictures, in the way of a camera.
func packets(t *testing.T, from, n int) (all []*rtp.Packet) {
	t.Helper()
	e, err := (&format.H264{PayloadTyp: 96, PacketizationMode: 1}).CreateEncoder()
	require.NoError(t, err)
	for i := from; i < from+n; i++ {
		ps, err := e.Encode(ingesttest.Picture(i))
		require.NoError(t, err)
		for _, p := range ps {
			p.Timestamp = uint32(i * ingesttest.FrameTicks)
			all = append(all, p)
		}
	}
	return all
}

func push(t *testing.T, r *Receiver, ps []*rtp.Packet) {
	t.Helper()
	for _, p := range ps {
		require.NoError(t, r.Receive(p, int64(p.Timestamp), time.Time{}, time.Now()))
	}
}

// A camera that sets no markers: a picture ends with the next one's first packet, and keeps its own time.
func TestWithoutMarkers(t *testing.T) {
	r, l := receiver(t)
	all := packets(t, 0, 20)
	for _, p := range all {
		p.Marker = false
	}
	push(t, r, all)
	ingesttest.Check(t, l, 19)
}

func TestPaddingIsNoPicture(t *testing.T) {
	r, l := receiver(t)
	for _, p := range packets(t, 0, 10) {
		push(t, r, []*rtp.Packet{p, {Header: rtp.Header{Timestamp: p.Timestamp}}})
	}
	ingesttest.Check(t, l, 10)
}

// After a loss the parts of two pictures never mix.
func TestLose(t *testing.T) {
	r, l := receiver(t)
	push(t, r, packets(t, 0, 5))
	begun := packets(t, 5, 1)
	push(t, r, begun[:len(begun)-1])
	r.Lose()
	push(t, r, packets(t, 6, 5))
	frames := ingesttest.Read(t, l, 1, 10)
	require.Equal(t, int64(2*ingesttest.FrameTicks), frames[5].PTS-frames[4].PTS, "picture 5 is gone")
	require.Len(t, frames[5].Units, 1)
}

// What breaks a parser ends that session by an error, not the process.
func TestPanicIsAnError(t *testing.T) {
	r, _ := receiver(t)
	r.Format.decode = func(*rtp.Packet) ([][]byte, error) { panic("index out of range") }
	require.ErrorContains(t, r.Receive(packets(t, 0, 1)[0], 0, time.Time{}, time.Now()), "index out of range")
}

// Whatever RTP a source sends, in whatever format.
func FuzzReceive(f *testing.F) {
	f.Add(byte(0), []byte{0x7c, 0x85, 1, 2, 3}, true)
	f.Add(byte(1), []byte{0x62, 1, 0x93, 1, 2}, false)
	f.Add(byte(2), []byte{0x10, 1, 2}, true)
	f.Fuzz(func(t *testing.T, which byte, data []byte, marker bool) {
		formats := []format.Format{
			&format.H264{PacketizationMode: 1}, &format.H265{}, &format.AV1{}, &format.VP8{}, &format.VP9{}, &format.Opus{ChannelCount: 2},
			&format.G711{SampleRate: 8000, ChannelCount: 1},
		}
		d := New(formats[int(which)%len(formats)])
		for i := 0; len(data) > 0; i++ { // packets of what the first byte says
			n := min(int(data[0])+1, len(data))
			parts, err := d.decode(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i), Marker: marker}, Payload: data[:n]})
			if err == nil && d.Config.Codec.Kind() == media.Video && parts == nil {
				t.Fatal("neither a picture nor a reason")
			}
			data = data[n:]
		}
	})
}
