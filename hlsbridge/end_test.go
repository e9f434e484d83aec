package hlsbridge

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A stream that is removed ends for everybody: who waits for its playlist reads that, and a DASH client's segment is cut off.
func TestARemovedStreamEnds(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, func(c *Config) { c.look, c.linger = 20*time.Millisecond, time.Hour })
	_, open := began(t, s, false)
	p := s.bridge.packager(s.stream)
	growing, err := http.Get(fmt.Sprintf("%s/dash/cam/%s/v0/%d.m4s", s.server.URL, p.gen.Load().epoch, open))
	require.NoError(t, err)
	defer growing.Body.Close()
	require.Equal(t, http.StatusOK, growing.StatusCode)
	list := make(chan reply, 1)
	go func() { list <- s.fetch(fmt.Sprintf("v0.m3u8?_HLS_msn=%d", open)) }()
	require.Eventually(t, func() bool { return p.waits.blocked() == 2 }, 10*time.Second, time.Millisecond)
	s.sfu.Remove("cam")
	_, err = io.ReadAll(growing.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "a short segment must not look whole")
	require.Contains(t, (<-list).body, "#EXT-X-ENDLIST")
}

// A node that ends, or a packager that nobody asks, is not the stream's end: it goes on at the same address.
func TestAPauseIsNotTheEnd(t *testing.T) {
	for name, pause := range map[string]func(*studio, *packager){
		"restart": func(s *studio, _ *packager) { s.bridge.stop() },
		"idle":    func(_ *studio, p *packager) { p.asked.Store(0) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStudio(t, func(c *Config) { c.look, c.linger = 20*time.Millisecond, time.Hour })
			_, open := began(t, s, false)
			p := s.bridge.packager(s.stream)
			list := make(chan reply, 1)
			go func() { list <- s.fetch(fmt.Sprintf("v0.m3u8?_HLS_msn=%d", open)) }()
			require.Eventually(t, func() bool { return p.waits.blocked() == 1 }, 10*time.Second, time.Millisecond)
			pause(s, p)
			r := <-list
			require.Equal(t, http.StatusServiceUnavailable, r.StatusCode, r.body)
			require.Equal(t, "no-store", r.Header.Get("Cache-Control"))
			require.NotEmpty(t, r.Header.Get("Retry-After"))
			require.NotContains(t, string(p.gen.Load().views[0].full.plain), "ENDLIST")
		})
	}
}

// What is not here yet may not be told to a cache: others ask for it a moment later.
func TestTooEarlyIsNotCached(t *testing.T) {
	s := newStudio(t, nil)
	_, open := began(t, s, false)
	g := s.bridge.packager(s.stream).gen.Load()
	v := g.views[0]
	for file, cache := range map[string]string{
		fmt.Sprintf("v0/%d.%d.m4s", v.hintMSN, v.hintPart+1): "no-store",
		fmt.Sprintf("v0/%d.9.m4s", open):                     "no-store",
		fmt.Sprintf("v0/%d.0.m4s", open+1):                   "no-store",
		fmt.Sprintf("v0/%d.m4s", open):                       "no-store",
		fmt.Sprintf("v0/%d.m4s", open+1):                     "no-store",
		"v0/init1.mp4":                                       "no-store",
		fmt.Sprintf("v0/%d.99.m4s", open-1):                  "public, max-age=1",
		fmt.Sprintf("v0/%d.m4s", g.head-1):                   "public, max-age=1",
	} {
		r := s.fetch(g.epoch + "/" + file)
		require.Equal(t, http.StatusNotFound, r.StatusCode, file)
		require.Equal(t, cache, r.Header.Get("Cache-Control"), file)
	}
}

// A rendition of which nothing is there yet has no last part to report.
func TestReportOfNothing(t *testing.T) {
	r := &rendition{id: "v1", segments: []*segment{{msn: 7}}}
	require.Equal(t, "#EXT-X-RENDITION-REPORT:URI=\"v1.m3u8\",LAST-MSN=7\n", string(r.report()))
	r.segments[0].parts = make([]part, 2)
	require.Equal(t, "#EXT-X-RENDITION-REPORT:URI=\"v1.m3u8\",LAST-MSN=7,LAST-PART=1\n", string(r.report()))
}
