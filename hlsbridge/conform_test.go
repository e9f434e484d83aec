package hlsbridge

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/conform"
)

// live is a studio whose source goes on in real time, after half a minute that was sent at once.
func live(t *testing.T) *studio {
	t.Helper()
	s := newStudio(t, func(c *Config) { c.Window = 24 * time.Second })
	src := s.connect("bframes", true) // keyframes every two seconds
	const ahead = 800
	src.send(120)
	require.Equal(t, http.StatusOK, s.fetch("index.m3u8").StatusCode)
	src.send(ahead - 120)
	now := time.Now()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				for src.sent < ahead+int(time.Since(now)/(40*time.Millisecond)) {
					src.send(1)
				}
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return s
}

// The prober finds nothing on this origin, and on each of these the fault that was put in.
func TestConformance(t *testing.T) {
	s := live(t)
	text := func(old, replacement string) func(*http.Request, string) string {
		re := regexp.MustCompile(old)
		return func(_ *http.Request, body string) string { return re.ReplaceAllString(body, replacement) }
	}
	var counter atomic.Int64
	for _, c := range []struct {
		rule  string
		query func(*http.Request)
		edit  func(*http.Request, string) string
		wrap  func(http.Handler) http.Handler
	}{
		{rule: ""},
		{rule: "hold-back", edit: text(`PART-HOLD-BACK=[\d.]+`, "PART-HOLD-BACK=0.2")},
		{rule: "hold-back-3", edit: text(`PART-HOLD-BACK=[\d.]+`, "PART-HOLD-BACK=0.3")},
		{rule: "skip-until", edit: text(`CAN-SKIP-UNTIL=[\d.]+`, "CAN-SKIP-UNTIL=6.0")},
		{rule: "part-long", edit: text(`PART-TARGET=[\d.]+`, "PART-TARGET=0.1")},
		{rule: "part-short", edit: text(`PART-TARGET=[\d.]+`, "PART-TARGET=0.2")},
		{rule: "target", edit: text(`TARGETDURATION:\d+`, "TARGETDURATION:1")},
		{rule: "version", edit: text(`VERSION:\d+`, "VERSION:3")},
		{rule: "time", edit: text(`#EXT-X-PROGRAM-DATE-TIME.*\n`, "")},
		{rule: "cuts", edit: text(`#EXT-X-DISCONTINUITY-SEQUENCE.*\n`, "")},
		{rule: "not-vod", edit: text(`#EXT-X-PART-INF`, "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-PART-INF")},
		{rule: "hint", edit: text(`#EXT-X-PRELOAD-HINT.*\n`, "")},
		{rule: "reports", edit: text(`#EXT-X-RENDITION-REPORT.*\n`, "")},
		{rule: "map", edit: text(`#EXT-X-MAP.*\n`, "")},
		{rule: "grammar", edit: text(`#EXT-X-TARGETDURATION:2\n`, "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2\n")},
		{rule: "variants", edit: text(`BANDWIDTH=\d+`, "BANDWIDTH=x")},
		{rule: "same-control", edit: func(r *http.Request, b string) string {
			if strings.Contains(r.URL.Path, "a0") {
				return strings.Replace(b, "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=13.0", 1)
			}
			return b
		}},
		{rule: "fixed-control", edit: func(_ *http.Request, b string) string {
			return strings.Replace(b, "CAN-SKIP-UNTIL=12", fmt.Sprintf("CAN-SKIP-UNTIL=1%d", 2+counter.Add(1)/3%5), 1)
		}},
		{rule: "fixed-target", edit: func(_ *http.Request, b string) string {
			return strings.Replace(b, "PART-TARGET=0.12", fmt.Sprintf("PART-TARGET=0.1%d", 2+counter.Add(1)%2), 1)
		}},
		{rule: "same-address", edit: func(_ *http.Request, b string) string {
			return strings.ReplaceAll(b, ".m4s", fmt.Sprintf(".m4s?%d", counter.Add(1)))
		}},
		{rule: "block-part", query: func(r *http.Request) { r.URL.RawQuery = "" }},
		{rule: "part-alone", query: func(r *http.Request) {
			if !strings.Contains(r.URL.RawQuery, "msn") {
				r.URL.RawQuery = ""
			}
		}},
		{rule: "block-segment", query: func(r *http.Request) {
			if q := r.URL.RawQuery; q != "" && !strings.Contains(q, "part") {
				r.URL.RawQuery += "&_HLS_part=0"
			}
		}},
		{rule: "delta-boundary", edit: func(r *http.Request, b string) string {
			if strings.Contains(r.URL.RawQuery, "skip") {
				b = regexp.MustCompile(`SKIPPED-SEGMENTS=\d+`).ReplaceAllString(b, "SKIPPED-SEGMENTS=6")
				at := strings.LastIndex(b, "#EXT-X-PROGRAM-DATE-TIME")
				return b[:strings.Index(b, "#EXT-X-PROGRAM-DATE-TIME")] + b[at:]
			}
			return b
		}},
		{rule: "gzip", wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { r.Header.Del("Accept-Encoding"); next.ServeHTTP(w, r) })
		}},
		{rule: "unknown-404", wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.URL.Path, "never-was") {
					next.ServeHTTP(w, r)
				}
			})
		}},
	} {
		t.Run("fault="+c.rule, func(t *testing.T) {
			t.Parallel()
			var h http.Handler = broken(s.bridge, c.query, c.edit)
			if c.wrap != nil {
				h = c.wrap(h)
			}
			server := httptest.NewServer(h)
			defer server.Close()
			r, err := conform.Check(context.Background(), server.URL+"/hls/cam/index.m3u8", conform.Options{Watch: time.Second})
			require.NoError(t, err)
			var text bytes.Buffer
			r.Print(&text)
			if c.rule == "" {
				for _, f := range r.Findings {
					require.Equal(t, "cadence", f.ID, text.String()) // a slow machine's, not the origin's
				}
				return
			}
			require.True(t, r.Broken(c.rule), text.String())
		})
	}
}

// broken is an origin with a fault in what it is asked, or in the playlists that it gives.
func broken(next http.Handler, query func(*http.Request), edit func(*http.Request, string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Clone(r.Context())
		if query != nil {
			query(asked)
		}
		if edit == nil || !strings.HasSuffix(r.URL.Path, ".m3u8") {
			next.ServeHTTP(w, asked)
			return
		}
		asked.Header.Del("Accept-Encoding")
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, asked)
		for k, v := range rec.Header() {
			if k != "Content-Length" {
				w.Header()[k] = v
			}
		}
		w.WriteHeader(rec.Code)
		fmt.Fprint(w, edit(r, rec.Body.String()))
	})
}
