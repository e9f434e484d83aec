package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"net/http"
	"strings"

	"watershed/sfu/id"
)

// Pages serves every page and built file.
type Pages struct {
	assets *assets
	mux    *http.ServeMux
	early  template.JS // the player's first step, inlined
	html   *template.Template
	policy map[bool]string // Content-Security-Policy; true: for frames on any site
	begin  Beginning
}

// Beginning names files below /hls/{stream}/ that a low-latency player which comes now begins with, if that may be told to anybody.
type Beginning func(id.Stream) []string

// Routes are the patterns of what Pages answers to GET, in Echo's notation.
func Routes() []string {
	return []string{
		"/", "/watch/:stream", "/room/:room", "/publish/:stream", "/embed/:stream",
		"/embed.js", "/embed-hls.js", "/assets/*", "/favicon.svg", "/manifest.webmanifest",
	}
}

// New returns the pages. It fails only when the embedded files are damaged.
func New(begin Beginning) (*Pages, error) {
	a, err := openAssets(built)
	if err != nil {
		return nil, err
	}
	return newPages(a, begin)
}

func newPages(a *assets, begin Beginning) (*Pages, error) {
	html, err := template.ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	early := strings.TrimSpace(a.text("early.js"))
	p := &Pages{assets: a, mux: http.NewServeMux(), early: template.JS(early), html: html, begin: begin}
	p.policy = map[bool]string{false: policy(early, "'self'"), true: policy(early, "*")}
	p.mux.HandleFunc("GET /{$}", p.page("hub.tsx", "hub"))
	p.mux.HandleFunc("GET /watch/{name}", p.page("watch.tsx", "watch"))
	p.mux.HandleFunc("GET /room/{name}", p.page("room.tsx", "room"))
	p.mux.HandleFunc("GET /publish/{name}", p.page("publish.tsx", "publish"))
	p.mux.HandleFunc("GET /embed/{name}", p.page("embed.ts", "embed"))
	p.mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, r, strings.TrimPrefix(r.URL.Path, "/"))
	})
	return p, nil
}

func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// policy lets scripts come from here only, besides the one inlined script, which is named by its hash. Manifests of a CDN and TURN are
// reached by connect-src; blob: is Media Source Extensions' and a picture fetched with a token.
func policy(early, ancestors string) string {
	script := "script-src 'self'"
	if early != "" {
		sum := sha256.Sum256([]byte(early))
		script += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'self'; " + script + "; connect-src 'self' ws: wss:; media-src 'self' blob:; img-src 'self' data: blob:; " +
		"worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors " + ancestors
}

// view is what templates see.
type view struct {
	Page    string // hub, watch, room, publish or embed
	Name    string // stream or room
	Title   string
	Poster  string
	Address string // of this page, without query
	Origin  string
	Early   template.JS
	Script  string
	Preload []string
	Styles  []string
	Via     string
	HLS     string // the module of hls.js, when the visitor asked for HLS
	Begin   string // files that playing begins with, with spaces between them
}

// page renders one template round one module.
func (p *Pages) page(source, name string) http.HandlerFunc {
	scripts, styles := p.assets.needs("src/pages/" + source)
	player := name == "watch" || name == "embed"
	return func(w http.ResponseWriter, r *http.Request) {
		v := view{Page: name, Origin: origin(r), Styles: styles}
		v.Address = v.Origin + r.URL.EscapedPath()
		if len(scripts) > 0 {
			v.Script, v.Preload = scripts[0], scripts[1:]
		}
		if !p.name(&v, r.PathValue("name")) {
			p.render(w, "missing", http.StatusNotFound, v)
			return
		}
		if !p.assets.built() {
			p.render(w, "unbuilt", http.StatusServiceUnavailable, v)
			return
		}
		if player {
			p.preparePlayer(&v, r)
		}
		p.render(w, name, http.StatusOK, v)
	}
}

// name fills in whose page it is; false if the address cannot be anybody's. Nothing but the address is shown: whether a stream is there is
// told to those who may see it, and only the page's script knows who asks.
func (p *Pages) name(v *view, raw string) bool {
	if v.Page == "hub" {
		return true
	}
	full, err := id.ParseStream(raw)
	if err != nil {
		return false
	}
	v.Name, v.Title = string(full), string(full)
	v.Poster = "/api/v1/streams/" + v.Name + "/snapshot"
	return true
}

// preparePlayer has the browser begin with the chosen way of playing before any module asks for it.
func (p *Pages) preparePlayer(v *view, r *http.Request) {
	v.Early = p.early
	if v.Via = r.URL.Query().Get("via"); v.Via == "llhls" || v.Via == "hls" {
		v.HLS = "/" + p.assets.manifest["src/player/hlsjs.ts"].File
	}
	if v.Via == "llhls" {
		v.Begin = strings.Join(p.begin(id.Stream(v.Name)), " ")
	}
}

func (p *Pages) render(w http.ResponseWriter, name string, status int, v view) {
	var b bytes.Buffer
	if err := p.html.ExecuteTemplate(&b, name+".html", v); err != nil {
		http.Error(w, "this page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", p.policy[v.Page == "embed"])
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// origin of this server as the visitor sees it, for links that leave the page.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func etag(b []byte) string {
	sum := sha256.Sum256(b)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}
