// Package conform looks at an LL-HLS origin from outside and tells where it does not do what the specification asks: draft-pantos-hls-rfc8216bis-22
// and Apple's authoring specification. It knows nothing of this server: any will do.
package conform

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// Finding is a rule that the origin broke.
type Finding struct {
	Rule
	Where  string // a playlist
	Detail string
}

// Report of a check.
type Report struct {
	Checked  map[string]int // by rule: how often it was looked at
	Findings []Finding      // the first of each rule and playlist
}

// Failed reports whether a rule of the specification was broken, or with strict also one that says SHOULD or is Apple's.
func (r *Report) Failed(strict bool) bool {
	for _, f := range r.Findings {
		if strict || f.Level == Must {
			return true
		}
	}
	return false
}

// Broken reports whether a rule was.
func (r *Report) Broken(id string) bool {
	for _, f := range r.Findings {
		if f.ID == id {
			return true
		}
	}
	return false
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	for _, rule := range Rules {
		state := "ok  "
		switch {
		case r.Broken(rule.ID):
			state = "FAIL"
		case r.Checked[rule.ID] == 0:
			state = "-   "
		}
		fmt.Fprintf(w, "%s  %-6s %-8s  %s\n", state, rule.Level, rule.Section, rule.Text)
		for _, f := range r.Findings {
			if f.ID == rule.ID {
				fmt.Fprintf(w, "      %s: %s\n", f.Where, f.Detail)
			}
		}
	}
	fmt.Fprintf(w, "%d rules checked, %d findings (- could not be looked at here).\n%s\n", len(r.Checked), len(r.Findings), notLookedAt)
}

const notLookedAt = "Not looked at: what is in the media (keyframes, tracks, changes of codecs), encryption, date ranges, byte ranges, hints at initialisation segments,\n" +
	"subtitles, I-frame playlists, live playlists without parts over time, TLS, and what players make of it: none of Apple's was asked."

// Options of a check.
type Options struct {
	Watch  time.Duration // how long playlists are followed; 15 s if zero
	Outage time.Duration // how long the origin may not answer, or say 503, while it is followed: it is restarted. What it says then must go on from before
	Client *http.Client
}

// prober is one check.
type prober struct {
	o      Options
	mu     sync.Mutex // guards report
	report Report
}

// expect notes that a rule was looked at, and whether it holds.
func (p *prober) expect(id string, ok bool, where, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Checked[id]++
	if ok {
		return
	}
	for _, f := range p.report.Findings {
		if f.ID == id && f.Where == where {
			return
		}
	}
	p.report.Findings = append(p.report.Findings, Finding{rule(id), where, fmt.Sprintf(format, args...)})
}

// response that was read.
type response struct {
	url    string // after redirections
	proto  int    // major version of HTTP
	status int
	header http.Header
	body   string
	flow   time.Duration // from its first byte to its last
}

// get an address. accept is the Accept-Encoding.
func (p *prober) get(ctx context.Context, url, accept string) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var began time.Time
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { began = time.Now() }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Accept-Encoding", accept)
	res, err := p.o.Client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	var from io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" {
		if from, err = gzip.NewReader(res.Body); err != nil {
			return response{}, fmt.Errorf("%s: broken gzip: %w", url, err)
		}
	}
	body, err := io.ReadAll(io.LimitReader(from, 64<<20))
	return response{res.Request.URL.String(), res.ProtoMajor, res.StatusCode, res.Header, string(body), time.Since(began)}, err
}

// Check looks at the origin whose multivariant or media playlist has this address. It fails only when there is nothing to look at.
func Check(ctx context.Context, url string, o Options) (*Report, error) {
	if o.Watch == 0 {
		o.Watch = 15 * time.Second
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}}
	}
	p := &prober{o: o, report: Report{Checked: map[string]int{}}}
	first, err := p.get(ctx, url, "identity")
	if err != nil {
		return nil, err
	}
	if first.status != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %s", url, first.status, strings.TrimSpace(first.body))
	}
	if !strings.HasPrefix(first.body, "#EXTM3U") {
		return nil, errors.New(url + " is not a playlist")
	}
	lists := []string{url}
	if strings.Contains(first.body, "#EXT-X-STREAM-INF") {
		lists = p.multivariant(first.url, &first)
	}
	p.together(ctx, lists)
	var all sync.WaitGroup
	for _, l := range lists {
		all.Go(func() { p.playlist(ctx, l, lists) })
	}
	all.Wait()
	p.together(ctx, lists)
	return &p.report, ctx.Err()
}

// Lists looks at one media playlist as somebody got it again and again, without asking an origin.
func Lists(where string, versions ...string) *Report {
	p := &prober{report: Report{Checked: map[string]int{}}}
	var before *media
	for _, text := range versions {
		m := parseMedia(text)
		p.static(where, m)
		if before != nil {
			p.succeeds(where, before, m)
		}
		before = m
	}
	return &p.report
}

// name of a playlist in a report: the end of its address.
func name(url string) string {
	url, _, _ = strings.Cut(url, "?")
	return url[strings.LastIndexByte(url, '/')+1:]
}

// multivariant checks the first playlist and returns the addresses of the media playlists.
func (p *prober) multivariant(url string, r *response) (lists []string) {
	where := name(url)
	add := func(ref string) {
		l := resolve(url, ref)
		for _, have := range lists {
			if have == l {
				return
			}
		}
		lists = append(lists, l)
	}
	var variant map[string]string
	for l := range strings.Lines(r.body) {
		l = strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(l, "#EXT-X-STREAM-INF:"):
			_, list, _ := strings.Cut(l, ":")
			variant = attributes(list)
			p.expect("variants", number(variant["BANDWIDTH"]) > 0, where, "no BANDWIDTH in %s", l)
			pictures := strings.Contains(variant["CODECS"], "avc") || strings.Contains(variant["CODECS"], "hvc") || variant["RESOLUTION"] != ""
			full := variant["CODECS"] != "" && variant["AVERAGE-BANDWIDTH"] != "" && (!pictures || variant["RESOLUTION"] != "" && variant["FRAME-RATE"] != "")
			p.expect("variants-full", full, where, "something is missing in %s", l)
		case strings.HasPrefix(l, "#EXT-X-MEDIA:"):
			_, list, _ := strings.Cut(l, ":")
			if a := attributes(list); a["URI"] != "" {
				add(a["URI"])
			}
		case l != "" && !strings.HasPrefix(l, "#"):
			add(l)
		}
	}
	p.typed(where, r)
	return lists
}

func (p *prober) typed(where string, r *response) {
	t, _, _ := strings.Cut(strings.ToLower(r.header.Get("Content-Type")), ";")
	p.expect("type", t == "application/vnd.apple.mpegurl" || t == "audio/mpegurl" || t == "application/x-mpegurl", where, "Content-Type %q", t)
	p.expect("cors", r.header.Get("Access-Control-Allow-Origin") != "", where, "no Access-Control-Allow-Origin")
	if strings.HasPrefix(r.url, "https:") {
		p.expect("http2", r.proto >= 2, where, "HTTP/%d", r.proto)
	}
	if r.header.Get("Via") != "" || r.header.Get("X-Cache") != "" {
		p.expect("age", r.header.Get("Age") != "", where, "no Age, though a cache answers (Via %q, X-Cache %q)", r.header.Get("Via"), r.header.Get("X-Cache"))
	}
}
