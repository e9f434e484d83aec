package rtsp

import (
	"strings"

	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"

	"watershed/sfu"
	"watershed/sfu/ingest/depacket"
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
