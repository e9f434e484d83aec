package hlsbridge

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"watershed/signaling/problem"
)

// file is an address below a stream, taken apart: {epoch}/{rendition}/{msn}.m4s, {msn}.{part}.m4s or init{n}.mp4.
type file struct {
	epoch, rendition string
	init             int // -1 for a segment or part
	msn              uint64
	part             int // -1 for a whole segment
}

func parseFile(path string) (f file, ok bool) {
	f.init, f.part = -1, -1
	epoch, rest, ok1 := strings.Cut(path, "/")
	rendition, name, ok2 := strings.Cut(rest, "/")
	f.epoch, f.rendition = epoch, rendition
	if !ok1 || !ok2 {
		return f, false
	}
	if n, found := strings.CutPrefix(name, "init"); found {
		n, mp4 := strings.CutSuffix(n, ".mp4")
		f.init, ok = number(n)
		return f, mp4 && ok
	}
	name, m4s := strings.CutSuffix(name, ".m4s")
	msn, part, hasPart := strings.Cut(name, ".")
	n, err := strconv.ParseUint(msn, 10, 63)
	f.msn, ok = n, err == nil && (msn == "0" || msn[0] != '0')
	if hasPart && ok {
		f.part, ok = number(part)
	}
	return f, m4s && ok
}

// number reads a small decimal in its one canonical form: a cache must not hold a body twice.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil && (s == "0" || s[0] != '0')
}

// serveMedia answers with an initialisation segment, a segment, a part, or the part that comes next.
func (b *Bridge) serveMedia(w http.ResponseWriter, r *http.Request, p *packager, g *generation, path string) {
	f, ok := parseFile(path)
	v := g.view(f.rendition)
	if !ok || v == nil || f.epoch != g.epoch {
		notFound(w, "it may have been here earlier; the playlist lists what is here now")
		return
	}
	h := w.Header()
	h["Priority"] = bulk
	if f.init >= 0 {
		if f.init >= len(v.inits) {
			notYet(w)
			return
		}
		if v.inits[f.init] == nil {
			notFound(w, "no segment needs this initialisation segment any more")
			return
		}
		h["Content-Type"], h["Cache-Control"] = videoMP4, forever
		writeBodies(w, r, [][]byte{v.inits[f.init]})
		return
	}
	answer := func(v *view) { writeFile(w, r, f, g.plan, v) }
	if f.part >= 0 && f.msn == v.hintMSN && f.part == v.hintPart && v.segmentPart(f.msn, f.part) == nil {
		b.when(w, r, p, moment{v.id, f.msn, f.part}, g.plan.hold(), answer)
		return
	}
	answer(v)
}

// writeFile sends a segment or part of a view; nil is one that did not come. A view that came may have another part instead of the one that was hinted at:
// then the hint was abandoned.
func writeFile(w http.ResponseWriter, r *http.Request, f file, p *plan, v *view) {
	if v == nil {
		unavailable(w, "the part did not come in time")
		return
	}
	bodies := v.bodies(f)
	switch {
	case bodies == nil && v.comes(f):
		notYet(w)
		return
	case bodies == nil:
		notFound(w, "the playlist lists what is here now")
		return
	}
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = v.contentType, p.cachePart
	if f.part < 0 {
		h["Cache-Control"] = p.cacheSegment
	}
	writeBodies(w, r, bodies)
}

// notYet answers for what may be here in a moment. No cache may keep that: anybody could ask for the next part a little too early, and have everybody miss it.
func notYet(w http.ResponseWriter) {
	problem.New(http.StatusNotFound, "Not found", "it is not here yet; the playlist lists what is, and hints at what comes next").Write(w)
}

// comes reports a file at the live edge or beyond.
func (v *view) comes(f file) bool {
	switch {
	case v.ended:
		return false
	case f.part < 0:
		return f.msn > v.lastComplete
	}
	return f.msn > v.lastMSN || f.msn == v.lastMSN && f.part > v.lastPart
}

var (
	videoMP4 = []string{"video/mp4"}
	audioMP4 = []string{"audio/mp4"}
)

// segmentPart that is here already, or nil.
func (v *view) segmentPart(msn uint64, index int) *part {
	s := v.segment(msn)
	if s == nil || index >= len(s.parts) {
		return nil
	}
	return &s.parts[index]
}

// bodies of a segment or part, nil if it is not here or has nothing in it.
func (v *view) bodies(f file) [][]byte {
	if f.part >= 0 {
		if p := v.segmentPart(f.msn, f.part); p != nil && !p.gap {
			return [][]byte{p.body}
		}
		return nil
	}
	s := v.segment(f.msn)
	if s == nil || !s.complete || s.gap {
		return nil
	}
	all := make([][]byte, len(s.parts))
	for i := range s.parts {
		all[i] = s.parts[i].body
	}
	return all
}

// writeBodies sends pieces as one object, or the range of it that the request asks for.
func writeBodies(w http.ResponseWriter, r *http.Request, bodies [][]byte) {
	h := w.Header()
	h["Accept-Ranges"] = ranges
	if r.Header["Range"] != nil {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bytes.Join(bodies, nil)))
		return
	}
	n := 0
	for _, b := range bodies {
		n += len(b)
	}
	h["Content-Length"] = []string{strconv.Itoa(n)}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	for _, b := range bodies {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}
