package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"watershed/sfu/id"
)

// aBuild is what `npm run build` leaves, in small.
func aBuild() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"dist-placeholder/manifest.json": file("{}"),
		"dist/manifest.json": file(`{
			"_ui.js": {"file": "assets/ui-1.js", "css": ["assets/app-1.css"]},
			"src/pages/watch.tsx": {"file": "assets/watch-1.js", "imports": ["_ui.js"], "css": ["assets/watch-1.css"]},
			"src/pages/hub.tsx": {"file": "assets/hub-1.js", "imports": ["_ui.js"]},
			"src/pages/embed.ts": {"file": "assets/embed-1.js"},
			"src/player/hlsjs.ts": {"file": "assets/hlsjs-1.js"}}`),
		"dist/early.js":             file("watershedOpening=1\n"),
		"dist/embed.js":             file("plain"),
		"dist/embed.js.gz":          file("gzipped"),
		"dist/embed.js.br":          file("brotli"),
		"dist/assets/watch-1.js":    file("watch"),
		"dist/assets/watch-1.js.gz": file("watch gzipped"),
	}
}

func pagesOf(t *testing.T, files fstest.MapFS) *Pages {
	t.Helper()
	a, err := openAssets(files)
	require.NoError(t, err)
	p, err := newPages(a, func(id.Stream) []string { return []string{"index.m3u8", "v0.m3u8"} })
	require.NoError(t, err)
	return p
}

func get(p *Pages, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

func TestWatchShowsNameAndPosterWithoutScript(t *testing.T) {
	w := get(pagesOf(t, aBuild()), "/watch/river-1")
	require.Equal(t, http.StatusOK, w.Code)
	body := w.Body.String()
	require.Contains(t, body, "<title>river-1 · Watershed</title>")
	require.Contains(t, body, "<h1>river-1</h1>")
	require.Contains(t, body, `poster="/api/v1/streams/river-1/snapshot"`)
	require.Contains(t, body, `<meta property="og:image" content="http://example.com/api/v1/streams/river-1/snapshot">`)
	require.Contains(t, body, `<meta name="page-module" content="/assets/watch-1.js">`, "the first script loads it, after the first picture")
	require.Contains(t, body, `<link rel="preload" as="script" crossorigin href="/assets/ui-1.js">`)
	require.Contains(t, body, `href="/assets/app-1.css"`)
	require.Equal(t, "no-cache", w.Header().Get("Cache-Control"))
}

var inline = regexp.MustCompile(`<script>([^<]*)</script>`)

// The one script inside the page is the one that the policy names.
func TestPolicyAllowsTheInlineScriptByItsHash(t *testing.T) {
	w := get(pagesOf(t, aBuild()), "/watch/river-1")
	script := inline.FindStringSubmatch(w.Body.String())
	require.NotNil(t, script)
	sum := sha256.Sum256([]byte(script[1]))
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "script-src 'self' 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';")
	require.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe")
}

func TestOnlyTheEmbedPageMayBeFramedElsewhere(t *testing.T) {
	p := pagesOf(t, aBuild())
	for path, ancestors := range map[string]string{"/": "'self'", "/watch/a": "'self'", "/embed/a": "*"} {
		require.True(t, strings.HasSuffix(get(p, path).Header().Get("Content-Security-Policy"), "frame-ancestors "+ancestors), path)
	}
}

func TestHLSByChoiceIsLoadedAhead(t *testing.T) {
	body := get(pagesOf(t, aBuild()), "/watch/river-1?via=llhls").Body.String()
	require.Contains(t, body, `<link rel="modulepreload" href="/assets/hlsjs-1.js">`)
	require.Contains(t, body, `via="llhls"`)
	require.Contains(t, body, `<meta name="hls-module" content="/assets/hlsjs-1.js">`)
	require.Contains(t, body, `<meta name="hls-begin" content="index.m3u8 v0.m3u8">`)
	require.NotContains(t, get(pagesOf(t, aBuild()), "/watch/river-1").Body.String(), "hlsjs")
	require.NotContains(t, get(pagesOf(t, aBuild()), `/watch/a?via="><script>`).Body.String(), `"><script>"`)
}

func TestNamesThatCannotBeAreNotFound(t *testing.T) {
	p := pagesOf(t, aBuild())
	for _, path := range []string{"/watch/A", "/watch/-a", "/watch/%3Cscript%3E", "/embed/" + strings.Repeat("a", 64), "/nothing", "/assets/none.js", "/early.js/x", "/assets/../manifest.json"} {
		require.GreaterOrEqual(t, get(p, path).Code, 300, path)
	}
	require.NotContains(t, get(p, "/watch/%3Cscript%3E").Body.String(), "<script>alert")
}

func TestFilesAreServedInTheSmallestFormThatIsTaken(t *testing.T) {
	p := pagesOf(t, aBuild())
	for accept, want := range map[string][2]string{
		"":                         {"plain", ""},
		"gzip, deflate, br":        {"brotli", "br"},
		"gzip":                     {"gzipped", "gzip"},
		"br;q=0, gzip;q=0.5":       {"gzipped", "gzip"},
		"identity, gzip; q=0, *":   {"plain", ""},
		"br;q=0.000,gzip;q=0.000":  {"plain", ""},
		"deflate, gzipped, broken": {"plain", ""},
	} {
		w := get(p, "/embed.js", "Accept-Encoding", accept)
		require.Equal(t, want[0], w.Body.String(), accept)
		require.Equal(t, want[1], w.Header().Get("Content-Encoding"), accept)
		require.Equal(t, "Accept-Encoding", w.Header().Get("Vary"))
	}
}

func TestHashedFilesNeverExpireAndOthersAreAskedForAgain(t *testing.T) {
	p := pagesOf(t, aBuild())
	require.Equal(t, "public, max-age=31536000, immutable", get(p, "/assets/watch-1.js").Header().Get("Cache-Control"))
	first := get(p, "/embed.js")
	require.Equal(t, "no-cache", first.Header().Get("Cache-Control"))
	require.Equal(t, "*", first.Header().Get("Access-Control-Allow-Origin"))
	again := get(p, "/embed.js", "If-None-Match", first.Header().Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.Code)
	require.Empty(t, again.Body.String())
}

func TestWithoutABuildPagesSayHowToMakeOne(t *testing.T) {
	p := pagesOf(t, fstest.MapFS{"dist-placeholder/manifest.json": {Data: []byte("{}")}})
	w := get(p, "/")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "make build")
}

func TestTheEmbeddedFilesOpen(t *testing.T) {
	_, err := New(nil)
	require.NoError(t, err)
}
