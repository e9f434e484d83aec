package rtsp

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"watershed/sfu"
	"watershed/sfu/ingest/depacket"
	"watershed/sfu/ingest/rtpclock"
)

// track is one format of an SDP that is known here.
type track struct {
	media  *description.Media
	format format.Format
	read   *depacket.Format
}

// tracksOf finds what can be carried: one video, one audio, the first of each.
func tracksOf(desc *description.Session) []*track {
	var found [3]bool // by kind
	var tracks []*track
	for _, m := range desc.Medias {
		if m.IsBackChannel {
			continue
		}
		for _, f := range m.Formats {
			d := depacket.New(f)
			if d == nil {
				continue
			}
			if kind := d.Config.Codec.Kind(); !found[kind] {
				found[kind] = true
				tracks = append(tracks, &track{m, f, d})
				break
			}
		}
	}
	return tracks
}

func specs(tracks []*track) []sfu.TrackSpec {
	var s []sfu.TrackSpec
	for _, t := range tracks {
		s = append(s, sfu.TrackSpec{Config: t.read.Config})
	}
	return s
}

func codecsOf(desc *description.Session) string {
	var names []string
	for _, m := range desc.Medias {
		for _, f := range m.Formats {
			names = append(names, f.Codec())
		}
	}
	return strings.Join(names, ", ")
}

// reception is a track whose packets come. The library's own clock is not used: it gives no time before the first IDR, of which there may be none, and
// never corrects what arrival told it.
type reception struct {
	receiver depacket.Receiver
	clock    *rtpclock.Track
	lost     *atomic.Uint64 // packets of the whole session
	seen     uint64         // of lost
	ssrc     atomic.Uint32
}

func receive(t *track, w *sfu.Writer, clock *rtpclock.Session, lost *atomic.Uint64) *reception {
	return &reception{
		receiver: depacket.Receiver{Format: t.read, Writer: w},
		clock:    clock.Track(t.read.Config.ClockRate), lost: lost,
	}
}

// rtp takes the track's next packet. An error ends the session.
func (r *reception) rtp(pkt *rtp.Packet) error {
	now := time.Now()
	r.ssrc.Store(pkt.SSRC)
	if lost := r.lost.Load(); lost != r.seen {
		r.seen = lost
		r.receiver.Lose()
	}
	pts := r.clock.PTS(pkt.Timestamp, now)
	return r.receiver.Receive(pkt, pts, r.clock.Capture(pts), now)
}

// rtcp follows the sender reports.
func (r *reception) rtcp(pkt rtcp.Packet) {
	if sr, ok := pkt.(*rtcp.SenderReport); ok && sr.SSRC == r.ssrc.Load() && sr.NTPTime != 0 { // RFC 3550 section 6.4.1: 0 if the sender has no clock
		r.clock.Report(rtpclock.NTP(sr.NTPTime), sr.RTPTime, time.Now())
	}
}
