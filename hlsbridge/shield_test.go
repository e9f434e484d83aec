package hlsbridge

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
)

// counted notes how often each address was asked for.
type counted struct {
	next http.Handler
	dead atomic.Bool

	mu   sync.Mutex // guards asks
	asks map[string]int
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.dead.Load() {
		panic(http.ErrAbortHandler)
	}
	c.mu.Lock()
	c.asks[r.URL.RequestURI()]++
	c.mu.Unlock()
	c.next.ServeHTTP(w, r)
}

// Three hundred viewers of a shield follow a stream for three parts; its origin sees one request an object.
func TestShieldCollapses(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, nil)
	src, open := began(t, s, false)
	origin := &counted{next: s.bridge, asks: map[string]int{}}
	behind := httptest.NewServer(origin)
	defer behind.Close()
	front := newStudio(t, func(c *Config) { c.Shields = map[id.Stream]string{"edge": behind.URL + "/hls/cam/index.m3u8"} })
	front.sfu.Declare("edge", sfu.Spec{Public: true})

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 300}}
	defer client.CloseIdleConnections()
	get := func(file string) (int, string) {
		res, err := client.Get(front.server.URL + "/hls/edge/" + file)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return 0, err.Error()
		}
		return res.StatusCode, string(body)
	}
	const viewers, parts = 300, 3
	var all sync.WaitGroup
	var wrong atomic.Int64
	for range viewers {
		all.Go(func() {
			for k := range parts {
				status, list := get(fmt.Sprintf("v0.m3u8?_HLS_part=%d&_HLS_msn=%d&viewer=%p", k+2, open, &k)) // any order, and more
				if status != http.StatusOK {
					wrong.Add(1)
					continue
				}
				part := ""
				for _, found := range lines(list, "#EXT-X-PART:") {
					if uri := attribute(found, "URI"); strings.HasSuffix(uri, fmt.Sprintf("/%d.%d.m4s", open, k+2)) {
						part = uri
					}
				}
				if status, body := get(part); status != http.StatusOK || body == "" {
					wrong.Add(1)
				}
			}
		})
	}
	p := s.bridge.packager(s.stream)
	for range parts {
		require.Eventually(t, func() bool { return p.waits.blocked() == 1 }, 10*time.Second, time.Millisecond)
		src.send(3)
	}
	all.Wait()
	require.Zero(t, wrong.Load())
	for address, n := range origin.asks {
		require.Equal(t, 1, n, address)
	}
	require.Len(t, origin.asks, 2*parts)
	front.bridge.mu.RLock()
	defer front.bridge.mu.RUnlock()
	require.EqualValues(t, 2*parts*viewers, front.bridge.shields["edge"].Requests.Load())
}

// A dead origin is 503 with Retry-After, and found again by itself.
func TestShieldOutlivesOrigin(t *testing.T) {
	s := newStudio(t, nil)
	began(t, s, false)
	origin := &counted{next: s.bridge, asks: map[string]int{}}
	behind := httptest.NewServer(origin)
	defer behind.Close()
	front := newStudio(t, func(c *Config) { c.Shields = map[id.Stream]string{"cam": behind.URL + "/hls/cam/index.m3u8"} })
	origin.dead.Store(true)
	r := front.fetch("index.m3u8")
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	require.NotContains(t, r.body, behind.URL)
	origin.dead.Store(false)
	require.Eventually(t, func() bool { return front.fetch("index.m3u8").StatusCode == http.StatusOK }, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, http.StatusBadRequest, front.fetch("v0.m3u8?_HLS_part=1").StatusCode)
	require.Equal(t, http.StatusNotFound, front.fetch("nothing.m4s").StatusCode)
	require.NotEmpty(t, front.fetch("v0.m3u8").Header.Get("Age"))
}

// A shield asks for plain names below its folder only, so that nothing reaches the origin that means another file there, or the same one again.
func TestShieldAsksForPlainNames(t *testing.T) {
	origin := &counted{next: http.NotFoundHandler(), asks: map[string]int{}}
	behind := httptest.NewServer(origin)
	defer behind.Close()
	front := newStudio(t, func(c *Config) { c.Shields = map[id.Stream]string{"cam": behind.URL + "/t/x.y/hls/cam/index.m3u8?a=b"} })
	for _, odd := range []string{
		"%252e%252e/private/v0.m3u8", "%2e%2e/private/v0.m3u8", "e/%252e%252e/v0.m3u8", "v0.m3u8%3Fx=1", "e/v0/1.m4s%23a", "e/v0/1%20.m4s", "e//1.m4s", "%2Fv0.m3u8", "v0.m3u8%0a", "e/./1.m4s", "é.m3u8", "",
	} {
		require.Equal(t, http.StatusNotFound, front.fetch(odd).StatusCode, odd)
	}
	require.Empty(t, origin.asks)
	front.fetch("e/v0/1.0.m4s?x")
	front.fetch("v0.m3u8?_HLS_part=1&_HLS_msn=5&x")
	require.Equal(t, map[string]int{"/t/x.y/hls/cam/e/v0/1.0.m4s": 1, "/t/x.y/hls/cam/v0.m3u8?_HLS_msn=5&_HLS_part=1": 1}, origin.asks)
}

// Who asks a shield for every number there could be does not take the origin's connections without end.
func TestShieldBoundsFetches(t *testing.T) {
	noLeaks(t)
	const asked = 300
	hold, came := make(chan struct{}), make(chan struct{}, asked)
	behind := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		came <- struct{}{}
		<-hold
	}))
	defer behind.Close()
	front := newStudio(t, func(c *Config) { c.Shields = map[id.Stream]string{"cam": behind.URL + "/index.m3u8"} })
	answers := make(chan int, asked)
	var all sync.WaitGroup
	for i := range asked {
		all.Go(func() {
			w := httptest.NewRecorder()
			front.bridge.ServeHTTP(w, httptest.NewRequest("GET", fmt.Sprintf("/hls/cam/v0.m3u8?_HLS_msn=%d", i), nil))
			answers <- w.Code
		})
	}
	for range asked - 256 {
		require.Equal(t, http.StatusServiceUnavailable, <-answers)
	}
	for range 256 {
		<-came
	}
	require.Empty(t, answers)
	close(hold)
	all.Wait()
	for range 256 {
		require.Equal(t, http.StatusOK, <-answers)
	}
	require.Equal(t, http.StatusOK, front.fetch("v0.m3u8?_HLS_msn=1").StatusCode)
}

// kept is a response that can be postponed.
type kept struct {
	*httptest.ResponseRecorder
	gone     func()
	finished chan bool
}

func (k *kept) Postpone(gone func()) { k.gone = gone }
func (k *kept) Finish()              { k.finished <- true }
func (k *kept) Abort()               { k.finished <- false }

// Nothing but its connection is kept of a request that a shield's origin holds: the handler returns, and who leaves is forgotten.
func TestShieldPostpones(t *testing.T) {
	noLeaks(t)
	hold := make(chan struct{})
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-hold
		io.WriteString(w, "#EXTM3U")
	}))
	defer behind.Close()
	front := newStudio(t, func(c *Config) { c.Shields = map[id.Stream]string{"cam": behind.URL + "/index.m3u8"} })
	ask := func() *kept {
		k := &kept{httptest.NewRecorder(), nil, make(chan bool, 1)}
		front.bridge.ServeHTTP(k, httptest.NewRequest("GET", "/hls/cam/v0.m3u8?_HLS_msn=1", nil))
		return k
	}
	leaves, stays := ask(), ask()
	leaves.gone()
	close(hold)
	require.True(t, <-stays.finished)
	require.Equal(t, "#EXTM3U", stays.Body.String())
	require.Empty(t, leaves.finished, "it would have been answered first")
	require.Zero(t, leaves.Body.Len())
	front.bridge.mu.RLock()
	defer front.bridge.mu.RUnlock()
	require.EqualValues(t, 1, front.bridge.shields["cam"].Fetches.Load())
}
