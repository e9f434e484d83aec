package hlsbridge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"watershed/hlsbridge/archive"
	"watershed/sfu"
)

// What a recording is served as, below /hls/{stream}/:
//
//	dvr.m3u8                        the last two hours, going on; ?from=TIME is a shorter list for who wants no earlier ones
//	dvr.json                        what of these hours there is, for a player's time line
//	vod.m3u8?from=TIME&to=TIME      a range, ended; times are RFC 3339 or Unix seconds
//	clip.mp4?from=TIME&to=TIME      the same as one file
//	dvr-v0.m3u8?target=4, vod-v0.m3u8?...   their media playlists
//	rec/{take}/v0/init.mp4          an initialisation segment
//	rec/{take}/v0/{offset}-{size}.m4s   a segment: a piece of a file on disk

// A list's target duration may never change (RFC 8216bis section 6.2.1), but a camera may be set to a longer GOP in the middle of its recording. So the
// target is in the address of a dvr list: dvr.m3u8 names what its takes need now, and a list ends before the first take that needs more, which
// is rare; who then asks for dvr.m3u8 again is told the new one. The longest target for all would need nothing of this, but players stay three targets
// behind the end and reload once in a target: half a minute instead of six seconds for most cameras.

// longestRange of a request: a playlist of a day at two-second segments is 5 MB.
const longestRange = 24 * time.Hour

// serveRecording answers requests for recordings; false if the file is not of one.
func (b *Bridge) serveRecording(w http.ResponseWriter, r *http.Request, st *sfu.Stream, file string) bool {
	name, isPlaylist := strings.CutSuffix(file, ".m3u8")
	kind, track, _ := strings.Cut(name, "-")
	piece, isPiece := strings.CutPrefix(file, "rec/")
	if !isPiece && file != "clip.mp4" && file != "dvr.json" && !(isPlaylist && (kind == "dvr" || kind == "vod")) {
		return false
	}
	a, err := b.archive(st.Name, false)
	switch {
	case err != nil:
		b.damaged(w, st, err)
	case a == nil:
		notFound(w, "this stream has no recording")
	case isPiece:
		servePiece(w, r, a, piece)
	case file == "dvr.json":
		b.serveHistory(w, r, st, a)
	default:
		b.serveSpans(w, r, st, a, kind, track, file == "clip.mp4")
	}
	return true
}

func (b *Bridge) damaged(w http.ResponseWriter, st *sfu.Stream, err error) {
	b.cfg.Log.Error("recording cannot be read", "stream", st.Name, "error", err)
	fail(w, http.StatusInternalServerError, "Recording damaged", "the recording cannot be read; the node's log says why")
}

// serveSpans answers with a playlist or a clip of a range.
func (b *Bridge) serveSpans(w http.ResponseWriter, r *http.Request, st *sfu.Stream, a *archive.Archive, kind, track string, clip bool) {
	from, to, query, err := b.rangeOf(r, st, kind)
	if err != nil {
		fail(w, http.StatusBadRequest, "Not a valid range", err.Error())
		return
	}
	spans, err := a.Between(from, to)
	switch {
	case err != nil:
		b.damaged(w, st, err)
	case len(spans) == 0:
		notFound(w, "nothing was recorded then")
	case clip:
		b.serveClip(w, r, st, a, spans)
	case track == "":
		if kind == "dvr" {
			query = strings.TrimSuffix(fmt.Sprintf("target=%d&%s", targetOf(spans), query), "&")
		}
		b.writeText(w, r, recordedIndex(&spans[len(spans)-1], kind, "?"+query))
	default:
		l := &recordedList{spans: spans, track: track, target: targetOf(spans), vod: kind == "vod"}
		if !l.vod {
			l.within(askedTarget(r.URL.Query()))
		}
		d, _ := parseDirectives(r.URL.RawQuery) // of which only a delta is offered here
		text, ok := l.render(d.skip)
		if !ok {
			notFound(w, "the recording has no such track, or longer segments now: dvr.m3u8 tells")
			return
		}
		b.writeText(w, r, text)
	}
}

// askedTarget is the target in a dvr list's address; without one, any take fits.
func askedTarget(q url.Values) int {
	n, err := strconv.Atoi(q.Get("target"))
	if err != nil || n < 1 || n > longestTarget {
		return longestTarget
	}
	return n
}

// targetOf takes: what the longest segment of any needs.
func targetOf(spans []archive.Span) int {
	target := 1
	for i := range spans {
		target = max(target, spans[i].Target)
	}
	return target
}

// rangeOf a request, and the query that names it in the addresses of media playlists.
func (b *Bridge) rangeOf(r *http.Request, st *sfu.Stream, kind string) (from, to time.Time, query string, err error) {
	now, q := time.Now(), r.URL.Query()
	if kind != "dvr" {
		from, to, err = timeRange(q, now)
		return from, to, fmt.Sprintf("from=%s&to=%s", from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano)), err
	}
	from, to = now.Add(-b.window(st)), now.Add(time.Hour) // a stream's clock may be ahead of this one
	if q.Get("from") == "" {
		return from, to, "", nil
	}
	at, err := parseTime(q.Get("from"))
	if err != nil {
		return from, to, "", fmt.Errorf("from: %w", err)
	}
	if at.After(from) {
		from = at
	}
	return from, to, "from=" + strconv.FormatInt(at.Unix(), 10), nil
}

func timeRange(q url.Values, now time.Time) (from, to time.Time, err error) {
	if from, err = parseTime(q.Get("from")); err != nil {
		return from, to, fmt.Errorf("from: %w", err)
	}
	to = now
	if q.Get("to") != "" {
		if to, err = parseTime(q.Get("to")); err != nil {
			return from, to, fmt.Errorf("to: %w", err)
		}
	}
	switch d := to.Sub(from); {
	case d <= 0:
		return from, to, errors.New("to must be later than from")
	case d > longestRange:
		return from, to, errors.New("at most 24 hours at once")
	}
	return from, to, nil
}

func parseTime(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 40); err == nil {
		return time.Unix(n, 0), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, errors.New("use RFC 3339, as 2026-11-20T10:00:00Z, or Unix seconds")
	}
	return t, nil
}

// writeText sends a playlist that was made for this request.
func (b *Bridge) writeText(w http.ResponseWriter, r *http.Request, text []byte) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["Vary"] = hls, brief, vary
	if takesGzip(r) {
		pl := newRenderer().seal(text)
		h["Content-Encoding"] = zipped
		text = pl.zipped
	}
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(text)
	}
}

// recordedIndex is the multivariant playlist of a recording.
func recordedIndex(s *archive.Span, kind, query string) []byte {
	b := []byte("#EXTM3U\n#EXT-X-VERSION:6\n")
	var sound *archive.Track
	peak, codecs := 0, []string{}
	for i := range s.Tracks {
		t := &s.Tracks[i]
		top := 0
		for _, x := range s.Segments[i] {
			top = max(top, int(float64(8*x.Size)/max(x.Duration.Seconds(), .5)))
		}
		peak, codecs = peak+top, append(codecs, t.Codecs)
		if t.Audio && len(s.Tracks) > 1 {
			sound = t
		}
	}
	if sound != nil {
		b = fmt.Appendf(b, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Audio\",DEFAULT=YES,AUTOSELECT=YES,URI=\"%s-%s.m3u8%s\"\n", kind, sound.ID, query)
	}
	t := &s.Tracks[0]
	b = fmt.Appendf(b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,CODECS=\"%s\"", max(1, peak), strings.Join(codecs, ","))
	if !t.Audio {
		b = fmt.Appendf(b, ",RESOLUTION=%dx%d,FRAME-RATE=%.3f", t.Width, t.Height, t.FPS)
	}
	if sound != nil {
		b = append(b, `,AUDIO="a"`...)
	}
	return fmt.Appendf(b, "\n%s-%s.m3u8%s\n", kind, t.ID, query)
}

// listedPiece is a segment of a recording in a playlist.
type listedPiece struct {
	*archive.Segment
	take  uint64
	init  bool   // the take has the track, and so an initialisation segment of it
	begin bool   // of its take
	cuts  uint64 // discontinuities before it: takes that have begun since the piece before
}

// recordedList is a track's media playlist of takes. Every take begins after a discontinuity.
type recordedList struct {
	spans  []archive.Span
	track  string
	target int  // EXT-X-TARGETDURATION
	vod    bool // all of a range
	ended  bool // nothing comes after it
}

// within ends the list before the first take that needs a longer target, and has it say that one.
func (l *recordedList) within(target int) {
	l.target = target
	if i := slices.IndexFunc(l.spans, func(s archive.Span) bool { return s.Target > target }); i >= 0 {
		l.spans, l.ended = l.spans[:i], true
	}
}

// pieces in the order of time; false if no take has the track. All tracks of a recording have equally many, because players match them by their numbers:
// what a take has not is a gap, and so is what a damaged take has had.
func (l *recordedList) pieces() (all []listedPiece, ok bool) {
	for i := range l.spans {
		s := &l.spans[i]
		number := s.Number
		if i > 0 {
			all = append(all, l.lost(&l.spans[i-1], s)...)
			number = all[len(all)-1].take
		}
		k := slices.IndexFunc(s.Tracks, func(t archive.Track) bool { return t.ID == l.track })
		ok = ok || k >= 0
		for n := range s.Segments[0] {
			p := listedPiece{take: s.Number, init: k >= 0, begin: n == 0, cuts: s.Number - number}
			if p.init {
				p.Segment = &s.Segments[k][n]
			} else {
				p.Segment = gapLike(&s.Segments[0][n])
			}
			all, number = append(all, p), s.Number
		}
	}
	return all, ok
}

func gapLike(s *archive.Segment) *archive.Segment {
	return &archive.Segment{Start: s.Start, Duration: s.Duration}
}

// lost are the numbers between two takes that no take has, as gaps over the time between them. No camera makes a segment in less than a second.
func (l *recordedList) lost(before, after *archive.Span) (gaps []listedPiece) {
	lead := before.Segments[0]
	from, to := lead[len(lead)-1].End(), after.Segments[0][0].Start
	n := after.First + uint64(after.From) - before.First - uint64(before.From) - uint64(len(lead))
	if n == 0 || n > uint64(max(0, to.Sub(from)/time.Second)) {
		return nil
	}
	d := min(to.Sub(from)/time.Duration(n), time.Duration(l.target)*time.Second)
	take := min(before.Number+1, after.Number-1)
	for i := range n {
		s := &archive.Segment{Start: from.Add(time.Duration(i) * d), Duration: d}
		gaps = append(gaps, listedPiece{Segment: s, take: take})
	}
	gaps[0].cuts = take - before.Number
	return gaps
}

// render the playlist; false if there is nothing to list. One that goes on offers deltas (section 6.2.5.1), which leave out all but the last six target
// durations: two hours are half a megabyte, again and again.
func (l *recordedList) render(delta bool) ([]byte, bool) {
	all, ok := l.pieces()
	if !ok {
		return nil, false
	}
	first, skipped, version := &l.spans[0], 0, 6
	if delta && !l.vod {
		skipped = skippable(all, func(p listedPiece) time.Duration { return p.Duration }, 6*time.Duration(l.target)*time.Second)
	}
	if skipped > 0 {
		version = 9
	}
	b := fmt.Appendf(nil, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%d\n", version, l.target)
	if l.vod {
		b = append(b, "#EXT-X-PLAYLIST-TYPE:VOD\n"...)
	} else {
		b = fmt.Appendf(b, "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=%d.0\n", 6*l.target)
	}
	b = fmt.Appendf(b, "#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", first.First+uint64(first.From), first.Number)
	if skipped > 0 {
		b = fmt.Appendf(b, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", skipped)
	}
	for n, p := range all[skipped:] {
		b = appendRecorded(b, p, l.track, n+skipped > 0)
	}
	if l.vod || l.ended {
		b = append(b, "#EXT-X-ENDLIST\n"...)
	}
	return b, true
}

// skippable counts the segments that a delta leaves out: those further from the end of the last than the skip boundary.
func skippable[T any](all []T, duration func(T) time.Duration, until time.Duration) (n int) {
	after := time.Duration(0)
	for i := len(all) - 1; i >= 0; i-- {
		if after > until {
			return i + 1
		}
		after += duration(all[i])
	}
	return 0
}

func appendRecorded(b []byte, p listedPiece, track string, follows bool) []byte {
	for range p.cuts {
		b = append(b, "#EXT-X-DISCONTINUITY\n"...)
	}
	if p.init && (p.begin || !follows) {
		b = fmt.Appendf(b, "#EXT-X-MAP:URI=\"rec/%d/%s/init.mp4\"\n", p.take, track)
	}
	if b = appendTime(b, p.Start.UnixNano()); p.Size == 0 {
		b = append(b, "#EXT-X-GAP\n"...)
	}
	b = appendSeconds(append(b, "#EXTINF:"...), p.Duration)
	return fmt.Appendf(b, ",\nrec/%d/%s/%d-%d.m4s\n", p.take, track, p.Offset, p.Size)
}

// servePiece sends {take}/{track}/{offset}-{size}.m4s or init.mp4 from disk.
func servePiece(w http.ResponseWriter, r *http.Request, a *archive.Archive, path string) {
	take, rest, _ := strings.Cut(path, "/")
	track, name, _ := strings.Cut(rest, "/")
	number, err := strconv.ParseUint(take, 10, 63)
	f, offset, size := (*os.File)(nil), int64(0), int64(0)
	if err == nil {
		f, err = a.Piece(number, track)
	}
	if err == nil {
		defer f.Close()
		offset, size, err = a.Extent(number, track, name)
	}
	if err != nil {
		notFound(w, "it was not recorded, or was removed since")
		return
	}
	w.Header()["Content-Type"], w.Header()["Cache-Control"] = videoMP4, forever
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(f, offset, size))
}

// serveClip sends a range as one fragmented MP4, interruptions cut out. A file cannot change its format: then the answer says which ranges can be one.
func (b *Bridge) serveClip(w http.ResponseWriter, r *http.Request, st *sfu.Stream, a *archive.Archive, spans []archive.Span) {
	clip, err := a.Clip(spans)
	var differ *archive.DifferError
	switch {
	case errors.As(err, &differ):
		fail(w, http.StatusConflict, "Format changed", "the stream changed its format in this range, which one file cannot; vod.m3u8 plays it, or ask for one of "+
			rangesText(differ.Ranges))
		return
	case errors.Is(err, fs.ErrNotExist):
		notFound(w, "it was removed just now")
		return
	case err != nil:
		b.damaged(w, st, err)
		return
	}
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = videoMP4, brief
	h.Set("Content-Disposition", `attachment; filename="clip.mp4"`)
	h.Set("Content-Length", strconv.FormatInt(clip.Size, 10))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		clip.WriteTo(w)
	}
}

// rangesText has ranges as queries: of whole segments, so each ends just before the next one's first.
func rangesText(all [][2]time.Time) string {
	var text []string
	for _, r := range all {
		text = append(text, fmt.Sprintf("?from=%s&to=%s", r[0].UTC().Format(time.RFC3339Nano), r[1].UTC().Format(time.RFC3339Nano)))
	}
	return strings.Join(text, " ")
}
