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
	answer := func(v *view) { b.writeReload(w, r, &d, g.plan, v) }
	if at := (moment{v.id, d.msn, d.part}); d.block && !at.in(v) {
		b.when(w, r, p, at, g.plan.hold(), answer)
		return
	}
	answer(v)
}

// writeReload sends the playlist of a view; nil is one that did not come.
func (b *Bridge) writeReload(w http.ResponseWriter, r *http.Request, d *directives, p *plan, v *view) {
	if v == nil {
		unavailable(w, "the segment did not come in time")
		return
	}
	pl, cache := &v.full, p.cacheReload
	if d.skip {
		pl = &v.delta
	}
	if d.block {
		cache = p.cacheBlocking
	}
	b.writePlaylist(w, r, pl, hls, cache)
}
