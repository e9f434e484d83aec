package hlsbridge

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// discard is a response that nobody reads.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }

// What a crowd asks for is rendered once: a request for it costs some small allocations and no more, however long the playlist.
func TestRequestsAreCheap(t *testing.T) {
	s := newStudio(t, nil)
	_, open := began(t, s, false)
	epoch := s.bridge.packager(s.stream).gen.Load().epoch
	for _, c := range []struct {
		file   string
		allocs float64
	}{
		{"index.m3u8", 8},
		{"v0.m3u8", 8},
		{fmt.Sprintf("v0.m3u8?_HLS_msn=%d&_HLS_part=1", open), 8},
		{fmt.Sprintf("%s/v0/%d.1.m4s", epoch, open), 12},
	} {
		r := httptest.NewRequest(http.MethodGet, "/hls/cam/"+c.file, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		w := &discard{header: http.Header{}}
		got := testing.AllocsPerRun(100, func() {
			clear(w.header)
			s.bridge.ServeHTTP(w, r)
		})
		require.LessOrEqual(t, got, c.allocs, c.file)
		require.NotZero(t, w.n)
	}
}

// A thousand requests that wait for one part are answered by its publication, and cost little while they wait.
func TestManyWait(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, nil)
	src, open := began(t, s, false)
	const waiting = 1000
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var all sync.WaitGroup
	var mu sync.Mutex
	bytes := 0
	for range waiting {
		all.Go(func() {
			r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/hls/cam/v0.m3u8?_HLS_msn=%d&_HLS_part=2", open), nil)
			w := &discard{header: http.Header{}}
			s.bridge.ServeHTTP(w, r)
			mu.Lock()
			bytes += w.n
			mu.Unlock()
		})
	}
	p := s.bridge.packager(s.stream)
	require.Eventually(t, func() bool { return p.waits.blocked() == waiting }, 10*time.Second, time.Millisecond)
	runtime.GC()
	runtime.ReadMemStats(&during)
	require.Less(t, (during.HeapAlloc+during.StackInuse-before.HeapAlloc-before.StackInuse)/waiting, uint64(30<<10))
	src.send(3)
	all.Wait()
	require.Equal(t, len(s.fetch("v0.m3u8").body)*waiting, bytes, "all got the same playlist")
	require.Zero(t, p.waits.blocked())
}

func BenchmarkPlaylist(b *testing.B) {
	s := newStudio(b, nil)
	src := s.connect("river", false)
	src.send(130)
	r := httptest.NewRequest(http.MethodGet, "/hls/cam/v0.m3u8", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := &discard{header: http.Header{}}
	s.bridge.ServeHTTP(w, r)
	for b.Loop() {
		clear(w.header)
		s.bridge.ServeHTTP(w, r)
	}
}

// BenchmarkPackaging is what a second of 720p25 at 2 Mb/s costs: a hundredth of a core is 10 ms.
func BenchmarkPackaging(b *testing.B) {
	s := newStudio(b, nil)
	src := s.connect("river", false)
	src.send(130)
	w := &discard{header: http.Header{}}
	s.bridge.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hls/cam/v0.m3u8", nil))
	for b.Loop() {
		src.send(25)
	}
}
