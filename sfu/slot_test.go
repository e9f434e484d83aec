package sfu

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/stretchr/testify/require"

	"watershed/sfu/answer"
	"watershed/sfu/bwe"
	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/sfu/udpbatch"
)

// plane is a media plane with one shard that does its tasks only when it is told to, so that a test decides what comes first.
type plane struct {
	*SFU
	shard *shard
	sink  *net.UDPConn
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	conns, err := udpbatch.Listen(context.Background(), "127.0.0.1:0", 1)
	require.NoError(t, err)
	sink, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { conns[0].Close(); sink.Close() })
	p := &plane{shard: newShard(0, conns[0]), sink: sink}
	p.SFU = &SFU{shards: []*shard{p.shard}, cfg: Config{Log: slog.New(slog.DiscardHandler), Changed: func(*Stream) {}}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	t.Cleanup(func() { p.stop(); p.tasks.Wait() })
	return p
}

// settle does what is in the shard's mailbox until nothing is left.
func (p *plane) settle() {
	for {
		tasks := p.shard.mail.take(nil)
		if len(tasks) == 0 {
			return
		}
		p.shard.work(tasks)
		p.shard.batch.Flush()
	}
}

// viewer is one with a slot for video and one for sound.
func (p *plane) viewer(t testing.TB) *Viewer {
	t.Helper()
	l, err := leg.Static(p.shard.conn, p.sink.LocalAddr().(*net.UDPAddr).AddrPort(), make([]byte, 16), make([]byte, 12))
	require.NoError(t, err)
	v := &Viewer{sfu: p.SFU, leg: l, shard: p.shard, budget: &bwe.Estimator{}, joined: time.Now()}
	v.Slots = []*Slot{
		{Kind: media.Video, viewer: v, ssrc: 1, rtx: 2, offer: answer.Media{Codecs: map[media.Codec]answer.Payload{media.H264: {PT: 96, RTX: 97, ClockRate: 90000}}}},
		{Kind: media.Audio, viewer: v, ssrc: 3, offer: answer.Media{Codecs: map[media.Codec]answer.Payload{
			media.Opus: {PT: 111, ClockRate: 48000}, media.PCMA: {PT: 8, ClockRate: 8000},
		}}},
	}
	return v
}

// layer adds a layer to the stream's track of its kind.
func (p *plane) layer(st *Stream, label string, cfg media.Config) *Layer {
	k := cfg.Codec.Kind()
	if st.tracks[k] == nil {
		st.tracks[k] = &Track{Kind: k, Stream: st}
	}
	t := st.tracks[k]
	l := st.newLayer(t, label, &cfg, false)
	layers := append(t.Layers(), l)
	t.layers.Store(&layers)
	return l
}

var (
	avc  = media.Config{Codec: media.H264, ClockRate: 90000}
	opus = media.Config{Codec: media.Opus, ClockRate: 48000}
)

// show appends a frame of some packets.
func show(l *Layer, pts int64, key bool, packets int) {
	f := &media.Frame{PTS: pts, DTS: pts, Keyframe: key, Config: l.Config(), Server: time.Now().UnixNano(), Size: 100 * packets}
	for range packets {
		p := make(media.Packet, 112)
		p[0] = 0x80
		f.Packets = append(f.Packets, p)
	}
	l.append(f)
}

// places counts the lists of the plane's shard in which the slot is.
func places(sl *Slot, layers ...*Layer) (n int) {
	for _, l := range layers {
		if t := l.taps[0].Load(); t != nil {
			for _, list := range [][]*Slot{t.slots, t.waiting} {
				for _, x := range list {
					if x == sl {
						n++
					}
				}
			}
		}
	}
	for _, x := range sl.viewer.shard.catching {
		if x == sl {
			n++
		}
	}
	return n
}

// TestSlotThatWasOverrunIsBoundElsewhere: the ring forgets what a slot was catching up with, and before the shard comes to begin again, the viewer
// chooses another stream, or leaves.
func TestSlotThatWasOverrunIsBoundElsewhere(t *testing.T) {
	for name, then := range map[string]func(v *Viewer, other *Stream){
		"another stream": func(v *Viewer, other *Stream) { v.Slots[0].Bind(other, "") },
		"no stream":      func(v *Viewer, _ *Stream) { v.Slots[0].Bind(nil, "") },
		"gone":           func(v *Viewer, _ *Stream) { v.leg.Dead.Store(true); (*viewerLeg)(v).Closed(v.leg, ErrClosed) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			st, other := newStream(p.SFU, "cam"), newStream(p.SFU, "other")
			l, o := p.layer(st, "main", avc), p.layer(other, "main", avc)
			show(l, 0, true, catchupBurst)
			show(l, 3600, false, catchupBurst)
			show(o, 0, true, 1)
			v := p.viewer(t)
			sl := v.Slots[0]
			sl.Bind(st, "")
			p.settle()
			require.Len(t, p.shard.catching, 1)
			for i := range 200 { // a new GOP, longer than the history that is kept of the last
				show(l, int64(i+2)*3600, i == 0 || i == 150, 1)
			}
			p.shard.work(p.shard.mail.take(nil))
			then(v, other)
			p.shard.catchUp(time.Now())
			p.settle()
			want := 0
			if sl.stream != nil {
				want = 1
				require.True(t, sl.Layer() == o, "on another layer")
			}
			require.Equal(t, want, places(sl, l, o), "lists that have the slot")
			require.Nil(t, l.taps[0].Load(), "a tap for nobody")
		})
	}
}

// TestTimestampsGrowFromStreamToStream: also when the next one has shown nothing yet, and its clock is anywhere.
func TestTimestampsGrowFromStreamToStream(t *testing.T) {
	for i, cfg := range []media.Config{avc, opus} {
		t.Run(cfg.Codec.Kind().String(), func(t *testing.T) {
			p := newPlane(t)
			st, other := newStream(p.SFU, "cam"), newStream(p.SFU, "other")
			l, o := p.layer(st, "main", cfg), p.layer(other, "main", cfg)
			v := p.viewer(t)
			sl := v.Slots[i]
			sl.Bind(st, "")
			p.settle()
			show(l, 1<<33-5, true, 1)
			p.settle()
			require.True(t, sl.sentAny)
			before := sl.lastTS
			sl.Bind(other, "")
			p.settle()
			show(o, 17, true, 1)
			p.settle()
			require.True(t, sl.Layer() == o, "on another layer")
			grown := int32(sl.lastTS - before)
			require.Positive(t, grown, "ticks from the one to the other")
			require.Less(t, grown, int32(cfg.ClockRate))
		})
	}
}

// TestLateCallsLeaveNothing: signaling may bind a slot of a viewer that has just gone.
func TestLateCallsLeaveNothing(t *testing.T) {
	p := newPlane(t)
	st := newStream(p.SFU, "cam")
	p.layer(st, "main", avc)
	v := p.viewer(t)
	v.leg.Dead.Store(true)
	(*viewerLeg)(v).Closed(v.leg, ErrClosed)
	v.Slots[0].Bind(st, "")
	p.settle()
	require.Empty(t, st.slots)
	require.Nil(t, v.Slots[0].stream)
}

// TestLayerThatStoppedIsLeft: for one that flows; a viewer whose stream stops altogether keeps the layer that it had, instead of an older picture of another.
func TestLayerThatStoppedIsLeft(t *testing.T) {
	p := newPlane(t)
	st := newStream(p.SFU, "cam")
	high, low := p.layer(st, "high", avc), p.layer(st, "low", avc)
	v := p.viewer(t)
	sl := v.Slots[0]
	old := time.Now().Add(-time.Minute).UnixNano()
	on := func(l *Layer) {
		t.Helper()
		st.checkFlow(time.Now())
		p.settle()
		require.True(t, sl.Layer() == l, "on another layer")
	}
	show(high, 0, true, 1)
	show(low, 0, true, 1)
	sl.Bind(st, "")
	p.settle()
	on(high)
	stop := func(l *Layer) { l.ring.Latest().Server = old }
	stop(high)
	on(low)
	stop(low)
	on(low)
	show(low, 7200, true, 1)
	on(low)
	show(high, 7200, true, 1)
	on(high)
}

// TestSoundDoesNotHideMissingPictures: a camera's sound goes on when its pictures stop, or have no keyframe.
func TestSoundDoesNotHideMissingPictures(t *testing.T) {
	for name, picture := range map[string][][]byte{
		"stopped":     {{0x67, 66, 0, 30}, {0x68, 1}, {0x65, 1, 2}},
		"no keyframe": {{0x41, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			st := newStream(p.SFU, "cam")
			_, writers, err := st.Begin(SessionOptions{Tracks: []TrackSpec{{Config: avc}, {Config: opus}}})
			require.NoError(t, err)
			began := time.Now()
			require.NoError(t, writers[0].Write(Unit{Parts: picture, Arrival: began}))
			for i := range 4 {
				require.NoError(t, writers[1].Write(Unit{Parts: [][]byte{{1}}, PTS: int64(i) * 48000, Arrival: began.Add(time.Duration(i) * time.Second)}))
			}
			st.checkStall(began.Add(stallAfter + time.Second))
			want := map[string]Reason{"stopped": ReasonNoRTP, "no keyframe": ReasonNoKey}
			require.Equal(t, want[name], st.Status().Reason)
		})
	}
}

// TestFeedbackIsBounded: a viewer who floods its shard with feedback fills neither memory nor the mailbox.
func TestFeedbackIsBounded(t *testing.T) {
	p := newPlane(t)
	v := p.viewer(t)
	compound, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.TransportLayerNack{MediaSSRC: 1, Nacks: []rtcp.NackPair{{PacketID: 7, LostPackets: 0xffff}}},
		&rtcp.PictureLossIndication{MediaSSRC: 1},
	})
	require.NoError(t, err)
	for range 3 {
		for range 10_000 {
			v.feedback(compound)
		}
		tasks := p.shard.mail.take(nil)
		require.LessOrEqual(t, len(tasks), maxFeedback)
		require.NotEmpty(t, tasks, "feedback is not read any more")
		p.shard.work(tasks)
	}
}

// FuzzFeedback: whatever a viewer's browser reports, its shard neither breaks nor has its slot in two places.
func FuzzFeedback(f *testing.F) {
	p := newPlane(f)
	st := newStream(p.SFU, "cam")
	l := p.layer(st, "main", avc)
	for i := range 50 {
		show(l, int64(i)*3600, i%25 == 0, 4)
	}
	for _, report := range []rtcp.Packet{
		&rtcp.TransportLayerNack{MediaSSRC: 1, Nacks: []rtcp.NackPair{{PacketID: 3, LostPackets: 0xffff}}},
		&rtcp.PictureLossIndication{MediaSSRC: 1},
		&rtcp.FullIntraRequest{MediaSSRC: 1, FIR: []rtcp.FIREntry{{SSRC: 1}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{1}},
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 1, FractionLost: 9, LastSenderReport: 1, Delay: 1}}},
	} {
		compound, err := report.Marshal()
		require.NoError(f, err)
		f.Add(compound)
	}
	f.Fuzz(func(t *testing.T, compound []byte) {
		v := p.viewer(t)
		sl := v.Slots[0]
		sl.Bind(st, "")
		p.settle()
		v.feedback(compound)
		p.settle()
		require.Equal(t, 1, places(sl, l), "lists that have the slot")
		require.GreaterOrEqual(t, v.Quality().RTT, time.Duration(0))
		require.Less(t, v.Quality().RTT, 16*time.Second)
		require.Less(t, v.Quality().Loss, 1.0)
		sl.Bind(nil, "")
		p.settle()
		require.Zero(t, places(sl, l), "lists that have the slot")
	})
}
