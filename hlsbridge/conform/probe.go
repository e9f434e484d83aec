package conform

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
)

// playlist checks one media playlist: as it stands, what it answers to directives, and over time.
func (p *prober) playlist(ctx context.Context, url string, lists []string) {
	where := name(url)
	r, err := p.get(ctx, url, "identity")
	if err != nil || r.status != http.StatusOK {
		p.expect("media", false, where, "status %d, %v", r.status, err)
		return
	}
	m := parseFrom(&r)
	p.typed(where, &r)
	p.static(where, m)
	p.compression(ctx, where, url)
	p.files(ctx, where, m)
	if m.ended {
		p.ended(ctx, where, url)
		return
	}
	if m.partTarget <= 0 {
		return
	}
	p.reports(ctx, where, url, lists)
	p.refusals(ctx, where, url)
	p.reloads(ctx, where, url)
	p.hinted(ctx, where, url)
	p.delta(ctx, where, url)
	p.watch(ctx, where, url, m)
}

func parseFrom(r *response) *media {
	m := parseMedia(r.body)
	m.base = r.url
	return m
}

const eps = 1e-6

// static checks what one playlist says.
func (p *prober) static(where string, m *media) {
	p.expect("grammar", len(m.problems) == 0, where, "%s", strings.Join(m.problems, "; "))
	p.expect("target", m.target >= 1, where, "EXT-X-TARGETDURATION is %v", m.target)
	for _, s := range m.segments {
		p.expect("target", math.Round(s.duration) <= m.target, where, "%s lasts %v, the target is %v", s.uri, s.duration, m.target)
		p.expect("part-order", s.afterPart == "", where, "%s of %s stands behind a part", s.afterPart, s.uri)
	}
	p.expect("version", !m.hasMap || m.version >= 6, where, "EXT-X-MAP needs 6, the playlist says %d", m.version)
	p.expect("version-low", m.version <= 9 || strings.Contains(m.text, "#EXT-X-DEFINE") || strings.Contains(m.text, "RECENTLY-REMOVED-DATERANGES"), where,
		"%d, and nothing in it needs more than 9", m.version)
	p.expect("time", m.ended || hasTime(m), where, "no EXT-X-PROGRAM-DATE-TIME")
	p.times(where, m)
	p.interruptions(where, m)
	p.parts(where, m)
	if m.control == nil {
		p.expect("control", m.partTarget <= 0, where, "no EXT-X-SERVER-CONTROL")
		return
	}
	p.expect("control", m.partTarget <= 0 || m.control["CAN-BLOCK-RELOAD"] == "YES", where, "%s", m.controlText)
	if hold := number(m.control["PART-HOLD-BACK"]); m.partTarget > 0 {
		p.expect("hold-back", hold >= 2*m.partTarget-eps, where, "%v, PART-TARGET is %v", hold, m.partTarget)
		p.expect("hold-back-3", hold >= 3*m.partTarget-eps, where, "%v, PART-TARGET is %v", hold, m.partTarget)
	}
	if hold, ok := m.control["HOLD-BACK"]; ok {
		p.expect("hold-back-whole", number(hold) >= 3*m.target-eps, where, "%s, the target is %v", hold, m.target)
	}
	skip, skips := m.control["CAN-SKIP-UNTIL"]
	if skips {
		p.expect("skip-until", number(skip) >= 6*m.target-eps, where, "%s, the target is %v", skip, m.target)
	}
	_, ranges := m.control["CAN-SKIP-DATERANGES"]
	p.expect("skip-ranges", skips || !ranges, where, "%s", m.controlText)
}

// interruptions checks discontinuities: they are counted if they may leave, and are there when the initialisation changes.
func (p *prober) interruptions(where string, m *media) {
	init, cut := "", false
	for _, s := range append(m.segments[:len(m.segments):len(m.segments)], m.open) {
		cut = cut || s.cut
		if s.cut && !m.ended && !m.typed {
			p.expect("cuts", m.hasCuts, where, "EXT-X-DISCONTINUITY, but no EXT-X-DISCONTINUITY-SEQUENCE")
		}
		if s.init != "" {
			p.expect("map-cut", init == "" || init == s.init || cut, where, "%s became %s without EXT-X-DISCONTINUITY", init, s.init)
			init, cut = s.init, false
		}
	}
}

func hasTime(m *media) bool {
	for _, s := range append(m.segments, m.open) {
		if !s.at.IsZero() {
			return true
		}
	}
	return false
}

// times compares dates with durations.
func (p *prober) times(where string, m *media) {
	for i := 1; i < len(m.segments); i++ {
		a, b := m.segments[i-1], m.segments[i]
		if a.at.IsZero() || b.at.IsZero() || b.cut || a.gap || b.gap {
			continue
		}
		off := b.at.Sub(a.at).Seconds() - a.duration
		p.expect("time-flow", off > -1 && off < .1, where, "%s lasts %v, but the next begins %.3f s later", a.uri, a.duration, b.at.Sub(a.at).Seconds())
	}
}

// parts checks lengths and hints.
func (p *prober) parts(where string, m *media) {
	all := append(append([]segment(nil), m.segments...), m.open)
	any, left := false, m.duration()
	for i, s := range all {
		left -= s.duration
		closed := i < len(m.segments)
		for j, x := range s.parts {
			any = true
			if m.partTarget <= 0 {
				continue
			}
			p.expect("part-long", x.duration <= m.partTarget+eps, where, "%s lasts %v, PART-TARGET is %v", x.uri, x.duration, m.partTarget)
			last := closed && j == len(s.parts)-1
			nextGap := j+1 < len(s.parts) && s.parts[j+1].gap
			if !last && !x.independent && !x.gap && !nextGap && (closed || j < len(s.parts)-1) {
				p.expect("part-short", x.duration >= .85*m.partTarget-eps, where, "%s lasts %v, PART-TARGET is %v", x.uri, x.duration, m.partTarget)
			}
		}
		if closed && len(s.parts) > 0 {
			p.expect("old-parts", left <= 3*m.target+eps, where, "the parts of %s are listed %.1f s from the end", s.uri, left)
		}
	}
	p.expect("part-inf", !any || m.partTarget > 0, where, "parts, but no EXT-X-PART-INF")
	if any {
		n := map[string]int{}
		for _, h := range m.hints {
			n[h["TYPE"]]++
		}
		p.expect("hint", n["PART"] == 1 && n["MAP"] <= 1 || m.ended && len(m.hints) == 0, where, "%d hints of type PART, %d of MAP", n["PART"], n["MAP"])
	}
}

// reports compares what a playlist says of the others with what they are before and after.
func (p *prober) reports(ctx context.Context, where, url string, lists []string) {
	for _, l := range lists {
		if l == url {
			continue
		}
		before, ok1 := p.current(ctx, l)
		m, ok2 := p.current(ctx, url)
		after, ok3 := p.current(ctx, l)
		if !ok1 || !ok2 || !ok3 || before.ended || before.partTarget <= 0 {
			continue
		}
		at := -1
		for i, r := range m.reports {
			if to := resolve(m.base, r["URI"]); to == l || to == before.base {
				at = i
			}
		}
		if at < 0 {
			p.expect("reports", false, where, "none of %s", name(l))
			continue
		}
		msn, part := number(m.reports[at]["LAST-MSN"]), number(m.reports[at]["LAST-PART"])
		least, _ := before.last()
		most, index := after.last()
		p.expect("reports", msn >= float64(least-1) && msn <= float64(most+1), where, "LAST-MSN=%s of %s, which was at %d and then at %d", m.reports[at]["LAST-MSN"], name(l), least, most)
		p.expect("reports", part >= 0 && (msn != float64(most) || part <= float64(index+1)) || index < 0, where, "LAST-PART=%q of %s, which is at part %d of %d", m.reports[at]["LAST-PART"], name(l), index, most)
	}
}

// compression compares the compressed playlist with the plain one. It must not change meanwhile.
func (p *prober) compression(ctx context.Context, where, url string) {
	for range 5 {
		before, err1 := p.get(ctx, url, "identity")
		r, err2 := p.get(ctx, url, "gzip")
		after, err3 := p.get(ctx, url, "identity")
		if err := errors.Join(err1, err2, err3); err != nil {
			p.expect("gzip", ctx.Err() != nil, where, "%v", err)
			return
		}
		p.expect("gzip", r.header.Get("Content-Encoding") == "gzip" && strings.HasPrefix(r.body, "#EXTM3U"), where, "Content-Encoding %q", r.header.Get("Content-Encoding"))
		if before.body == after.body {
			p.expect("gzip", r.body == before.body, where, "compressed it is another playlist than plain")
			return
		}
	}
}

// ended playlists have no future that could be waited for.
func (p *prober) ended(ctx context.Context, where, url string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	full, ok := p.current(ctx, url)
	if !ok {
		return
	}
	r, m := p.reload(ctx, url, fmt.Sprintf("_HLS_msn=%d&_HLS_part=0&_HLS_skip=YES", full.lastComplete()+1))
	p.expect("ended", r.status == http.StatusOK && m.ended && m.skipped == 0, where, "status %d (0: no answer), %d segments skipped", r.status, m.skipped)
}

// files fetches a segment, its parts and its initialisation segment.
func (p *prober) files(ctx context.Context, where string, m *media) {
	p.expect("map", m.hasMap || !strings.Contains(m.text, ".m4s"), where, "no EXT-X-MAP")
	for l := range strings.Lines(m.text) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(l), "#EXT-X-MAP:"); ok {
			r, err := p.get(ctx, resolve(m.base, attributes(list)["URI"]), "identity")
			p.expect("map", err == nil && r.status == http.StatusOK && strings.Contains(r.body, "moov"), where, "%s: status %d", list, r.status)
		}
	}
	for i := len(m.segments) - 1; i >= 0; i-- {
		s := m.segments[i]
		if s.gap || len(s.parts) == 0 {
			continue
		}
		whole, err := p.get(ctx, resolve(m.base, s.uri), "identity")
		p.expect("media", err == nil && whole.status == http.StatusOK && whole.body != "", where, "%s: status %d", s.uri, whole.status)
		var row strings.Builder
		for _, x := range s.parts {
			if x.ranged || x.gap {
				whole.body = "" // not to be compared
				break
			}
			r, err := p.get(ctx, resolve(m.base, x.uri), "identity")
			p.expect("media", err == nil && r.status == http.StatusOK && r.body != "", where, "%s: status %d", x.uri, r.status)
			row.WriteString(r.body)
		}
		p.expect("join", whole.body == "" || row.String() == whole.body, where, "%s has %d bytes, its parts %d", s.uri, len(whole.body), row.Len())
		break
	}
	r, err := p.get(ctx, resolve(m.base, "never-was-here.m4s"), "identity")
	p.expect("unknown-404", err == nil && r.status == http.StatusNotFound, where, "status %d", r.status)
}

// reload asks with directives. A status of zero is no answer.
func (p *prober) reload(ctx context.Context, url, query string) (response, *media) {
	sep := "?"
	if strings.Contains(url, "?") {
		sep = "&"
	}
	r, err := p.get(ctx, url+sep+query, "identity")
	if err != nil {
		r.status = 0
	}
	return r, parseFrom(&r)
}

// current playlist.
func (p *prober) current(ctx context.Context, url string) (*media, bool) {
	r, err := p.get(ctx, url, "identity")
	return parseFrom(&r), err == nil && r.status == http.StatusOK
}

// refusals are answered at once.
func (p *prober) refusals(ctx context.Context, where, url string) {
	m, ok := p.current(ctx, url)
	if !ok {
		return
	}
	refused := func(query string) (int, bool) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		r, _ := p.reload(ctx, url, query)
		return r.status, r.status == http.StatusBadRequest
	}
	status, ok := refused("_HLS_part=0")
	p.expect("part-alone", ok, where, "status %d (0: no answer in 2 s)", status)
	status, ok = refused(fmt.Sprintf("_HLS_msn=%d", m.lastComplete()+5))
	p.expect("far-segment", ok, where, "five segments ahead: status %d (0: no answer in 2 s)", status)

	open, limit := m.lastComplete()+1, 3 // of a segment that is whole, a part beyond the end means one of the next
	if m.partTarget < 1 {
		limit = int(math.Ceil(3 / m.partTarget))
	}
	status, ok = refused(fmt.Sprintf("_HLS_msn=%d&_HLS_part=%d", open, len(m.open.parts)+limit+8))
	if after, still := p.current(ctx, url); ok || still && after.lastComplete() < open {
		p.expect("far-part", ok, where, "%d parts ahead: status %d (0: no answer in 2 s)", limit+9, status)
	}

	msn, _ := m.last()
	r, old := p.reload(ctx, url, "_HLS_msn=0&_HLS_part=0")
	n, _ := old.last()
	p.expect("block-old", r.status == http.StatusOK && n >= msn, where, "status %d, segment %d, earlier %d", r.status, n, msn)
}

// reloads are held until what they ask for is there.
func (p *prober) reloads(ctx context.Context, where, url string) {
	m, ok := p.current(ctx, url)
	if !ok {
		return
	}
	msn, part := m.last()
	r, next := p.reload(ctx, url, fmt.Sprintf("_HLS_msn=%d&_HLS_part=%d", msn, part+1))
	n, k := next.last()
	p.expect("block-part", r.status == http.StatusOK && (n > msn || n == msn && k > part), where,
		"asked for part %d of %d, got status %d and part %d of %d", part+1, msn, r.status, k, n)
	p.expect("cache", cacheable(r.header.Get("Cache-Control")), where, "Cache-Control %q of a blocking reload", r.header.Get("Cache-Control"))

	m, ok = p.current(ctx, url)
	if !ok {
		return
	}
	open := m.lastComplete() + 1
	r, whole := p.reload(ctx, url, fmt.Sprintf("_HLS_msn=%d", open))
	p.expect("block-segment", r.status == http.StatusOK && whole.lastComplete() >= open, where,
		"asked for segment %d, got status %d and %d", open, r.status, whole.lastComplete())
	if s := whole.segment(open); s != nil && whole.lastComplete() == open && len(s.parts) > 0 {
		r, roll := p.reload(ctx, url, fmt.Sprintf("_HLS_msn=%d&_HLS_part=%d", open, len(s.parts)))
		n, _ := roll.last()
		p.expect("block-roll", r.status == http.StatusOK && n > open, where, "status %d, segment %d", r.status, n)
	}
}

// cacheable reports whether caches that many share may keep an answer.
func cacheable(control string) bool {
	age, shared := -1., -1.
	for d := range strings.SplitSeq(strings.ToLower(control), ",") {
		switch key, value, _ := strings.Cut(strings.TrimSpace(d), "="); key {
		case "no-store", "no-cache", "private":
			return false
		case "max-age":
			age = number(value)
		case "s-maxage":
			shared = number(value)
		}
	}
	if shared >= 0 {
		age = shared
	}
	return age > 0
}

// hinted fetches three parts that come next, and looks whether they came.
func (p *prober) hinted(ctx context.Context, where, url string) {
	abandoned, whole, fastest := 0, 0, time.Hour
	end := time.Now().Add(10*time.Second + p.o.Outage)
	for abandoned < 3 && whole < 3 && time.Now().Before(end) { // at the end of a segment one may be abandoned
		m, ok := p.current(ctx, url)
		hint, msn := m.hint("PART"), -1
		var part int
		if msn, part = m.last(); !ok || hint == "" || msn < 0 {
			return
		}
		hint = resolve(m.base, hint)
		r, err := p.get(ctx, hint, "identity")
		reloaded, after := p.reload(ctx, url, fmt.Sprintf("_HLS_msn=%d&_HLS_part=%d", msn, part+1))
		if reloaded.status != http.StatusOK {
			return
		}
		if err == nil && r.status == http.StatusNotFound {
			if !after.interrupted(m) { // the source's doing, not the origin's
				abandoned++
			}
			continue
		}
		whole++
		fastest = min(fastest, r.flow)
		p.expect("hint-whole", err == nil && r.status == http.StatusOK && r.body != "", where, "%s: status %d, %v", hint, r.status, err)
		if next, ok := after.next(msn, part); ok && !after.interrupted(m) {
			p.expect("hint-true", resolve(after.base, next.uri) == hint, where, "%s was hinted at, and %s came", hint, next.uri)
		}
	}
	p.expect("hint-true", abandoned < 3, where, "three hints in a row were abandoned")
	if m, ok := p.current(ctx, url); ok && whole == 3 { // the fastest of three, for the way may be slow
		p.expect("hint-whole", fastest.Seconds() < m.partTarget/2, where, "from the first byte of a part to its last %.3f s passed, PART-TARGET is %v", fastest.Seconds(), m.partTarget)
	}
}

// delta asks for a playlist without what is known.
func (p *prober) delta(ctx context.Context, where, url string) {
	full, ok := p.current(ctx, url)
	if !ok || full.control["CAN-SKIP-UNTIL"] == "" {
		return
	}
	msn, part := full.last()
	r, d := p.reload(ctx, url, fmt.Sprintf("_HLS_msn=%d&_HLS_part=%d&_HLS_skip=YES", msn, part))
	p.expect("delta", r.status == http.StatusOK, where, "status %d", r.status)
	boundary, after := number(full.control["CAN-SKIP-UNTIL"]), 0.
	if d.skipped == 0 {
		skippable := len(full.segments) > 0 && full.duration()-full.segments[0].duration > boundary+eps
		p.expect("delta", !skippable, where, "nothing was skipped, though the first segment is %.1f s from the end, and the boundary %v", full.duration()-full.segments[0].duration, boundary)
		return
	}
	p.expect("version", d.version >= 9, where, "EXT-X-SKIP needs 9, the delta says %d", d.version)
	for _, s := range d.segments {
		after += s.duration
	}
	p.expect("delta-boundary", after >= boundary-eps, where, "only %.1f s are left, the boundary is %v", after, boundary)
	for n := d.sequence; n <= full.lastComplete(); n++ {
		a, b := full.segment(n), d.segment(n)
		if a != nil && b != nil && b.uri != "" && n >= d.sequence+d.skipped {
			p.expect("delta", a.uri == b.uri && a.duration == b.duration, where, "segment %d is %s, in the full playlist %s", n, b.uri, a.uri)
		}
	}
	p.expect("delta", d.lastComplete() >= full.lastComplete(), where, "the delta ends at segment %d, the full playlist at %d", d.lastComplete(), full.lastComplete())
}

// watch follows the playlist by blocking reloads. It was met earlier as first.
func (p *prober) watch(ctx context.Context, where, url string, first *media) {
	before, ok := p.current(ctx, url)
	if ok {
		p.succeeds(where, first, before)
	}
	end := time.Now().Add(p.o.Watch)
	last, grown := time.Now(), time.Time{} // when something new came, and a whole segment
	for n := 0; ok && time.Now().Before(end) && ctx.Err() == nil; n++ {
		msn, part := before.last()
		r, m := p.reload(ctx, url, fmt.Sprintf("_HLS_msn=%d&_HLS_part=%d", msn, part+1))
		now := time.Now()
		if ctx.Err() != nil {
			return
		}
		if r.status != http.StatusOK {
			if m, ok = p.outlast(ctx, url); !ok {
				p.expect("block-part", ctx.Err() != nil, where, "status %d while following", r.status)
				return
			}
			n, now = 0, time.Now()
		}
		interrupted := m.interrupted(before)
		if n > 1 && !interrupted { // the first answer may have been there already
			took := now.Sub(last).Seconds()
			p.expect("cadence", took <= 1.5*m.partTarget+.25, where, "%.2f s without a new part, PART-TARGET is %v", took, m.partTarget)
		}
		if n == 0 || interrupted {
			grown = time.Time{}
		} else if m.lastComplete() > before.lastComplete() {
			took := now.Sub(grown).Seconds()
			p.expect("cadence", grown.IsZero() || took <= 1.5*m.target+.5, where, "%.2f s without a new segment, the target is %v", took, m.target)
			grown = now
		}
		last = now
		p.static(where, m)
		p.succeeds(where, before, m)
		before = m
	}
	if ok && p.o.Outage == 0 {
		p.removed(ctx, where, first, before)
	}
}

// removed fetches a segment that has left the playlist lately: those who were shown it may still be on their way to it.
func (p *prober) removed(ctx context.Context, where string, first, now *media) {
	for n := now.sequence - 1; n >= first.sequence; n-- {
		if s := first.segment(n); s != nil && s.uri != "" && !s.gap {
			r, err := p.get(ctx, resolve(first.base, s.uri), "identity")
			p.expect("removed", ctx.Err() != nil || err == nil && r.status == http.StatusOK, where, "%s has just left the playlist: status %d, %v", s.uri, r.status, err)
			return
		}
	}
}

// outlast waits for an origin that is away to come back.
func (p *prober) outlast(ctx context.Context, url string) (*media, bool) {
	for end := time.Now().Add(p.o.Outage); time.Now().Before(end) && ctx.Err() == nil; {
		if m, ok := p.current(ctx, url); ok {
			return m, true
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil, false
}

// interrupted reports that what is new since an earlier playlist is a gap, follows one, or is of another source: the camera was away, not the origin.
func (m *media) interrupted(before *media) bool {
	msn, part := before.last()
	if s := before.segment(msn); s != nil && part >= 0 && part < len(s.parts) && s.parts[part].gap {
		return true
	}
	for n := max(msn, m.sequence+m.skipped); ; n++ {
		s := m.segment(n)
		if s == nil {
			return false
		}
		if s.gap || s.cut && n > msn {
			return true
		}
		for _, x := range s.parts {
			if x.gap {
				return true
			}
		}
	}
}

// succeeds compares a playlist with the one before.
func (p *prober) succeeds(where string, a, b *media) {
	p.expect("fixed-target", a.target == b.target && a.partTarget == b.partTarget, where,
		"%v and %v became %v and %v", a.target, a.partTarget, b.target, b.partTarget)
	p.expect("fixed-control", a.controlText == b.controlText, where, "%s became %s", a.controlText, b.controlText)
	p.expect("forward", b.sequence >= a.sequence, where, "the media sequence went from %d to %d", a.sequence, b.sequence)
	if b.sequence > a.sequence && !b.ended {
		p.expect("not-vod", !b.typed, where, "segments are removed, and EXT-X-PLAYLIST-TYPE says that none is")
		p.expect("length", b.duration() >= 3*b.target-.5, where, "%.1f s, the target is %v", b.duration(), b.target)
	}
	if b.sequence > a.lastComplete() { // there may have been discontinuities that nobody was shown
		p.expect("forward", b.cuts >= a.cut(a.lastComplete()), where, "with the discontinuities left the sequence would be at %d, it went from %d to %d", a.cut(a.lastComplete()), a.cuts, b.cuts)
	}
	for n := b.sequence; n <= a.lastComplete()+1; n++ {
		x, y := a.segment(n), b.segment(n)
		if x == nil || y == nil {
			continue
		}
		if x.uri != "" {
			p.expect("forward", a.cut(n) == b.cut(n), where, "the discontinuity sequence of segment %d went from %d to %d", n, a.cut(n), b.cut(n))
			p.expect("same-address", x.uri == y.uri && x.duration == y.duration && x.gap == y.gap, where,
				"segment %d was %s of %v s (gap %v), then %s of %v s (gap %v)", n, x.uri, x.duration, x.gap, y.uri, y.duration, y.gap)
		}
		if x.uri != "" || len(x.parts) > 0 { // what stands before them is said
			p.expect("same-address", x.cut == y.cut && (x.at.Equal(y.at) || x.at.IsZero() || y.at.IsZero()), where,
				"segment %d was of %v (discontinuity %v), then of %v (discontinuity %v)", n, x.at, x.cut, y.at, y.cut)
		}
		for i := range min(len(x.parts), len(y.parts)) {
			p.expect("same-address", x.parts[i] == y.parts[i], where, "part %d of %d was %+v, then %+v", i, n, x.parts[i], y.parts[i])
		}
	}
}
