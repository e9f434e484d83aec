package sfu

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/sfu/mediatest"
	"watershed/sfu/rtpfmt"
	"watershed/sfu/udpbatch"
)

// fanout is a shard with viewers whose packets go to a socket that nobody reads: the sending side alone.
type fanout struct {
	conn   *udpbatch.Conn
	shard  *shard
	tap    *tap
	layer  *Layer
	frames []*media.Frame
	n      int
}

func newFanout(t testing.TB, viewers int) *fanout {
	t.Helper()
	conns, err := udpbatch.Listen(context.Background(), "127.0.0.1:0", 1)
	require.NoError(t, err)
	sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { conns[0].Close(); sink.Close() })
	f := &fanout{conn: conns[0], shard: newShard(0, conns[0])}
	st := newStream(&SFU{shards: []*shard{f.shard}}, "cam")
	f.layer = st.newLayer(&Track{Kind: media.Video, Stream: st}, "main", &media.Config{Codec: media.H264, ClockRate: 90000}, false)
	f.tap = f.shard.tapOf(f.layer)
	for i := range viewers {
		l, err := leg.Static(f.conn, sink.LocalAddr().(*net.UDPAddr).AddrPort(), fmt.Appendf(nil, "%016d", i), []byte("salt-of-12-b"))
		require.NoError(t, err)
		v := &Viewer{leg: l, shard: f.shard}
		sl := &Slot{viewer: v, Kind: media.Video, tap: f.tap, ssrc: uint32(i)}
		sl.start(&media.Frame{}, &media.Frame{})
		f.tap.slots = append(f.tap.slots, sl)
	}
	p, err := rtpfmt.New(media.H264)
	require.NoError(t, err)
	for i, au := range mediatest.Clip(t, "river") {
		f.frames = append(f.frames, &media.Frame{Units: au, Packets: p.Packets(au), PTS: int64(i * 3600), Keyframe: i == 0, Config: f.layer.Config()})
	}
	return f
}

// frame sends the clip's next picture to every viewer and returns how many packets that were for one.
func (f *fanout) frame() int {
	src := f.frames[f.n%len(f.frames)]
	frame := *src
	f.n++
	f.layer.ring.Append(&frame)
	f.shard.burst(f.tap)
	f.shard.batch.Flush()
	return len(frame.Packets)
}

// TestFanoutCosts pins what makes sending cheap, by counts: nothing is allocated per packet and viewer, a picture is one message to each
// viewer, and many messages share a system call.
func TestFanoutCosts(t *testing.T) {
	const viewers = 40
	few, many := newFanout(t, 1), newFanout(t, viewers)
	perFrame := func(f *fanout) float64 { return testing.AllocsPerRun(60, func() { f.frame() }) }
	require.Equal(t, perFrame(few), perFrame(many), "allocations grow with viewers")
	if !many.conn.GSO() {
		t.Log("this kernel has no UDP GSO: sends per picture not checked")
		return
	}
	stats := &many.conn.Stats
	messages, calls, n := stats.Messages.Load(), stats.Calls.Load(), 100
	for range n {
		many.frame()
	}
	perViewer := float64(stats.Messages.Load()-messages) / float64(n*viewers)
	require.LessOrEqual(t, perViewer, 1.1, "messages for a picture and viewer")
	perCall := float64(stats.Messages.Load()-messages) / float64(stats.Calls.Load()-calls)
	require.GreaterOrEqual(t, perCall, 15.0, "messages in a system call")
	require.Zero(t, stats.Fallbacks.Load())
}

// BenchmarkFanout shows what each trick is worth: nanoseconds for one packet to one viewer. "one-by-one" sends each datagram as a message of
// its own.
func BenchmarkFanout(b *testing.B) {
	for _, viewers := range []int{1, 100, 1000} {
		for _, variant := range []string{"gso", "one-by-one"} {
			b.Run(fmt.Sprintf("%s/viewers=%d", variant, viewers), func(b *testing.B) {
				f := newFanout(b, viewers)
				if variant != "gso" {
					f.conn.DisableGSO()
				}
				b.ReportAllocs()
				packets := 0
				began := time.Now()
				for packets < b.N {
					packets += f.frame() * viewers
				}
				b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(packets), "ns/packet")
			})
		}
	}
}
