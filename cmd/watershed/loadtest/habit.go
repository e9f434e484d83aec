package loadtest

import (
	"context"
	"sync/atomic"

	"github.com/pion/rtcp"
)

// Habit is how the viewers of a load behave once they have joined.
type Habit string

// Habits. What viewers do amiss must cost them alone: run a second load of proper ones beside, and compare.
const (
	Proper Habit = "proper" // as a browser; "" too
	Deaf   Habit = "deaf"   // stops reading its socket, as a program that hangs; its consent goes on
	Flood  Habit = "flood"  // sends NACKs, PLIs and reports as fast as the machine lets it
)

// take makes a viewer behave so until ctx ends.
func (h Habit) take(ctx context.Context, v *viewer, sent *atomic.Uint64) {
	switch h {
	case Deaf:
		v.peer.StopReading()
	case Flood:
		for ctx.Err() == nil {
			v.flood()
			sent.Add(1)
		}
	}
}

// flood sends one message that asks for as much as a message can: the last 160 packets, a picture, and a report.
func (v *viewer) flood() {
	t := v.peer.Tracks[0]
	nack := &rtcp.TransportLayerNack{MediaSSRC: t.SSRC()}
	newest := uint16(v.newest.Load())
	for i := range uint16(10) { // a pair names 17 packets
		nack.Nacks = append(nack.Nacks, rtcp.NackPair{PacketID: newest - 170 + 17*i, LostPackets: 0xffff})
	}
	v.peer.SendRTCP(
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: t.SSRC()}}},
		nack, &rtcp.PictureLossIndication{MediaSSRC: t.SSRC()},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{t.SSRC()}},
	)
}
