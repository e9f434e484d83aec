package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e"
	"watershed/cmd/watershed/loadtest"
)

// hls measures the origin: one crowd on it, many streams on it, and what caches before it leave of a crowd.
func hls(b *bench) error {
	for _, part := range []func(*bench) error{origin, hundred, edges} {
		if err := part(b); err != nil {
			return err
		}
	}
	return nil
}

// least prints a row whose goal is a least.
func (b *bench) least(what string, goal, measured float64, unit string) {
	mark := "ok"
	if !(measured >= goal) {
		mark = "MISSED"
	}
	fmt.Printf("  %-44s ≥ %7.5g  %9.5g %-10s %s\n", what, goal, measured, unit, mark)
}

// origin measures a fresh node with one 720p25 stream in parts of 120 ms.
func origin(b *bench) (err error) {
	s, err := b.start(1, "river", func(c *config.Config) { c.HLS.Part = 150 * time.Millisecond })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	list := s.node.URL + "/hls/cam0/v0.m3u8"
	if _, err := read(list); err != nil { // the first request starts packaging, and waits for it
		return err
	}
	if err := b.sleep(5 * time.Second); err != nil {
		return err
	}
	if err := b.blocked(s, list); err != nil {
		return err
	}
	if err := b.sleep(5 * time.Second); err != nil { // now the playlist is as long as it gets
		return err
	}
	return b.rates(s, list)
}

// blocked has 10,000 requests wait for one part.
func (b *bench) blocked(s *setup, list string) error {
	load := loadtest.Blocked{URL: list, Requests: 10000, Rounds: 3, PID: s.node.PID()}
	r, err := load.Run(b.ctx)
	if err != nil {
		return err
	}
	failed, worst, said, spoiled := 0, 0.0, []string{}, 0
	for _, x := range r.Rounds {
		failed += x.Failed
		if x.Held < 0 { // the part was there before all had asked for it
			spoiled++
			continue
		}
		after := x.Answers.P99 + max(0, x.Clock)
		worst = max(worst, after)
		said = append(said, fmt.Sprintf("%.0f (%.0f)", after, x.Answers.P50+max(0, x.Clock)))
	}
	if len(said) == 0 {
		return errors.New("10,000 blocked: in every round the part came before all had asked for it")
	}
	b.figure("10,000 blocked on one reload: not answered", 0, float64(failed), "")
	b.figure("10,000 blocked: p99 after the part's end", 150, worst, "ms")
	b.figure("10,000 blocked: memory each", 30, r.Memory/1024, "KiB")
	b.note("10,000 blocked: p99 (p50) of each round", "%s ms, by the playlist's clock, so its publication counts too; %d rounds spoiled", strings.Join(said, ", "), spoiled)
	return nil
}

// rates measures answers a second on 50 connections, beside a server that renders each.
func (b *bench) rates(s *setup, list string) error {
	text, err := read(list)
	if err != nil {
		return err
	}
	part := list[:strings.LastIndexByte(list, '/')+1] + lastPart(text)
	theirs, stop, err := b.reference(list, part)
	if err != nil {
		return err
	}
	defer stop()
	measure := func(pid int, urls ...string) (r *loadtest.RateResult) {
		if err == nil {
			r, err = (&loadtest.Rate{URLs: urls, Conns: 50, Duration: 4 * time.Second, PID: pid}).Run(b.ctx)
		}
		return r
	}
	lists, theirLists, theirZipped := measure(s.node.PID(), list), measure(theirs.pid, theirs.list), measure(theirs.pid, theirs.zipped)
	both, theirBoth := measure(s.node.PID(), list, part), measure(theirs.pid, theirs.list, theirs.part)
	parts := measure(s.node.PID(), part)
	if err != nil {
		return err
	}
	b.least("playlists/s, 50 connections, ours/theirs plain", 2, lists.PerSecond()/theirLists.PerSecond(), "")
	b.least("playlists and parts/s in turn, ours/theirs", 2, both.PerSecond()/theirBoth.PerSecond(), "")
	b.note("  playlists/s, ours/theirs compressed", "%.1f", lists.PerSecond()/theirZipped.PerSecond())
	b.note("  ours", "%.0f playlists/s, %.0f of both/s, %.0f parts/s", lists.PerSecond(), both.PerSecond(), parts.PerSecond())
	b.note("  ours, CPU of the node each", "%.1f, %.1f, %.1f µs; the tester beside it took %.2f cores", lists.Micros(), both.Micros(), parts.Micros(), lists.TesterCPU/lists.Seconds)
	b.note("  theirs: rendered for each, under one lock", "%.0f plain playlists/s, %.0f compressed for each, %.0f of plain and parts; %.1f, %.1f, %.1f µs (net/http, in a process of its own)",
		theirLists.PerSecond(), theirZipped.PerSecond(), theirBoth.PerSecond(), theirLists.Micros(), theirZipped.Micros(), theirBoth.Micros())
	zipped, err := compressed(list)
	if err != nil {
		return err
	}
	b.note("  bytes of a playlist", "%d plain (theirs), %d compressed (ours, once for all)", len(text), zipped)
	return b.crowds(s, both)
}

// crowds computes what more viewers than there can be here would need: by how often one asks, which is measured, and what a playlist and a part cost.
func (b *bench) crowds(s *setup, both *loadtest.RateResult) error {
	load := loadtest.HLS{URLs: []string{s.node.URL + "/hls/cam0/index.m3u8"}, Viewers: 20, Rate: 20, Duration: 5 * time.Second}
	r, err := load.Run(b.ctx)
	if err != nil {
		return err
	}
	for _, viewers := range []float64{10e3, 50e3} {
		rate := viewers * perViewer(r)
		b.note(fmt.Sprintf("computed: %.0f viewers on the origin itself", viewers), "%.0f requests a second (%.1f each, measured with %d; parts of 120 ms, pictures alone), %.1f cores like these",
			rate, perViewer(r), r.Viewers, rate*both.Micros()/1e6)
	}
	return nil
}

// perViewer is how many requests a second a viewer made.
func perViewer(r *loadtest.HLSResult) float64 {
	return float64(r.Total()) / r.Seconds / float64(r.Viewers)
}

// compressed size of a playlist.
func compressed(url string) (int64, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return io.Copy(io.Discard, res.Body)
}

// lastPart that a playlist lists.
func lastPart(text string) string {
	const tag = `#EXT-X-PART:`
	line := text[strings.LastIndex(text, tag):]
	_, uri, _ := strings.Cut(line, `URI="`)
	uri, _, _ = strings.Cut(uri, `"`)
	return uri
}

func read(url string) (string, error) {
	res, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", url, res.Status, body)
	}
	return string(body), err
}

// hundred packages a hundred 720p25 cameras, and then has each watched by one viewer.
func hundred(b *bench) (err error) {
	const n = 100
	s, err := b.start(n, "river", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	pulled, err := b.cores(s, 10*time.Second)
	if err != nil {
		return err
	}
	load := loadtest.HLS{Viewers: n, Rate: 50, Duration: 15 * time.Second, PID: s.node.PID()}
	for i := range n {
		url := fmt.Sprintf("%s/hls/cam%d/index.m3u8", s.node.URL, i)
		if _, err := read(url); err != nil { // packaged from now on
			return err
		}
		load.URLs = append(load.URLs, url)
	}
	if err := b.sleep(5 * time.Second); err != nil {
		return err
	}
	packaged, err := b.cores(s, 10*time.Second)
	if err != nil {
		return err
	}
	b.figure("packaging one 720p25 stream of 2 Mb/s", 1, 100*(packaged-pulled)/n, "% of core")
	b.note("  100 streams", "%.2f cores pulled, %.2f cores pulled and packaged", pulled, packaged)
	r, err := load.Run(b.ctx)
	if err != nil {
		return err
	}
	b.figure("100 streams, a viewer each: stalls", 0, float64(r.Stalls+r.Skipped+r.Errors), "")
	b.figure("100 streams: part p99 after listed", 320, r.Listed.P99, "ms")
	b.note("  CPU", "%.2f cores of the node, %.2f of cameras and viewers, %.0f requests a second", r.CPU/r.Seconds, r.TesterCPU/r.Seconds, float64(r.Total())/r.Seconds)
	return nil
}

// cores that the node uses.
func (b *bench) cores(s *setup, d time.Duration) (float64, error) {
	before, began := loadtest.CPUSeconds(s.node.PID()), time.Now()
	err := b.sleep(d)
	return (loadtest.CPUSeconds(s.node.PID()) - before) / time.Since(began).Seconds(), err
}

// edges measures what caches leave of 50 and 500 viewers of one stream of 180 kb/s.
func edges(b *bench) (err error) {
	s, err := b.start(1, "coast", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if _, err := read(s.node.URL + "/hls/cam0/v0.m3u8"); err != nil {
		return err
	}
	if err := b.sleep(4 * time.Second); err != nil {
		return err
	}
	for _, name := range append([]string{"shield"}, e2e.Edges...) {
		if err := b.edge(s, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// edge measures one cache. Its goals are those of its kind: nginx looks for what it waits for twice a second only.
func (b *bench) edge(s *setup, name string) (err error) {
	url, stop, err := b.startEdge(s, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	crowd := func(viewers int) (*loadtest.HLSResult, error) {
		load := loadtest.HLS{URLs: []string{url}, Viewers: viewers, Rate: 250, Duration: 6 * time.Second, Origin: "http://" + s.node.Listening["metrics"] + "/metrics"}
		return load.Run(b.ctx)
	}
	few, err := crowd(50)
	if err != nil {
		return err
	}
	many, err := crowd(500)
	if err != nil {
		return err
	}
	most := 0.0
	for _, r := range []*loadtest.HLSResult{few, many} {
		for _, fetches := range r.FetchesPerObject() {
			most = max(most, fetches)
		}
	}
	before, after := few.OriginTotal()/few.Whole, many.OriginTotal()/many.Whole
	cut := 100 * (1 - after*many.Seconds/float64(many.Total()))
	b.figure(name+", fetches per object, the most of any kind", 1.05, most, "")
	b.least(name+", 500 viewers: load cut", map[bool]float64{true: 95, false: 99}[name == "nginx"], cut, "%")
	b.figure(name+", origin requests/s, 500 over 50 viewers", 1.1, after/before, "times")
	b.note("  measured", "%.1f and %.1f requests/s at the origin, %.0f and %.0f of the viewers; %d stalls, %d errors; part p95 %.0f ms after listed",
		before, after, float64(few.Total())/few.Seconds, float64(many.Total())/many.Seconds, many.Stalls, few.Errors+many.Errors, many.Listed.P95)
	b.note("  computed: 50,000 viewers", "%.0f requests/s at the cache, %.1f at the origin, as it does not grow with viewers", 50e3*perViewer(many), after)
	return nil
}

// startEdge runs a cache before the set-up's node, and tells the address of cam0 there.
func (b *bench) startEdge(s *setup, name string) (url string, stop func() error, err error) {
	dir, err := os.MkdirTemp(b.folder, name+"-")
	if err != nil {
		return "", nil, err
	}
	if name != "shield" {
		e, err := e2e.StartEdge(name, strings.TrimPrefix(s.node.URL, "http://"), dir)
		if err != nil {
			return "", nil, err
		}
		return e.URL + "/hls/cam0/index.m3u8", e.Stop, nil
	}
	c := e2e.Config(dir)
	c.Streams = map[string]config.Stream{"cam0": {Public: true, Shield: true, Source: s.node.URL + "/hls/cam0/index.m3u8"}}
	n, err := e2e.Start(b.binary, c)
	if err != nil {
		return "", nil, err
	}
	return n.URL + "/hls/cam0/index.m3u8", func() error { return n.Stop(10 * time.Second) }, nil
}
