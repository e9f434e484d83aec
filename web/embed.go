package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// The pattern matches dist, when `npm run build` has made it, and the placeholder, which is always there: go build works without Node.
//
//go:embed all:dist*
var built embed.FS

//go:embed templates/*.html
var templates embed.FS

// assets are the built files, by what a browser may ask for.
type assets struct {
	files    fs.FS
	manifest map[string]entry // Vite's manifest, by source file
}

// entry of Vite's manifest: what a module needs loaded beside itself.
type entry struct {
	File    string   `json:"file"`
	CSS     []string `json:"css"`
	Imports []string `json:"imports"`
}

func openAssets(built fs.FS) (*assets, error) {
	dir := "dist"
	if _, err := fs.Stat(built, dir+"/manifest.json"); err != nil {
		dir = "dist-placeholder"
	}
	files, err := fs.Sub(built, dir)
	if err != nil {
		return nil, fmt.Errorf("web assets: %w", err)
	}
	a := &assets{files: files}
	text, err := fs.ReadFile(files, "manifest.json")
	if err != nil {
		return nil, fmt.Errorf("web assets: %w", err)
	}
	if err := json.Unmarshal(text, &a.manifest); err != nil {
		return nil, fmt.Errorf("web assets: manifest.json: %w", err)
	}
	return a, nil
}

// built reports whether the pages are in this binary; without Node at build time they are not.
func (a *assets) built() bool { return len(a.manifest) > 0 }

// needs returns the scripts and styles that a source file's module loads, itself first, each once.
func (a *assets) needs(source string) (scripts, styles []string) {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(key string) {
		e, ok := a.manifest[key]
		if !ok || seen[e.File] {
			return
		}
		seen[e.File] = true
		scripts = append(scripts, "/"+e.File)
		for _, i := range e.Imports {
			visit(i)
		}
		for _, c := range e.CSS {
			if !seen[c] {
				seen[c] = true
				styles = append(styles, "/"+c)
			}
		}
	}
	visit(source)
	return scripts, styles
}

// text of a built file, or "".
func (a *assets) text(name string) string {
	b, _ := fs.ReadFile(a.files, name)
	return string(b)
}

// encodings in the order of preference: the suffix of the file that the build put beside the plain one.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// serve one built file. Names below assets/ carry a hash of their content and never change; the others are asked for again each time.
func (a *assets) serve(w http.ResponseWriter, r *http.Request, name string) {
	plain, err := fs.ReadFile(a.files, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Allow-Origin", "*") // the player on foreign pages imports its HLS module from here
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if strings.HasPrefix(name, "assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag(plain))
	}
	body, encoding := a.encoded(name, r.Header.Get("Accept-Encoding"))
	if body == nil {
		body = plain
	} else {
		h.Set("Content-Encoding", encoding)
	}
	if tag := h.Get("ETag"); tag != "" && strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// encoded finds the smallest form of a file that the browser takes, or nil.
func (a *assets) encoded(name, accept string) (body []byte, encoding string) {
	for _, e := range encodings {
		if !accepts(accept, e.name) {
			continue
		}
		if b, err := fs.ReadFile(a.files, name+e.suffix); err == nil {
			return b, e.name
		}
	}
	return nil, ""
}

// accepts reads an Accept-Encoding header (RFC 9110 section 12.5.3) for one coding; q=0 refuses it.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			q = strings.ReplaceAll(q, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.000")
		}
	}
	return false
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".webmanifest":
		return "application/manifest+json"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}
