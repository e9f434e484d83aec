package loadtest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is what all viewers have seen, in the measured time.
type crowd struct {
	measuring atomic.Bool

	mu     sync.Mutex // guards what follows
	result HLSResult
	keys   map[string]map[string]bool // addresses by kind
	listed map[string]time.Time       // part by address: when any viewer's playlist first had it
	played map[*playback]bool

	sinceListed, sinceEnd, held []float64 // milliseconds
}

// playback is what the player of one rendition has. The crowd's mutex guards it.
type playback struct {
	joined, until time.Time   // what is buffered lasts until then; zero before the first part
	loading       *listedPart // nil if nothing is
}

func newCrowd() *crowd {
	c := &crowd{keys: map[string]map[string]bool{}, listed: map[string]time.Time{}, played: map[*playback]bool{}}
	c.result.Requests = map[string]int{}
	for _, k := range hlsKinds {
		c.keys[k] = map[string]bool{}
	}
	return c
}

func (c *crowd) begin() { c.measuring.Store(true) }

// end of the measured time. Who waits for something then has waited for so long: a server that answers nothing any more would else look like a good one.
func (c *crowd) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for b := range c.played {
		if b.loading != nil {
			c.sample(*b.loading, now)
		}
		since := b.until
		if since.IsZero() {
			since = b.joined
		}
		c.stalled(now.Sub(since))
	}
	c.measuring.Store(false)
}

// asked notes a request, also outside the measured time: the origin counts those too.
func (c *crowd) asked(kind, address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[kind][short(address)] = true
}

// answered notes a response.
func (c *crowd) answered(kind, protocol string, size int) {
	if !c.measuring.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Requests[kind]++
	c.result.Bytes += uint64(size)
	c.result.HTTP = protocol
}

func (c *crowd) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Errors++
	if c.result.Error == "" {
		c.result.Error = err.Error()
	}
}

// list notes when parts were seen in a playlist first.
func (c *crowd) list(base string, parts []listedPart, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range parts {
		parts[i].uri = resolve(base, parts[i].uri)
		address := short(parts[i].uri)
		if _, has := c.listed[address]; !has {
			c.listed[address] = now
		}
	}
}

// join begins a playback, which leave ends.
func (c *crowd) join() *playback {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &playback{joined: time.Now()}
	c.played[b] = true
	return b
}

func (c *crowd) leave(b *playback) {
	c.mu.Lock()
	delete(c.played, b)
	c.mu.Unlock()
}

// load notes that a part is asked for; nil is one that did not come.
func (c *crowd) load(b *playback, p *listedPart) {
	c.mu.Lock()
	b.loading = p
	c.mu.Unlock()
}

// got plays a part, and notes its last byte: what comes later than its turn is a stall.
func (c *crowd) got(b *playback, p listedPart, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.loading = nil
	c.sample(p, now)
	if !b.until.IsZero() {
		c.stalled(now.Sub(b.until))
	}
	if b.until.Before(now) {
		b.until = now
	}
	b.until = b.until.Add(p.duration)
}

// gap plays a part that there is none of. Nothing begins with one.
func (c *crowd) gap(b *playback, p listedPart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !b.until.IsZero() {
		b.until = b.until.Add(p.duration)
	}
}

// sample notes how old a part is. The mutex is held.
func (c *crowd) sample(p listedPart, now time.Time) {
	if !c.measuring.Load() {
		return
	}
	c.sinceListed = append(c.sinceListed, now.Sub(c.listed[short(p.uri)]).Seconds()*1e3)
	if !p.end.IsZero() {
		c.sinceEnd = append(c.sinceEnd, now.Sub(p.end).Seconds()*1e3)
	}
}

// stalled notes how late something is, if it is. The mutex is held.
func (c *crowd) stalled(late time.Duration) {
	if late > 0 && c.measuring.Load() {
		c.result.Stalls++
		c.result.Stalled += late
	}
}

func (c *crowd) reload(held time.Duration) {
	if c.measuring.Load() {
		c.mu.Lock()
		c.held = append(c.held, held.Seconds()*1e3)
		c.mu.Unlock()
	}
}

func (c *crowd) skipped() {
	if c.measuring.Load() {
		c.mu.Lock()
		c.result.Skipped++
		c.mu.Unlock()
	}
}

func (c *crowd) collect(r *HLSResult) {
	r.Requests, r.Bytes, r.HTTP = c.result.Requests, c.result.Bytes, c.result.HTTP
	r.Errors, r.Error = c.result.Errors, c.result.Error
	r.Stalls, r.Stalled, r.Skipped = c.result.Stalls, c.result.Stalled, c.result.Skipped
	r.Keys = map[string]int{}
	for k, all := range c.keys {
		r.Keys[k] = len(all)
	}
	r.Listed, r.Clock, r.Wait = spread(c.sinceListed), spread(c.sinceEnd), spread(c.held)
	r.HasClock = len(c.sinceEnd) > 0 && r.Clock.P50 > -50 && r.Clock.P50 < 30e3 // else the two clocks differ, or the server's is not in the playlist
}

// hlsViewer is one player.
type hlsViewer struct {
	crowd  *crowd
	client *http.Client
	url    string
	number int
}

func (v *hlsViewer) run(ctx context.Context) {
	text, err := v.get(ctx, "index", v.url)
	if err != nil {
		v.fail(ctx, err)
		return
	}
	all := variants(text)
	if len(all) == 0 {
		v.fail(ctx, fmt.Errorf("%s is not a multivariant playlist", v.url))
		return
	}
	var renditions sync.WaitGroup
	for _, uri := range all[v.number%len(all)] {
		renditions.Go(func() { v.watch(ctx, resolve(v.url, uri)) })
	}
	renditions.Wait()
}

func (v *hlsViewer) fail(ctx context.Context, err error) {
	if ctx.Err() == nil {
		v.crowd.failed(err)
	}
}

// again after an answer that was none: as soon as hls.js asks again.
const again = time.Second

// watch follows one rendition: reloads here, media in a goroutine of its own, as in a browser.
func (v *hlsViewer) watch(ctx context.Context, address string) {
	todo := make(chan listedPart, 4096)
	var loading sync.WaitGroup
	loading.Go(func() { v.load(ctx, todo) })
	defer loading.Wait()
	defer close(todo)
	var last listedPart
	var have *mediaList
	inits := map[string]bool{}
	for ctx.Err() == nil {
		l, err := v.reload(ctx, address, have)
		if err != nil {
			v.fail(ctx, err)
			have = nil
			sleep(ctx, again)
			continue
		}
		for _, uri := range l.inits {
			if uri = resolve(address, uri); !inits[uri] {
				inits[uri] = true
				if _, err := v.get(ctx, "init", uri); err != nil {
					v.fail(ctx, err)
				}
			}
		}
		last = v.enqueue(address, l, last, todo)
		if have = l; l.ended {
			return
		}
	}
}

// enqueue hands over what is new.
func (v *hlsViewer) enqueue(address string, l *mediaList, last listedPart, todo chan<- listedPart) listedPart {
	fresh := l.after(last.msn, last.index)
	if last.uri == "" && len(l.parts) > 0 {
		fresh = l.parts[l.start():]
	} else if len(fresh) > 0 && fresh[0].msn > last.msn+1 {
		v.crowd.skipped()
	}
	v.crowd.list(address, fresh, time.Now())
	for _, p := range fresh {
		last = p
		select {
		case todo <- p:
		default:
			v.crowd.skipped()
		}
	}
	return last
}

// reload asks for the next part, and at first for what there is.
func (v *hlsViewer) reload(ctx context.Context, address string, have *mediaList) (*mediaList, error) {
	kind := "playlist"
	if have != nil {
		switch {
		case !have.canBlock:
			if err := sleep(ctx, again); err != nil {
				return nil, err
			}
		case have.lastPart >= 0:
			kind, address = "reload", fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", address, have.last, have.lastPart+1)
		default:
			kind, address = "reload", fmt.Sprintf("%s?_HLS_msn=%d", address, have.last+1)
		}
		if kind == "reload" && have.canSkip {
			address += "&_HLS_skip=YES"
		}
	}
	asked := time.Now()
	text, err := v.get(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	if kind == "reload" {
		v.crowd.reload(time.Since(asked))
	}
	l := parseList(text)
	if len(l.parts) == 0 {
		return nil, fmt.Errorf("%s lists nothing", short(address))
	}
	return l, nil
}

// load fetches parts one by one, and plays.
func (v *hlsViewer) load(ctx context.Context, todo <-chan listedPart) {
	b := v.crowd.join()
	defer v.crowd.leave(b)
	for p := range todo {
		if p.gap {
			v.crowd.gap(b, p)
			continue
		}
		kind := "part"
		if p.index < 0 {
			kind = "segment"
		}
		v.crowd.load(b, &p)
		if _, err := v.get(ctx, kind, p.uri); err != nil {
			v.fail(ctx, err)
			v.crowd.load(b, nil)
			continue
		}
		v.crowd.got(b, p, time.Now())
	}
}

// get an object. Playlists are unpacked.
func (v *hlsViewer) get(ctx context.Context, kind, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept-Encoding", "gzip")
	v.crowd.asked(kind, address)
	res, err := v.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = fmt.Errorf("%s: %w", short(address), u.Err)
		}
		return "", err
	}
	defer res.Body.Close()
	if kind == "part" || kind == "segment" || kind == "init" {
		n, err := io.Copy(io.Discard, res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", short(address), res.Status)
		}
		v.crowd.answered(kind, res.Proto, int(n))
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	v.crowd.answered(kind, res.Proto, len(body))
	if err == nil && res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %.200s", short(address), res.Status, body)
	}
	if err != nil || res.Header.Get("Content-Encoding") != "gzip" {
		return string(body), err
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(z, 8<<20))
	return string(text), err
}

// short leaves what may be secret out of an address: a path token.
func short(address string) string {
	before, rest, found := strings.Cut(address, "/t/")
	if !found {
		return address
	}
	_, rest, _ = strings.Cut(rest, "/")
	return before + "/t/.../" + rest
}
