package hlsbridge

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
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

// fault is an origin that breaks a rule.
type fault struct {
	rule  string
	query func(*http.Request)                                                  // what it takes a request for
	edit  func(r *http.Request, list string) string                            // its playlists
	alter func(*http.Request, *httptest.ResponseRecorder)                      // its responses
	serve func(next http.Handler, w http.ResponseWriter, r *http.Request) bool // its way to answer some; false: the usual one
	watch time.Duration                                                        // a second if zero
	tls   bool                                                                 // without HTTP/2
}

// lists has a text of playlists replaced.
func lists(old, replacement string) func(*http.Request, string) string {
	re := regexp.MustCompile(old)
	return func(_ *http.Request, list string) string { return re.ReplaceAllString(list, replacement) }
}

// sound has a text replaced in the playlist of the sound.
func sound(old, replacement string) func(*http.Request, string) string {
	edit := lists(old, replacement)
	return func(r *http.Request, list string) string {
		if strings.Contains(r.URL.Path, "a0") {
			return edit(r, list)
		}
		return list
	}
}

// refusing answers requests that a pattern of the address and query finds.
func refusing(pattern string, status int) func(http.Handler, http.ResponseWriter, *http.Request) bool {
	re := regexp.MustCompile(pattern)
	return func(_ http.Handler, w http.ResponseWriter, r *http.Request) bool {
		if !re.MatchString(r.URL.RequestURI()) {
			return false
		}
		w.WriteHeader(status)
		return true
	}
}

// lenient answers with what there is what should be refused.
func lenient(pattern string) func(http.Handler, http.ResponseWriter, *http.Request) bool {
	re := regexp.MustCompile(pattern)
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) bool {
		rec := httptest.NewRecorder()
		if !re.MatchString(r.URL.RawQuery) {
			return false
		}
		if next.ServeHTTP(rec, r); rec.Code == http.StatusBadRequest {
			r.URL.RawQuery = ""
		}
		next.ServeHTTP(w, r)
		return true
	}
}

// renumber adds to the numbers behind a text.
func renumber(list, before string, more int) string {
	return regexp.MustCompile(before+`\d+`).ReplaceAllStringFunc(list, func(text string) string {
		n, _ := strconv.Atoi(text[len(before):])
		return fmt.Sprint(before, n+more)
	})
}

// from is a playlist's head, and what stands from its n-th last date on.
func from(list string, n int) string {
	const date = "#EXT-X-PROGRAM-DATE-TIME"
	all := strings.Split(list, date)
	if len(all) <= n {
		return list
	}
	gone := len(all) - 1 - n
	return renumber(all[0], "#EXT-X-MEDIA-SEQUENCE:", gone) + date + strings.Join(all[gone+1:], date)
}

// pieces are paths of segments, and of parts.
var (
	wholeFile = regexp.MustCompile(`/\d+\.m4s$`)
	partFile  = regexp.MustCompile(`/\d+\.\d+\.m4s$`)
)

func faults(s *studio) []fault {
	var counter atomic.Int64
	return []fault{
		{rule: "grammar", edit: lists(`#EXT-X-TARGETDURATION:2\n`, "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2\n")},
		{rule: "grammar", edit: lists(`EXTINF:[\d.]+`, "EXTINF:abc")},
		{rule: "target", edit: lists(`TARGETDURATION:\d+`, "TARGETDURATION:1")},
		{rule: "version", edit: lists(`VERSION:\d+`, "VERSION:3")},
		{rule: "version-low", edit: lists(`VERSION:\d+`, "VERSION:12")},
		{rule: "part-inf", edit: lists(`#EXT-X-PART-INF.*\n`, "")},
		{rule: "part-long", edit: lists(`PART-TARGET=[\d.]+`, "PART-TARGET=0.1")},
		{rule: "part-short", edit: lists(`PART-TARGET=[\d.]+`, "PART-TARGET=0.2")},
		{rule: "part-order", edit: lists(`(#EXT-X-PROGRAM-DATE-TIME.*\n)(#EXT-X-PART:.*\n)`, "$2$1")},
		{rule: "control", edit: lists(`CAN-BLOCK-RELOAD=YES,`, "")},
		{rule: "hold-back", edit: lists(`PART-HOLD-BACK=[\d.]+`, "PART-HOLD-BACK=0.2")},
		{rule: "hold-back-3", edit: lists(`PART-HOLD-BACK=[\d.]+`, "PART-HOLD-BACK=0.3")},
		{rule: "hold-back-whole", edit: lists(`PART-HOLD-BACK`, "HOLD-BACK=5.0,PART-HOLD-BACK")},
		{rule: "skip-until", edit: lists(`CAN-SKIP-UNTIL=[\d.]+`, "CAN-SKIP-UNTIL=6.0")},
		{rule: "skip-ranges", edit: lists(`CAN-SKIP-UNTIL=[\d.]+`, "CAN-SKIP-DATERANGES=YES")},
		{rule: "same-control", edit: sound(`CAN-SKIP-UNTIL=12`, "CAN-SKIP-UNTIL=13")},
		{rule: "same-target", edit: sound(`TARGETDURATION:2`, "TARGETDURATION:3")},
		{rule: "same-cuts", edit: sound(`DISCONTINUITY-SEQUENCE:\d+`, "DISCONTINUITY-SEQUENCE:1")},
		{rule: "same-dates", edit: sound(`(DATE-TIME:.*)Z`, "$1+0001")}, // a minute
		{rule: "in-step", edit: func(r *http.Request, list string) string { // the sound ends two segments before
			if strings.Contains(r.URL.Path, "a0") {
				return strings.TrimSuffix(list, from(list, 2)[strings.Index(from(list, 2), "#EXT-X-PROGRAM"):])
			}
			return list
		}},
		{rule: "hint", edit: lists(`#EXT-X-PRELOAD-HINT.*\n`, "")},
		{rule: "hint", edit: lists(`(#EXT-X-PRELOAD-HINT.*\n)`, "$1$1")},
		{rule: "hint-true", edit: func(_ *http.Request, list string) string { // something that is there, and not next
			part := lines(list, "#EXT-X-PART:")
			if len(part) == 0 {
				return list
			}
			return lists(`(PRELOAD-HINT:TYPE=PART,URI=)".*"`, `$1"`+attribute(part[0], "URI")+`"`)(nil, list)
		}},
		{rule: "hint-whole", serve: func(next http.Handler, w http.ResponseWriter, r *http.Request) bool { // a part while it is made
			if !partFile.MatchString(r.URL.Path) {
				return false
			}
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			w.WriteHeader(rec.Code)
			http.NewResponseController(w).Flush()
			time.Sleep(120 * time.Millisecond)
			w.Write(rec.Body.Bytes())
			return true
		}},
		{rule: "unknown-404", serve: refusing("never-was", http.StatusOK)},
		{rule: "reports", edit: lists(`#EXT-X-RENDITION-REPORT.*\n`, "")},
		{rule: "reports", edit: lists(`LAST-MSN=\d+`, "LAST-MSN=0")},
		{rule: "reports", edit: lists(`,LAST-PART=\d+`, "")},
		{rule: "block-part", query: func(r *http.Request) { r.URL.RawQuery = "" }},
		{rule: "block-segment", query: func(r *http.Request) {
			if q := r.URL.RawQuery; q != "" && !strings.Contains(q, "part") {
				r.URL.RawQuery += "&_HLS_part=0"
			}
		}},
		{rule: "block-roll", serve: refusing(`_HLS_part=1[67]$`, http.StatusBadRequest)}, // a segment has sixteen parts or seventeen
		{rule: "block-old", serve: refusing(`_HLS_msn=0&`, http.StatusNotFound)},
		{rule: "part-alone", query: func(r *http.Request) {
			if !strings.Contains(r.URL.RawQuery, "msn") {
				r.URL.RawQuery = ""
			}
		}},
		{rule: "far-segment", serve: lenient(`^_HLS_msn=\d+$`)},
		{rule: "far-part", serve: lenient(`^_HLS_msn=\d+&_HLS_part=\d+$`)},
		{rule: "delta", query: func(r *http.Request) { r.URL.RawQuery = strings.TrimSuffix(r.URL.RawQuery, "&_HLS_skip=YES") }},
		{rule: "delta", edit: func(r *http.Request, list string) string {
			if strings.Contains(r.URL.RawQuery, "skip") {
				return lists(`(EXTINF:\d+\.)\d+`, "${1}9")(r, list)
			}
			return list
		}},
		{rule: "delta-boundary", edit: func(r *http.Request, list string) string {
			if strings.Contains(r.URL.RawQuery, "skip") {
				list = regexp.MustCompile(`SKIPPED-SEGMENTS=\d+`).ReplaceAllString(list, "SKIPPED-SEGMENTS=6")
				at := strings.LastIndex(list, "#EXT-X-PROGRAM-DATE-TIME")
				return list[:strings.Index(list, "#EXT-X-PROGRAM-DATE-TIME")] + list[at:]
			}
			return list
		}},
		{rule: "cadence", alter: func(r *http.Request, _ *httptest.ResponseRecorder) {
			if strings.Contains(r.URL.RawQuery, "part") {
				time.Sleep(600 * time.Millisecond)
			}
		}, watch: 3 * time.Second},
		{rule: "ended", edit: func(r *http.Request, list string) string {
			if strings.Contains(r.URL.Path, "index") {
				return list
			}
			return lists(`#EXT-X-PRELOAD-HINT.*\n`, "")(nil, list) + "#EXT-X-ENDLIST\n"
		}},
		{rule: "fixed-target", edit: func(_ *http.Request, list string) string {
			return strings.Replace(list, "PART-TARGET=0.12", fmt.Sprintf("PART-TARGET=0.1%d", 2+counter.Add(1)%2), 1)
		}},
		{rule: "fixed-control", edit: func(_ *http.Request, list string) string {
			return strings.Replace(list, "CAN-SKIP-UNTIL=12", fmt.Sprintf("CAN-SKIP-UNTIL=1%d", 2+counter.Add(1)/3%5), 1)
		}},
		{rule: "forward", edit: func(r *http.Request, list string) string {
			return lists(`DISCONTINUITY-SEQUENCE:\d+`, fmt.Sprintf("DISCONTINUITY-SEQUENCE:%d", counter.Add(1)))(r, list)
		}},
		{rule: "forward", edit: func(_ *http.Request, list string) string {
			return renumber(list, "#EXT-X-MEDIA-SEQUENCE:", -int(counter.Add(1)))
		}},
		{rule: "same-address", edit: func(_ *http.Request, list string) string {
			return strings.ReplaceAll(list, ".m4s", fmt.Sprintf(".m4s?%d", counter.Add(1)))
		}},
		{rule: "same-address", edit: func(r *http.Request, list string) string { // gaps that come and go
			return lists(`#EXTINF`, strings.Repeat("#EXT-X-GAP\n", int(counter.Add(1)/3%2))+"#EXTINF")(r, list)
		}},
		{rule: "time", edit: lists(`#EXT-X-PROGRAM-DATE-TIME.*\n`, "")},
		{rule: "time-flow", edit: lists(`EXTINF:[\d.]+`, "EXTINF:1.50000")},
		{rule: "cuts", edit: func(_ *http.Request, list string) string {
			return strings.Replace(lists(`#EXT-X-DISCONTINUITY-SEQUENCE.*\n`, "")(nil, list), "#EXT-X-PROGRAM", "#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM", 1)
		}},
		{rule: "map-cut", edit: func(_ *http.Request, list string) string {
			return lists(`((?s).*)(#EXT-X-PROGRAM-DATE-TIME)`, "$1#EXT-X-MAP:URI=\"other.mp4\"\n$2")(nil, list)
		}},
		{rule: "not-vod", edit: lists(`#EXT-X-PART-INF`, "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-PART-INF")},
		{rule: "length", edit: func(_ *http.Request, list string) string { return from(list, 3) }},
		{rule: "old-parts", edit: lists(`#EXTINF`, "#EXT-X-PART:DURATION=0.12,URI=\"x\"\n#EXTINF")},
		{rule: "media", alter: func(r *http.Request, w *httptest.ResponseRecorder) {
			if wholeFile.MatchString(r.URL.Path) {
				w.Code = http.StatusNotFound
			}
		}},
		{rule: "removed", alter: func(r *http.Request, w *httptest.ResponseRecorder) {
			list := httptest.NewRecorder()
			s.bridge.ServeHTTP(list, httptest.NewRequest("GET", "/hls/cam/v0.m3u8", nil))
			if wholeFile.MatchString(r.URL.Path) && strings.Contains(r.URL.Path, "v0") && !strings.Contains(list.Body.String(), strings.TrimPrefix(r.URL.Path, "/hls/cam/")) {
				w.Code = http.StatusNotFound
			}
		}},
		{rule: "map", edit: lists(`#EXT-X-MAP.*\n`, "")},
		{rule: "join", alter: func(r *http.Request, w *httptest.ResponseRecorder) {
			if wholeFile.MatchString(r.URL.Path) {
				w.Body.WriteString("more")
			}
		}},
		{rule: "gzip", query: func(r *http.Request) { r.Header.Del("Accept-Encoding") }},
		{rule: "gzip", alter: func(r *http.Request, w *httptest.ResponseRecorder) { // another playlist
			if w.Header().Get("Content-Encoding") == "gzip" {
				w.Body.Reset()
				z := gzip.NewWriter(w.Body)
				io.WriteString(z, "#EXTM3U\n")
				z.Close()
			}
		}},
		{rule: "type", alter: func(_ *http.Request, w *httptest.ResponseRecorder) { w.Header().Set("Content-Type", "text/plain") }},
		{rule: "cache", alter: func(_ *http.Request, w *httptest.ResponseRecorder) {
			w.Header().Set("Cache-Control", "max-age=5, s-maxage=0")
		}},
		{rule: "age", alter: func(_ *http.Request, w *httptest.ResponseRecorder) { w.Header().Set("Via", "1.1 cache") }},
		{rule: "http2", tls: true},
		{rule: "cors", alter: func(_ *http.Request, w *httptest.ResponseRecorder) {
			w.Header().Del("Access-Control-Allow-Origin")
		}},
		{rule: "variants", edit: lists(`BANDWIDTH=\d+`, "BANDWIDTH=x")},
		{rule: "variants-full", edit: lists(`AVERAGE-BANDWIDTH=\d+,`, "")},
	}
}

// independent is an origin that does otherwise what it may: the sound has numbers of its own, dates another form, caches their own directive.
func independent() *fault {
	const more = 1000
	return &fault{
		query: func(r *http.Request) {
			if msn, err := strconv.Atoi(r.URL.Query().Get("_HLS_msn")); err == nil && strings.Contains(r.URL.Path, "a0") {
				r.URL.RawQuery = strings.Replace(r.URL.RawQuery, strconv.Itoa(msn), strconv.Itoa(max(0, msn-more)), 1)
			}
		},
		edit: func(r *http.Request, list string) string {
			list = lists(`(DATE-TIME:.*)Z`, "$1+0000")(r, list)
			if strings.Contains(r.URL.Path, "a0") {
				return renumber(list, "#EXT-X-MEDIA-SEQUENCE:", more)
			}
			return renumber(list, `URI="a0.m3u8",LAST-MSN=`, more)
		},
		alter: func(_ *http.Request, w *httptest.ResponseRecorder) {
			w.Header().Set("Cache-Control", "public, s-maxage=2, no-transform")
		},
	}
}

// handler is the fault's origin.
func (f *fault) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Clone(r.Context())
		if f.query != nil {
			f.query(asked)
		}
		if f.serve != nil && f.serve(next, w, asked) {
			return
		}
		edits := f.edit != nil && strings.HasSuffix(r.URL.Path, ".m3u8")
		if !edits && f.alter == nil {
			next.ServeHTTP(w, asked)
			return
		}
		rec := httptest.NewRecorder()
		if edits {
			zip := strings.Contains(asked.Header.Get("Accept-Encoding"), "gzip")
			asked.Header.Del("Accept-Encoding")
			next.ServeHTTP(rec, asked)
			list := f.edit(r, rec.Body.String())
			rec.Body.Reset()
			if zip {
				z := gzip.NewWriter(rec.Body)
				io.WriteString(z, list)
				z.Close()
				rec.Header().Set("Content-Encoding", "gzip")
			} else {
				rec.Body.WriteString(list)
			}
		} else {
			next.ServeHTTP(rec, asked)
		}
		if f.alter != nil {
			f.alter(r, rec)
		}
		rec.Header().Del("Content-Length")
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	})
}

// check probes an origin with a fault.
func (f *fault) check(t *testing.T, origin http.Handler) *conform.Report {
	server := httptest.NewUnstartedServer(f.handler(origin))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	o := conform.Options{Watch: max(time.Second, f.watch)}
	if f.tls {
		server.StartTLS()
		o.Client = server.Client()
	} else {
		server.Start()
	}
	defer server.Close()
	r, err := conform.Check(context.Background(), server.URL+"/hls/cam/index.m3u8", o)
	if err != nil {
		t.Errorf("%s: %v", f.rule, err)
	}
	return r
}

// The prober finds nothing on this origin, and on each of these the fault that was put in. Every rule has one.
func TestConformance(t *testing.T) {
	s := live(t)
	expectNone := func(r *conform.Report) {
		t.Helper()
		var text bytes.Buffer
		r.Print(&text)
		for _, f := range r.Findings {
			require.Equal(t, "cadence", f.ID, text.String()) // a slow machine's, not the origin's
		}
	}
	expectNone((&fault{}).check(t, s.bridge))
	moved := http.NewServeMux() // elsewhere, by redirection
	moved.Handle("/hls/cam/index.m3u8", http.RedirectHandler("/elsewhere/hls/cam/index.m3u8", http.StatusFound))
	moved.Handle("/elsewhere/", http.StripPrefix("/elsewhere", s.bridge))
	expectNone((&fault{}).check(t, moved))
	expectNone(independent().check(t, s.bridge))

	all := faults(s)
	reports := make([]*conform.Report, len(all))
	var checks sync.WaitGroup
	slots := make(chan struct{}, 8) // at once: they wait for the most part
	for i := range all {
		slots <- struct{}{}
		checks.Go(func() {
			reports[i] = all[i].check(t, s.bridge)
			<-slots
		})
	}
	checks.Wait()
	shown := map[string]bool{}
	for i, f := range all {
		shown[f.rule] = true
		var text bytes.Buffer
		reports[i].Print(&text)
		if !reports[i].Broken(f.rule) {
			t.Errorf("row %d: %s was not found:\n%s", i, f.rule, text.String())
		}
	}
	for _, rule := range conform.Rules {
		require.True(t, shown[rule.ID], "no origin here breaks %s", rule.ID)
	}
}
