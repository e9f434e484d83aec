package hlsbridge

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// directives are what a playlist request asks for (section 6.2.5).
type directives struct {
	block bool
	msn   uint64
	part  int // -1: the whole segment
	skip  bool
}

var (
	errPartAlone = errors.New("_HLS_part needs _HLS_msn beside it")
	errNumber    = errors.New("_HLS_msn and _HLS_part are whole numbers")
	errAhead     = errors.New("the playlist is not that far: ask for at most two segments, or three seconds of parts, ahead")
)

// parseDirectives reads a query. Others' parameters are ignored.
func parseDirectives(query string) (d directives, err error) {
	d.part = -1
	if query == "" {
		return d, nil
	}
	hasPart := false
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(key, "_HLS_") {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return d, errNumber
		}
		switch key {
		case "_HLS_msn":
			d.block = true
			if d.msn, err = strconv.ParseUint(value, 10, 63); err != nil {
				return d, errNumber
			}
		case "_HLS_part":
			hasPart = true
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return d, errNumber
			}
			d.part = int(n)
		case "_HLS_skip":
			d.skip = value == "YES" || value == "v2"
		}
	}
	if hasPart && !d.block {
		return d, errPartAlone
	}
	return d, nil
}

// ahead reports a request for what is too far in the future to wait for.
func (d *directives) ahead(v *view, p *plan, part time.Duration) bool {
	if v.ended {
		return false
	}
	if d.msn > v.lastComplete+2 {
		return true
	}
	limit := p.advanceLimit(part)
	switch {
	case d.part < 0:
		return false
	case d.msn == v.lastMSN:
		return d.part > v.lastPart+limit
	case d.msn > v.lastMSN:
		return d.part > limit
	}
	return false
}

// servePlaylist answers at once, or when what the request asks for is there.
func (b *Bridge) servePlaylist(w http.ResponseWriter, r *http.Request, p *packager, g *generation, v *view) {
	d, err := parseDirectives(r.URL.RawQuery)
	if err == nil && d.block && d.ahead(v, g.plan, v.part) {
		err = errAhead
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "Not a valid reload", err.Error())
		return
	}
	if d.block && !v.has(d.msn, d.part) {
		if v = b.await(r, p, v, g.plan.hold(), func(v *view) bool { return v.has(d.msn, d.part) }); v == nil {
			unavailable(w, "the segment did not come in time")
			return
		}
	}
	pl, cache := &v.full, g.plan.cacheReload
	if d.skip {
		pl = &v.delta
	}
	if d.block {
		cache = g.plan.cacheBlocking
	}
	b.writePlaylist(w, r, pl, hls, cache)
}

// await waits until a later view of the rendition satisfies enough; nil when it takes too long, or the rendition is gone.
func (b *Bridge) await(r *http.Request, p *packager, v *view, hold time.Duration, enough func(*view) bool) *view {
	if p.blocked.Add(1) > int64(b.cfg.MaxBlocked) {
		p.blocked.Add(-1)
		return nil
	}
	defer p.blocked.Add(-1)
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for !enough(v) {
		select {
		case <-v.next:
		case <-timer.C:
			return nil
		case <-r.Context().Done():
			return nil
		case <-b.ctx.Done():
			return nil
		}
		if v = p.gen.Load().view(v.id); v == nil {
			return nil
		}
	}
	return v
}
