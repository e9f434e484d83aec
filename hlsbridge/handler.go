package hlsbridge

import (
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"watershed/sfu"
	"watershed/signaling/problem"
)

// Before returns a handler that takes what is the bridge's and gives the rest to next: no router looks at the many requests of a crowd.
func (b *Bridge) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range [...]string{"/hls/", "/t/", "/flv/", "/dash/"} {
			if strings.HasPrefix(r.URL.Path, prefix) {
				b.ServeHTTP(w, r)
				return
			}
		}
		forgetPatience(w, r)
		next.ServeHTTP(w, r)
	})
}

// ForCrowd reports a path of what every player asks for again and again: LL-HLS, but for recordings and what old players get. Package lane answers that.
func ForCrowd(path string) bool {
	_, path = cutToken(path)
	kind, _, file, ok := parsePath(path)
	return ok && kind == "hls" && requestKind(kind, file, "") != kindOther
}

// ServeHTTP serves /hls/{stream}/..., /dash/{stream}/... and /flv/{stream}.flv, each also behind /t/{token}.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = withPatience(w)
	h := w.Header()
	h["Access-Control-Allow-Origin"] = star
	h["Access-Control-Expose-Headers"] = exposed
	h["Timing-Allow-Origin"] = star
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		preflight(w)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		problem.New(http.StatusMethodNotAllowed, "Method not allowed", "read with GET").Write(w)
		return
	}
	if path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") { // a cache in front may take it for another path, and must not keep this answer for that
		problem.New(http.StatusNotFound, "Not found", "this path has empty or dotted pieces").Write(w)
		return
	}
	token, rest := cutToken(r.URL.Path)
	kind, name, file, ok := parsePath(rest)
	if !ok {
		notFound(w, "there is nothing here; a stream's playlist is /hls/{stream}/index.m3u8")
		return
	}
	b.requests[requestKind(kind, file, r.URL.RawQuery)].Add(1)
	st, ok := b.stream(name)
	if !ok && b.cfg.Missing != nil {
		if err := b.cfg.Missing(r, token, name); err != nil {
			refuse(w, err)
			return
		}
	}
	if !ok {
		notFound(w, "there is no stream of this name")
		return
	}
	if err := b.cfg.Access(r, token, st); err != nil {
		refuse(w, err)
		return
	}
	if token == "" && !st.Spec().Public {
		w = &unshared{ResponseWriter: w}
	}
	if s := b.shields[st.Name]; s != nil {
		b.serveShielded(w, r, s, kind, file)
		return
	}
	switch kind {
	case "flv":
		b.serveFLV(w, r, st, token)
	case "dash":
		b.serveDASH(w, r, st, file)
	default:
		b.serve(w, r, st, file)
	}
}

// unshared keeps shared caches away from what a header authorised: the next request for this address may come without it.
type unshared struct {
	http.ResponseWriter
	began bool
}

func (u *unshared) WriteHeader(status int) {
	if !u.began {
		u.began = true
		u.Header()["Cache-Control"] = unsharedCache
	}
	u.ResponseWriter.WriteHeader(status)
}

func (u *unshared) Write(b []byte) (int, error) {
	if !u.began {
		u.WriteHeader(http.StatusOK)
	}
	return u.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (u *unshared) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// cutToken takes /t/{token} off a path that has it.
func cutToken(path string) (token, rest string) {
	rest, ok := strings.CutPrefix(path, "/t/")
	if !ok {
		return "", path
	}
	i := max(0, strings.IndexByte(rest, '/'))
	return rest[:i], rest[i:]
}

// parsePath takes /hls/{stream}/{file}, /dash/{stream}/{file} or /flv/{stream}.flv apart.
func parsePath(path string) (kind, stream, file string, ok bool) {
	kind, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case !ok:
		return "", "", "", false
	case kind == "flv":
		stream, ok = strings.CutSuffix(rest, ".flv")
		return kind, stream, "", ok
	}
	stream, file, ok = strings.Cut(rest, "/")
	return kind, stream, file, ok && (kind == "hls" || kind == "dash")
}

// Header values that all responses share. Nobody may change them.
var (
	star    = []string{"*"}
	exposed = []string{"Age, Date, Content-Length"} // hls.js reads Age to find the live edge behind a cache
	hls     = []string{"application/vnd.apple.mpegurl"}
	zipped  = []string{"gzip"}
	vary    = []string{"Accept-Encoding"}
	urgent  = []string{"u=1"} // RFC 9218: playlists before media
	bulk    = []string{"u=3"}
	ranges  = []string{"bytes"}
	forever = []string{"public, max-age=86400, immutable"}
	brief   = []string{"public, max-age=1"}

	unsharedCache = []string{"private, no-store"}
)

func preflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Range, Authorization")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// fail answers with a problem that caches may keep for a second: at the live edge it is soon wrong.
func fail(w http.ResponseWriter, status int, title, detail string) {
	cacheable{w}.write(problem.New(status, title, detail))
}

// cacheable lets a problem be cached briefly; problem.Write forbids it for the API's sake.
type cacheable struct{ http.ResponseWriter }

func (c cacheable) write(p *problem.Problem) { p.Write(c) }

func (c cacheable) WriteHeader(status int) {
	c.Header()["Cache-Control"] = brief
	c.ResponseWriter.WriteHeader(status)
}

func notFound(w http.ResponseWriter, detail string) {
	fail(w, http.StatusNotFound, "Not found", detail)
}

func refuse(w http.ResponseWriter, err error) {
	var p *problem.Problem
	if !errors.As(err, &p) {
		p = problem.New(http.StatusUnauthorized, "Not allowed", err.Error())
	}
	p.Write(w)
}

func unavailable(w http.ResponseWriter, detail string) {
	p := problem.New(http.StatusServiceUnavailable, "Not ready", detail)
	p.RetryAfter = 2 * time.Second
	p.Write(w)
}

// firstSegment is how long a stream's first request waits.
const firstSegment = 10 * time.Second

// serve answers a request for a file of a stream.
func (b *Bridge) serve(w http.ResponseWriter, r *http.Request, st *sfu.Stream, file string) {
	if b.serveRecording(w, r, st, file) {
		return
	}
	p, g := b.current(w, r, st)
	if g == nil {
		return
	}
	if b.serveCompat(w, r, g, file) {
		return
	}
	name, playlist := strings.CutSuffix(file, ".m3u8")
	switch v := g.view(name); {
	case playlist && name == "index":
		b.writePlaylist(w, r, &g.index, hls, g.plan.cacheReload)
	case playlist && v != nil:
		b.servePlaylist(w, r, p, g, v)
	case playlist:
		notFound(w, "the stream has no such playlist; index.m3u8 names them")
	default:
		b.serveMedia(w, r, p, g, file)
	}
}

// current generation of a stream. It waits for the first; if that does not come it answers itself and returns nil.
func (b *Bridge) current(w http.ResponseWriter, r *http.Request, st *sfu.Stream) (*packager, *generation) {
	p := b.packager(st)
	if p == nil {
		unavailable(w, "this node is shutting down")
		return nil, nil
	}
	now := time.Now()
	p.asked.Store(now.UnixNano())
	p.crowd.note(r, now)
	g := p.gen.Load()
	if g == nil {
		if g = b.first(r, p); g == nil {
			s := st.Status() // but its message names the camera's address, which is not the audience's
			unavailable(w, strings.TrimSpace("the stream has nothing to show yet: it is "+string(s.State)+" "+string(s.Reason)))
		}
	}
	return p, g
}

// first waits for the first generation.
func (b *Bridge) first(r *http.Request, p *packager) *generation {
	timer := time.NewTimer(firstSegment)
	defer timer.Stop()
	select {
	case <-p.ready:
	case <-timer.C:
	case <-r.Context().Done():
	case <-b.ctx.Done():
	}
	return p.gen.Load()
}

// writePlaylist sends a rendered playlist, compressed if the client takes that.
func (b *Bridge) writePlaylist(w http.ResponseWriter, r *http.Request, pl *playlist, contentType, cache []string) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["Vary"], h["Priority"] = contentType, cache, vary, urgent
	body, length := pl.plain, pl.length[0]
	if takesGzip(r) {
		h["Content-Encoding"] = zipped
		body, length = pl.zipped, pl.length[1]
	}
	h["Content-Length"] = length
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(body) // a client that left is noticed by the server
	}
}

// takesGzip reports a client that accepts gzip. Clients of HLS send a plain list, so a weight of zero is all that is looked for.
func takesGzip(r *http.Request) bool {
	for _, v := range r.Header["Accept-Encoding"] {
		if i := strings.Index(v, "gzip"); i >= 0 {
			rest := strings.ReplaceAll(v[i+len("gzip"):], " ", "")
			return !strings.HasPrefix(rest, ";q=0") || strings.HasPrefix(rest, ";q=0.") && strings.Trim(rest[5:], "0") != ""
		}
	}
	return false
}
