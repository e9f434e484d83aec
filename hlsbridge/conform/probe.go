package conform

import (
	"context"
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
	m := parseMedia(r.body)
	p.typed(where, &r)
	p.static(where, m)
	p.reports(where, url, m, lists)
	p.compression(ctx, where, url)
	p.files(ctx, where, url, m)
	if m.ended || m.partTarget <= 0 {
		return
	}
	p.refusals(ctx, where, url)
	p.reloads(ctx, where, url)
	p.hinted(ctx, where, url)
	p.delta(ctx, where, url)
	p.watch(ctx, where, url)
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
	p.expect("not-vod", !m.vod || m.ended, where, "EXT-X-PLAYLIST-TYPE in a live playlist")
	p.expect("time", m.ended || hasTime(m), where, "no EXT-X-PROGRAM-DATE-TIME")
	p.expect("cuts", m.ended || m.hasCuts || m.sequence == 0, where, "no EXT-X-DISCONTINUITY-SEQUENCE")
	p.expect("length", m.ended || m.duration() >= 3*m.target-.5 || m.sequence == 0, where, "%.1f s, the target is %v", m.duration(), m.target)
	p.times(where, m)
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
	if skip, ok := m.control["CAN-SKIP-UNTIL"]; ok {
		p.expect("skip-until", number(skip) >= 6*m.target-eps, where, "%s, the target is %v", skip, m.target)
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
		p.expect("time-flow", math.Abs(off) < .1, where, "%s lasts %v, but the next begins %.3f s later", a.uri, a.duration, b.at.Sub(a.at).Seconds())
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
		n := 0
		for _, h := range m.hints {
			if h["TYPE"] == "PART" {
				n++
			}
		}
		p.expect("hint", m.ended && n == 0 || !m.ended && n == 1, where, "%d hints of type PART", n)
	}
}

func (p *prober) reports(where, url string, m *media, lists []string) {
	if m.partTarget <= 0 || m.ended {
		return
	}
	for _, l := range lists {
		if l == url {
			continue
		}
		ok := false
		for _, r := range m.reports {
			ok = ok || resolve(url, r["URI"]) == l && r["LAST-MSN"] != "" && r["LAST-PART"] != ""
		}
		p.expect("reports", ok, where, "none of %s", name(l))
	}
}

func (p *prober) compression(ctx context.Context, where, url string) {
	r, err := p.get(ctx, url, "gzip")
	if err != nil {
		p.expect("gzip", false, where, "%v", err)
		return
	}
	p.expect("gzip", r.header.Get("Content-Encoding") == "gzip" && strings.HasPrefix(r.body, "#EXTM3U"), where, "Content-Encoding %q", r.header.Get("Content-Encoding"))
}

// files fetches a segment, its parts and its initialisation segment.
func (p *prober) files(ctx context.Context, where, url string, m *media) {
	p.expect("map", m.hasMap || !strings.Contains(m.text, ".m4s"), where, "no EXT-X-MAP")
	for l := range strings.Lines(m.text) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(l), "#EXT-X-MAP:"); ok {
			r, err := p.get(ctx, resolve(url, attributes(list)["URI"]), "identity")
			p.expect("map", err == nil && r.status == http.StatusOK && strings.Contains(r.body, "moov"), where, "%s: status %d", list, r.status)
		}
	}
	for i := len(m.segments) - 1; i >= 0; i-- {
		s := m.segments[i]
		if s.gap || len(s.parts) == 0 {
			continue
		}
		whole, err := p.get(ctx, resolve(url, s.uri), "identity")
		p.expect("media", err == nil && whole.status == http.StatusOK && whole.body != "", where, "%s: status %d", s.uri, whole.status)
		var row strings.Builder
		for _, x := range s.parts {
			if x.ranged || x.gap {
				return
			}
			r, err := p.get(ctx, resolve(url, x.uri), "identity")
			p.expect("media", err == nil && r.status == http.StatusOK && r.body != "", where, "%s: status %d", x.uri, r.status)
			row.WriteString(r.body)
		}
		p.expect("join", row.String() == whole.body, where, "%s has %d bytes, its parts %d", s.uri, len(whole.body), row.Len())
		break
	}
	r, err := p.get(ctx, resolve(url, "never-was-here.m4s"), "identity")
	p.expect("unknown-404", err == nil && r.status == http.StatusNotFound, where, "status %d", r.status)
}

// reload asks with directives.
func (p *prober) reload(ctx context.Context, url, query string) (response, *media) {
	sep := "?"
	if strings.Contains(url, "?") {
		sep = "&"
	}
	r, err := p.get(ctx, url+sep+query, "identity")
	if err != nil {
		r.status = 0
	}
	return r, parseMedia(r.body)
}

// current playlist.
func (p *prober) current(ctx context.Context, url string) (*media, bool) {
	r, err := p.get(ctx, url, "identity")
	return parseMedia(r.body), err == nil && r.status == http.StatusOK
}

// refusals are answered at once.
func (p *prober) refusals(ctx context.Context, where, url string) {
	m, ok := p.current(ctx, url)
	if !ok {
		return
	}
	msn, part := m.last()
	limit := 3
	if m.partTarget < 1 {
		limit = int(math.Ceil(3 / m.partTarget))
	}
	for _, c := range []struct{ id, query string }{
		{"part-alone", "_HLS_part=0"},
		{"far-segment", fmt.Sprintf("_HLS_msn=%d", m.lastComplete()+5)},
		{"far-part", fmt.Sprintf("_HLS_msn=%d&_HLS_part=%d", msn, part+limit+8)},
	} {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		r, _ := p.reload(ctx, url, c.query)
		cancel()
		p.expect(c.id, r.status == http.StatusBadRequest, where, "%s: status %d (0: no answer in 2 s)", c.query, r.status)
	}
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
	p.expect("cache", strings.Contains(r.header.Get("Cache-Control"), "max-age") && !strings.Contains(r.header.Get("Cache-Control"), "no-"), where,
		"Cache-Control %q of a blocking reload", r.header.Get("Cache-Control"))

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

// hinted fetches the part that comes next, and looks whether it came.
func (p *prober) hinted(ctx context.Context, where, url string) {
	abandoned := 0
	for end := time.Now().Add(10*time.Second + p.o.Outage); abandoned < 3 && time.Now().Before(end); { // at the end of a segment one may be
		m, ok := p.current(ctx, url)
		if !ok || len(m.hints) == 0 {
			return
		}
		hint := m.hints[0]["URI"]
		r, err := p.get(ctx, resolve(url, hint), "identity")
		after, ok := p.current(ctx, url)
		if !ok {
			return
		}
		if err == nil && r.status == http.StatusNotFound {
			if !after.interrupted(m) { // the source's doing, not the origin's
				abandoned++
			}
			continue
		}
		p.expect("hint-whole", err == nil && r.status == http.StatusOK && r.body != "", where, "%s: status %d, %v", hint, r.status, err)
		p.expect("hint-true", strings.Contains(after.text, `URI="`+hint+`"`), where, "%s was hinted at and never listed", hint)
		return
	}
	p.expect("hint-true", abandoned < 3, where, "three hints in a row were abandoned")
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
	if d.skipped == 0 {
		return
	}
	p.expect("version", d.version >= 9, where, "EXT-X-SKIP needs 9, the delta says %d", d.version)
	boundary, after := number(full.control["CAN-SKIP-UNTIL"]), 0.
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

// watch follows the playlist by blocking reloads.
func (p *prober) watch(ctx context.Context, where, url string) {
	before, ok := p.current(ctx, url)
	end := time.Now().Add(p.o.Watch)
	last := time.Now()
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
		if n > 1 && !m.interrupted(before) { // the first answer may have been there already
			took := now.Sub(last).Seconds()
			p.expect("cadence", took <= 1.5*m.partTarget+.25, where, "%.2f s without a new part, PART-TARGET is %v", took, m.partTarget)
		}
		last = now
		p.static(where, m)
		p.succeeds(where, before, m)
		before = m
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
	removed := 0
	for n := a.sequence; n < b.sequence; n++ {
		if s := a.segment(n); s != nil && s.cut {
			removed++
		}
	}
	known := b.sequence <= a.lastComplete()+1 // else there may have been discontinuities that nobody was shown
	p.expect("forward", b.cuts == a.cuts+removed || !known && b.cuts > a.cuts+removed, where, "%d discontinuities left, the sequence went from %d to %d", removed, a.cuts, b.cuts)
	for n := b.sequence; n <= a.lastComplete()+1; n++ {
		x, y := a.segment(n), b.segment(n)
		if x == nil || y == nil {
			continue
		}
		if x.uri != "" {
			p.expect("same-address", x.uri == y.uri && x.duration == y.duration, where, "segment %d was %s of %v s, then %s of %v s", n, x.uri, x.duration, y.uri, y.duration)
		}
		for i := range min(len(x.parts), len(y.parts)) {
			p.expect("same-address", x.parts[i] == y.parts[i], where, "part %d of %d was %+v, then %+v", i, n, x.parts[i], y.parts[i])
		}
	}
}
