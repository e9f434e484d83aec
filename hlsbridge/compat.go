package hlsbridge

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu/media"
)

// Old players know HLS as MPEG-TS only. compat.m3u8 lists the whole segments of the best pictures and the sound, {epoch}/ts/{msn}.ts. They are made
// of the CMAF segments when somebody asks; few do, and caches keep them.

// compat lists what every rendition has whole.
func (g *generation) compat() []byte {
	lead := g.views[0]
	end := lead.lastComplete
	if sound := g.sound(); sound != nil {
		end = min(end, sound.lastComplete)
	}
	b := fmt.Appendf(nil, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:%d\n", g.plan.target)
	header := false
	for _, s := range lead.segments {
		if s.msn < g.head || s.msn > end || s.gap && !header {
			continue
		}
		if !header {
			b = fmt.Appendf(b, "#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", s.msn, g.cutsBefore(s.msn))
			header = true
		}
		if s.cut {
			b = append(b, "#EXT-X-DISCONTINUITY\n"...)
		}
		b = appendTime(b, s.wall)
		if s.gap {
			b = append(b, "#EXT-X-GAP\n"...)
		}
		b = append(appendSeconds(append(b, "#EXTINF:"...), s.duration), ",\n"...)
		b = fmt.Appendf(b, "%s/ts/%d.ts\n", g.epoch, s.msn)
	}
	if !header {
		return nil
	}
	return b
}

func (g *generation) cutsBefore(msn uint64) uint64 {
	n := g.cuts
	for _, s := range g.views[0].segments {
		if s.msn >= g.head && s.msn < msn && s.cut {
			n++
		}
	}
	return n
}

// sound is the view of the sound, nil if there is none beside pictures.
func (g *generation) sound() *view {
	if last := g.views[len(g.views)-1]; len(g.views) > 1 && last.track.Audio {
		return last
	}
	return nil
}

// serveCompat answers for compat.m3u8 and its segments; false if the file is neither.
func (b *Bridge) serveCompat(w http.ResponseWriter, r *http.Request, g *generation, file string) bool {
	if file == "compat.m3u8" {
		if list := g.compat(); list != nil {
			b.writeText(w, r, list)
		} else {
			unavailable(w, "the first whole segment is on its way")
		}
		return true
	}
	number, ok := strings.CutPrefix(file, g.epoch+"/ts/")
	number, ts := strings.CutSuffix(number, ".ts")
	msn, err := strconv.ParseUint(number, 10, 63)
	if !ok || !ts || err != nil {
		return false
	}
	body, err := g.transport(msn)
	if err != nil {
		notFound(w, err.Error())
		return true
	}
	w.Header()["Content-Type"], w.Header()["Cache-Control"] = mpeg2, g.plan.cacheSegment
	writeBodies(w, r, [][]byte{body})
	return true
}

var mpeg2 = []string{"video/mp2t"}

// transport makes a segment's MPEG-TS.
func (g *generation) transport(msn uint64) ([]byte, error) {
	views := []*view{g.views[0]}
	if s := g.sound(); s != nil {
		views = append(views, s)
	}
	var out bytes.Buffer
	buffered := bufio.NewWriter(&out)
	w := &mpegts.Writer{W: buffered}
	var frames []tsFrame
	for i, v := range views {
		s := v.segment(msn)
		if s == nil || !s.complete || s.gap {
			return nil, errors.New("the playlist lists what is here now")
		}
		cfg := v.configs[s.init]
		track, err := tsTrack(cfg, i)
		if err != nil {
			return nil, err
		}
		w.Tracks = append(w.Tracks, track)
		for _, p := range s.parts {
			for x := range cmaf.Samples(p.body) {
				frames = append(frames, tsFrame{track, cfg, x, float64(x.Decode) / float64(cfg.ClockRate)})
			}
		}
	}
	if err := w.Initialize(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(frames, func(a, b tsFrame) int { return cmp.Compare(a.at, b.at) })
	for _, f := range frames {
		if err := f.write(w); err != nil {
			return nil, err
		}
	}
	err := buffered.Flush()
	return out.Bytes(), err
}

func tsTrack(cfg *media.Config, i int) (*mpegts.Track, error) {
	t := &mpegts.Track{PID: uint16(256 + i)}
	switch cfg.Codec {
	case media.H264:
		t.Codec = &codecs.H264{}
	case media.H265:
		t.Codec = &codecs.H265{}
	default:
		var asc mpeg4audio.AudioSpecificConfig
		if err := asc.Unmarshal(cfg.ASC); err != nil {
			return nil, err
		}
		t.Codec = &codecs.MPEG4Audio{Config: asc}
	}
	return t, nil
}

// tsFrame is a sample on its way from one container to the other.
type tsFrame struct {
	track *mpegts.Track
	cfg   *media.Config
	cmaf.Stored
	at float64 // seconds
}

// write sends the frame. The clock of MPEG-TS has 33 bits; the writer lets it wrap.
func (f *tsFrame) write(w *mpegts.Writer) error {
	dts := int64(f.Decode) * 90000 / int64(f.cfg.ClockRate)
	pts := dts + int64(f.Offset)*90000/int64(f.cfg.ClockRate)
	if f.cfg.Codec == media.AAC {
		return w.WriteMPEG4Audio(f.track, pts, [][]byte{f.Data})
	}
	units := f.Units()
	if f.Sync {
		units = append(f.cfg.ParameterSets(), units...)
	}
	switch {
	case len(units) == 0:
		return nil
	case f.cfg.Codec == media.H265:
		return w.WriteH265(f.track, pts, dts, units)
	}
	return w.WriteH264(f.track, pts, dts, units)
}
