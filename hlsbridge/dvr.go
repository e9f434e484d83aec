package hlsbridge

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"watershed/hlsbridge/archive"
	"watershed/hlsbridge/cmaf"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/media"
)

// history is dvr.json: what of the window can be watched, for the time line of a player. Times are Unix milliseconds.
type history struct {
	Now   int64      `json:"now"`   // this node's clock
	Spans [][2]int64 `json:"spans"` // from and to of what was recorded without interruption, oldest first
}

// seam is how much may be missing between two takes before a time line shows a hole: a take follows another without a pause, but for rounding.
const seam = time.Second

func (b *Bridge) serveHistory(w http.ResponseWriter, r *http.Request, st *sfu.Stream, a *archive.Archive) {
	now := time.Now()
	h := history{Now: now.UnixMilli(), Spans: [][2]int64{}}
	spans, err := a.Between(now.Add(-b.window(st)), now.Add(time.Hour))
	if err != nil {
		b.damaged(w, st, err)
		return
	}
	for _, s := range spans {
		lead := s.Segments[0]
		from, to := lead[0].Start.UnixMilli(), lead[len(lead)-1].End().UnixMilli()
		if n := len(h.Spans); n > 0 && from-h.Spans[n-1][1] < seam.Milliseconds() {
			h.Spans[n-1][1] = to
			continue
		}
		h.Spans = append(h.Spans, [2]int64{from, to})
	}
	body, err := json.Marshal(h)
	if err != nil {
		fail(w, http.StatusInternalServerError, "No time line", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header()["Cache-Control"] = brief
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// reach is how much older than asked for a picture may be: the longest usual GOP, and some.
const reach = 30 * time.Second

// largestSegment that is read to get its first picture: ten seconds of 25 Mb/s.
const largestSegment = 32 << 20

// KeyframeAt finds the last recorded keyframe of a stream at or before a time that begins a segment, and tells its time. It is on disk until load reads it.
func (b *Bridge) KeyframeAt(name id.Stream, t time.Time) (at time.Time, load func() (*media.Frame, error), ok bool) {
	a, err := b.archive(name, false)
	if a == nil || err != nil {
		return at, nil, false
	}
	spans, err := a.Between(t.Add(-reach), t.Add(1))
	if err != nil || len(spans) == 0 || spans[len(spans)-1].Tracks[0].Audio {
		return at, nil, false
	}
	s := spans[len(spans)-1]
	segment := s.Segments[0][len(s.Segments[0])-1]
	return segment.Start, func() (*media.Frame, error) { return keyframe(a, s.Number, s.Tracks[0], segment) }, true
}

// keyframe reads the first picture of a segment.
func keyframe(a *archive.Archive, take uint64, track archive.Track, s archive.Segment) (*media.Frame, error) {
	f, err := a.Piece(take, track.ID)
	if err != nil {
		return nil, fmt.Errorf("recorded picture: %w", err)
	}
	defer f.Close()
	head, data := make([]byte, track.InitSize), make([]byte, min(s.Size, largestSegment))
	for _, piece := range []struct {
		into []byte
		at   int64
	}{{head, 0}, {data, s.Offset}} {
		if _, err := io.ReadFull(io.NewSectionReader(f, piece.at, int64(len(piece.into))), piece.into); err != nil {
			return nil, fmt.Errorf("recorded picture: %w", err)
		}
	}
	cfg, err := cmaf.Config(head)
	if err != nil {
		return nil, fmt.Errorf("recorded picture: %w", err)
	}
	for sample := range cmaf.Samples(data) {
		if sample.Sync {
			return pictureOf(cfg, sample, s.Start), nil
		}
	}
	return nil, fmt.Errorf("recorded picture: the segment of %v has no keyframe", s.Start)
}

// pictureOf a sample: with the parameter sets before it, as a ring has its keyframes.
func pictureOf(cfg *media.Config, s cmaf.Stored, at time.Time) *media.Frame {
	f := &media.Frame{PTS: int64(s.Decode) + int64(s.Offset), DTS: int64(s.Decode), Server: at.UnixNano(), Keyframe: true, Config: cfg}
	for _, u := range append([][]byte{cfg.VPS, cfg.SPS, cfg.PPS}, s.Units()...) {
		if len(u) > 0 {
			f.Units, f.Size = append(f.Units, u), f.Size+len(u)
		}
	}
	return f
}
