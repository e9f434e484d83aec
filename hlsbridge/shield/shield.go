// Package shield is an edge cache for LL-HLS: any number of viewers in front, one request an object behind.
//
// Requests for the same thing at the same time share one fetch, also those that the origin holds until a part is there: when it answers, all are
// answered. What came is kept as long as its Cache-Control says. Queries are reduced to the delivery directives, so that nothing else
// makes a second copy.
package shield

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"watershed/hlsbridge/crowd"
)

// Config of a shield.
type Config struct {
	Origin string       // address of the multivariant playlist; everything below its folder is served
	Client *http.Client // nil: one of its own
	Bytes  int          // kept at most; 0 is 256 MiB
}

// Shield serves what an origin has.
type Shield struct {
	base   *url.URL // of the folder
	cfg    Config
	ctx    context.Context // of fetches: they outlive who asked first
	stop   context.CancelFunc
	flying sync.WaitGroup

	Requests, Fetches atomic.Int64 // so far

	mu      sync.Mutex // guards what follows
	objects map[address]*Object
	size    int
	flights int // fetches now
	swept   time.Time
}

// address of an object below the origin's folder.
type address struct{ file, query string }

// of it at the origin.
func (s *Shield) url(a address) string {
	u := s.base.ResolveReference(&url.URL{Path: "./" + a.file})
	u.RawQuery = a.query
	return u.String()
}

// Object is a response, or one that is being fetched. done is closed when the rest is valid, and it never changes then.
type Object struct {
	done        chan struct{}
	crowd       []*Waiter // the shield's mutex guards it
	err         error
	status      int
	header      http.Header // of those in kept
	plain, gzip []byte      // gzip is nil if it came plain
	at          time.Time   // when it came
	age         time.Duration
	keep        time.Duration
}

// Limits. An origin holds a reload for less than ten seconds; an object of more than 32 MiB is not of LL-HLS.
const (
	fetchTimeout = 12 * time.Second
	largest      = 32 << 20
	defaultBytes = 256 << 20
	errorKeep    = 500 * time.Millisecond // a dead origin is asked twice a second, not by each viewer
	sweepEvery   = time.Second
	mostFlights  = 256 // at once: a playlist's reloads and parts that are waited for are some dozens; who asks for every number there could be gets no more
)

// isName has what origins name files with. An escaped character could mean another file there than here, or the end of the path.
const isName = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._/-"

// kept headers of a response.
var kept = []string{"Content-Type", "Cache-Control", "Vary", "Priority", "Retry-After"}

var errBusy = errors.New("too many requests to it are under way")

// New returns a shield. Close ends it.
func New(cfg Config) (*Shield, error) {
	u, err := url.Parse(cfg.Origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.HasSuffix(u.Path, ".m3u8") {
		return nil, errors.New("a shield's source is the address of a multivariant playlist, as https://origin/hls/name/index.m3u8")
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: mostFlights, DisableCompression: true, ForceAttemptHTTP2: true}}
	}
	if cfg.Bytes == 0 {
		cfg.Bytes = defaultBytes
	}
	u.RawQuery = ""
	s := &Shield{base: u.ResolveReference(&url.URL{Path: "."}), cfg: cfg, objects: map[address]*Object{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends fetches, and waits for them.
func (s *Shield) Close() {
	s.stop()
	s.flying.Wait()
	s.cfg.Client.CloseIdleConnections()
}

// Waiter waits for an object.
type Waiter = crowd.Waiter[*Object]

// Plain reports a file's name below the folder as origins have them.
func Plain(file string) bool {
	return file != "" && strings.Trim(file, isName) == "" && path.Clean("/"+file) == "/"+file
}

// Join has a waiter answered when an object has come, at once if it has already.
func (s *Shield) Join(o *Object, w *Waiter) {
	s.mu.Lock()
	select {
	case <-o.done:
		s.mu.Unlock()
		w.Answer(o)
	default:
		o.crowd = crowd.Join(o.crowd, w)
		s.mu.Unlock()
	}
}

// Leave takes a waiter away that is not answered yet.
func (s *Shield) Leave(o *Object, w *Waiter) {
	s.mu.Lock()
	o.crowd, _ = crowd.Leave(o.crowd, w)
	s.mu.Unlock()
}

// Done is closed when the object has come.
func (o *Object) Done() <-chan struct{} { return o.done }

// Err is why it did not come.
func (o *Object) Err() error { return o.err }

// Object for a request: kept, being fetched, or fetched from now on. The file's name is plain; query has the delivery directives in their one form.
func (s *Shield) Object(file, query string) *Object {
	s.Requests.Add(1)
	key, now := address{file, query}, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[key]; o != nil && o.fresh(now) {
		return o
	}
	if o := s.objects[key]; o != nil {
		s.forget(key, o)
	}
	s.sweep(now)
	o := &Object{done: make(chan struct{})}
	if s.flights == mostFlights {
		o.err = errBusy
		close(o.done)
		return o
	}
	s.flights++
	s.objects[key] = o
	s.flying.Go(func() { s.fetch(key, o) })
	return o
}

// fresh reports an object that may be served: on its way, or not too old.
func (o *Object) fresh(now time.Time) bool {
	select {
	case <-o.done:
		return now.Sub(o.at) < o.keep
	default:
		return true
	}
}

func (s *Shield) fetch(key address, o *Object) {
	defer func() {
		s.mu.Lock()
		s.flights--
		s.size += o.size()
		close(o.done)
		crowd.Release(o.crowd, o, &s.flying)
		o.crowd = nil
		s.mu.Unlock()
	}()
	s.Fetches.Add(1)
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	err := o.get(ctx, s.cfg.Client, s.url(key))
	o.at = time.Now()
	if err != nil {
		o.err, o.keep = err, errorKeep
	}
}

func (o *Object) size() int { return len(o.plain) + len(o.gzip) }

func (o *Object) get(ctx context.Context, client *http.Client, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // its text has the address, and that may have a token
			err = u.Err
		}
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, largest+1))
	switch {
	case err != nil:
		return err
	case len(body) > largest:
		return errors.New("an object of more than 32 MiB")
	case res.StatusCode >= 500:
		return fmt.Errorf("status %d", res.StatusCode)
	}
	o.status, o.header, o.plain = res.StatusCode, http.Header{}, body
	for _, h := range kept {
		if v := res.Header.Values(h); len(v) > 0 {
			o.header[h] = v
		}
	}
	if res.Header.Get("Content-Encoding") == "gzip" {
		o.gzip = body
		o.plain, err = unzip(body)
	}
	o.keep = maxAge(res.Header.Get("Cache-Control"))
	if seconds, e := strconv.Atoi(res.Header.Get("Age")); e == nil && seconds > 0 {
		o.age = time.Duration(seconds) * time.Second
		o.keep -= o.age
	}
	return err
}

func unzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, largest))
}

// maxAge of a Cache-Control, zero if it may not be kept.
func maxAge(control string) time.Duration {
	if strings.Contains(control, "no-store") || strings.Contains(control, "private") || strings.Contains(control, "no-cache") {
		return 0
	}
	for directive := range strings.SplitSeq(control, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			n, err := strconv.Atoi(v)
			if err == nil && n > 0 {
				return time.Duration(n) * time.Second
			}
		}
	}
	return 0
}

// Write answers with an object that came, compressed if it is and the client takes that.
func (o *Object) Write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for k, v := range o.header {
		h[k] = v
	}
	h.Set("Age", strconv.Itoa(int((time.Since(o.at)+o.age)/time.Second)))
	body := o.plain
	if o.gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Header.Get("Range") == "" {
		h.Set("Content-Encoding", "gzip")
		body = o.gzip
	}
	if o.status == http.StatusOK && r.Header.Get("Range") != "" {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(o.status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// sweep forgets what is too old, and more if there is too much: the oldest first would need a list, and what is young is seldom asked for again, so any goes.
func (s *Shield) sweep(now time.Time) {
	if now.Sub(s.swept) < sweepEvery && s.size <= s.cfg.Bytes {
		return
	}
	s.swept = now
	for key, o := range s.objects {
		if !o.fresh(now) {
			s.forget(key, o)
		}
	}
	for key, o := range s.objects {
		if s.size <= s.cfg.Bytes {
			return
		}
		select {
		case <-o.done:
			s.forget(key, o)
		default:
		}
	}
}

func (s *Shield) forget(key address, o *Object) {
	s.size -= o.size()
	delete(s.objects, key)
}
