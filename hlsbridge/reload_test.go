package hlsbridge

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/signaling/problem"
)

// began sends two GOPs and two parts of a third, and returns the number of the open segment.
func began(t *testing.T, s *studio, audio bool) (*source, uint64) {
	t.Helper()
	src := s.connect("river", audio)
	src.send(115) // the first GOP tells how long they are, the second begins the playlist
	r := s.fetch("v0.m3u8")
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	msn, err := strconv.ParseUint(lines(r.body, "#EXT-X-MEDIA-SEQUENCE:")[0], 10, 64)
	require.NoError(t, err)
	open := msn + gapsAhead + 1
	src.send(200 + 6 - 115)
	s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=1", open))
	return src, open
}

func TestReloadDirectives(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, nil)
	_, open := began(t, s, false)
	for _, c := range []struct {
		query  string
		status int
	}{
		{"", 200},
		{fmt.Sprintf("_HLS_msn=%d", open-1), 200},                               // complete
		{fmt.Sprintf("_HLS_msn=%d&_HLS_part=1", open), 200},                     // the last part
		{"_HLS_msn=0", 200},                                                     // before the window: the current playlist
		{"_HLS_msn=0&_HLS_part=7&_HLS_skip=YES", 200},                           // likewise
		{fmt.Sprintf("_HLS_msn=%d&_HLS_part=99", open-1), 200},                  // beyond a closed segment: the first part of the next
		{"_HLS_part=1", 400},                                                    // without a segment
		{"_HLS_msn=x", 400},                                                     //
		{"_HLS_msn=-1", 400},                                                    //
		{fmt.Sprintf("_HLS_msn=%d", open+2), 400},                               // more than two after the last
		{fmt.Sprintf("_HLS_msn=%d&_HLS_part=27", open), 400},                    // 25 parts of 120 ms are three seconds
		{fmt.Sprintf("_HLS_msn=%d&_HLS_part=26", open+1), 400},                  //
		{"_HLS_skip=YES", 200},                                                  //
		{"token=secret&_HLS_pathway=a&utm=1", 200},                              // others' parameters
		{fmt.Sprintf("_HLS_part=0&_HLS_skip=v2&_HLS_msn=%d&x=%%zz", open), 200}, // any order
	} {
		r := s.fetch("v0.m3u8?" + c.query)
		require.Equal(t, c.status, r.StatusCode, c.query)
		if c.status == http.StatusBadRequest {
			require.Equal(t, "public, max-age=1", r.Header.Get("Cache-Control"))
			require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"))
		}
	}
}

func TestBlockingReload(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, nil)
	src, open := began(t, s, false)
	type answer struct {
		query string
		reply
	}
	answers := make(chan answer, 4)
	ask := func(query string) {
		go func() { answers <- answer{query, s.fetch("v0.m3u8?" + query)} }()
	}
	p := s.bridge.packager(s.stream)
	blocked := func(n int) {
		require.Eventually(t, func() bool { return p.waits.blocked() == n }, 30*time.Second, time.Millisecond)
	}
	next, segment := fmt.Sprintf("_HLS_msn=%d&_HLS_part=2", open), fmt.Sprintf("_HLS_msn=%d", open)
	beyond := fmt.Sprintf("_HLS_msn=%d&_HLS_part=0", open+1)
	ask(next)
	ask(segment)
	ask(beyond)
	blocked(3)
	src.send(3)
	a := <-answers
	require.Equal(t, next, a.query)
	require.Contains(t, a.body, fmt.Sprintf("/%d.2.m4s", open))
	require.Equal(t, "public, max-age=24", a.Header.Get("Cache-Control"), "six targets")
	blocked(2)
	src.send(100 - 9 + 3) // the rest of the GOP, and the next one's first part: the segment is complete
	for range 2 {
		a := <-answers
		require.Equal(t, http.StatusOK, a.StatusCode)
		require.Contains(t, a.body, fmt.Sprintf("/%d.m4s\n", open))
		require.Contains(t, a.body, fmt.Sprintf("/%d.0.m4s", open+1))
	}
	blocked(0)
}

func TestHintedPart(t *testing.T) {
	s := newStudio(t, nil)
	src, _ := began(t, s, false)
	list := s.fetch("v0.m3u8").body
	hint := attribute(lines(list, "#EXT-X-PRELOAD-HINT:")[0], "URI")
	got := make(chan reply, 1)
	go func() { got <- s.fetch(hint) }()
	p := s.bridge.packager(s.stream)
	require.Eventually(t, func() bool { return p.waits.blocked() == 1 }, 30*time.Second, time.Millisecond)
	src.send(3)
	r := <-got
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.NotEmpty(t, r.body)
	require.Equal(t, "public, max-age=60, immutable", r.Header.Get("Cache-Control"))
	require.Contains(t, s.fetch("v0.m3u8").body, hint, "the hinted address became a part's")
}

func TestUnknownFiles(t *testing.T) {
	s := newStudio(t, nil)
	_, open := began(t, s, false)
	epoch := s.bridge.packager(s.stream).gen.Load().epoch
	for _, f := range []string{
		"v1.m3u8", "x", "", "v0/1.m4s", epoch + "/v0/1.m4s", epoch + "/a0/1.m4s", "other/v0/init0.mp4",
		fmt.Sprintf("%s/v0/0%d.m4s", epoch, open-1), fmt.Sprintf("%s/v0/%d.-1.m4s", epoch, open), epoch + "/v0/18446744073709551615.m4s", epoch + "/v0/.m4s",
	} {
		r := s.fetch(f)
		require.Equal(t, http.StatusNotFound, r.StatusCode, f)
		require.Equal(t, "public, max-age=1", r.Header.Get("Cache-Control"), f)
	}
	res, err := http.Get(s.server.URL + "/hls/nobody/index.m3u8")
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusNotFound, res.StatusCode)
}

// Who waits when the bridge ends is answered, and who comes later too.
func TestEndAnswersEverybody(t *testing.T) {
	s := newStudio(t, nil)
	_, open := began(t, s, false)
	got := make(chan reply, 1)
	go func() { got <- s.fetch(fmt.Sprintf("v0.m3u8?_HLS_msn=%d", open)) }()
	p := s.bridge.packager(s.stream)
	require.Eventually(t, func() bool { return p.waits.blocked() == 1 }, 30*time.Second, time.Millisecond)
	s.bridge.stop()
	require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, (<-got).StatusCode)
}

func FuzzDirectives(f *testing.F) {
	f.Add("_HLS_msn=1&_HLS_part=2&_HLS_skip=YES")
	f.Add("_HLS_part=%31")
	f.Fuzz(func(t *testing.T, query string) {
		d, err := parseDirectives(query)
		if err == nil && d.part >= 0 && !d.block {
			t.Fatal("a part without a segment")
		}
	})
}

func FuzzFile(f *testing.F) {
	f.Add("e/v0/1.2.m4s")
	f.Add("e/v0/init0.mp4")
	f.Fuzz(func(t *testing.T, path string) {
		d, ok := parseFile(path)
		if !ok {
			return
		}
		again := fmt.Sprintf("%s/%s/%d.m4s", d.epoch, d.rendition, d.msn)
		switch {
		case d.init >= 0:
			again = fmt.Sprintf("%s/%s/init%d.mp4", d.epoch, d.rendition, d.init)
		case d.part >= 0:
			again = fmt.Sprintf("%s/%s/%d.%d.m4s", d.epoch, d.rendition, d.msn, d.part)
		}
		if again != path {
			t.Fatalf("%q has a second name %q", path, again)
		}
	})
}

// FuzzPath: what is taken for the address of a stream's file is that address and no other, whoever counted the slashes.
func FuzzPath(f *testing.F) {
	f.Add("/hls/cam/v0.m3u8")
	f.Add("/dash/acme~cam/manifest.mpd")
	f.Add("/flv/cam.flv")
	f.Fuzz(func(t *testing.T, path string) {
		kind, stream, file, ok := parsePath(path)
		switch {
		case !ok:
			return
		case kind == "flv":
			stream, file = stream+".flv", ""
		case strings.Contains(stream, "/"):
			t.Fatalf("%q names the stream %q", path, stream)
		default:
			file = "/" + file
		}
		if again := kind + "/" + stream + file; again != strings.TrimPrefix(path, "/") {
			t.Fatalf("%q has a second name %q", path, again)
		}
	})
}

// FuzzTimes: a range of the past has an end after its beginning, and is no longer than is allowed.
func FuzzTimes(f *testing.F) {
	f.Add("2026-11-20T10:00:00Z", "1795168801")
	f.Add("1", "")
	f.Fuzz(func(t *testing.T, from, to string) {
		a, b, err := timeRange(url.Values{"from": {from}, "to": {to}}, time.Unix(1795168800, 0))
		if err == nil && (!a.Before(b) || b.Sub(a) > longestRange) {
			t.Fatalf("from %v to %v", a, b)
		}
	})
}

// A token in the path is the permission; what it opens is the same bytes for everybody, and names nobody.
func TestPathToken(t *testing.T) {
	s := newStudio(t, func(c *Config) {
		c.Access = func(_ *http.Request, token string, st *sfu.Stream) error {
			if token == "one" || token == "two" {
				return nil
			}
			return problem.New(http.StatusForbidden, "Forged", "the token's signature is wrong")
		}
	})
	src := s.connect("river", false)
	src.send(130)
	get := func(path string) (int, string) {
		res, err := http.Get(s.server.URL + path)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(body)
	}
	status, _ := get("/t/one/hls/cam/v0.m3u8")
	require.Equal(t, http.StatusOK, status)
	for _, file := range []string{"hls/cam/index.m3u8", "hls/cam/v0.m3u8?_HLS_msn=0", "dash/cam/manifest.mpd"} {
		_, one := get("/t/one/" + file)
		status, two := get("/t/two/" + file)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, one, two)
		require.NotContains(t, two, "two/")
		for _, l := range lines(two, "") {
			require.False(t, strings.HasPrefix(l, "/") || strings.Contains(l, `URI="/`), "addresses are relative: %s", l)
		}
	}
	for _, path := range []string{"/hls/cam/index.m3u8", "/t/x/hls/cam/index.m3u8", "/t/x/flv/cam.flv", "/t/x/dash/cam/manifest.mpd", "/t/x/hls/cam/dvr.m3u8"} {
		status, _ := get(path)
		require.Equal(t, http.StatusForbidden, status, path)
	}
	for _, path := range []string{"/t/one", "/t/one/", "/t/one/t/one/hls/cam/v0.m3u8", "/t/one/api/v1/streams", "/t//hls/cam/v0.m3u8", "/hls/", "/hls/cam", "/flv/cam"} {
		status, _ := get(path)
		require.Equal(t, http.StatusNotFound, status, path)
	}
}

// A stream that is removed ends its playlist for those who wait, and is unknown to those who come later.
func TestRemovedStreamEnds(t *testing.T) {
	s := newStudio(t, nil)
	_, open := began(t, s, false)
	got := make(chan reply, 1)
	go func() { got <- s.fetch(fmt.Sprintf("v0.m3u8?_HLS_msn=%d", open)) }()
	p := s.bridge.packager(s.stream)
	require.Eventually(t, func() bool { return p.waits.blocked() == 1 }, 30*time.Second, time.Millisecond)
	s.sfu.Remove("cam")
	require.Contains(t, (<-got).body, "#EXT-X-ENDLIST")
	require.Equal(t, http.StatusNotFound, s.fetch("v0.m3u8").StatusCode)
	require.Eventually(t, func() bool {
		s.bridge.mu.RLock()
		defer s.bridge.mu.RUnlock()
		return len(s.bridge.packagers) == 0
	}, 30*time.Second, time.Millisecond)
}

// sendUntil lets the source go on until a reply is there, which must be good.
func sendUntil(t *testing.T, src *source, got <-chan reply) string {
	t.Helper()
	next := time.NewTicker(10 * time.Millisecond)
	defer next.Stop()
	for {
		select {
		case r := <-got:
			require.Equal(t, http.StatusOK, r.StatusCode, r.body)
			return r.body
		case <-next.C:
			src.send(1)
		}
	}
}

// Packaging ends when nobody asks any longer, though the source goes on; a later request finds larger numbers.
func TestPackagingEndsWithoutRequests(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, func(c *Config) { c.look, c.linger = 10*time.Millisecond, 3*time.Second }) // longer than a busy machine needs from one request to the next
	src, open := began(t, s, false)
	cuts := seconds(t, lines(s.fetch("v0.m3u8").body, "#EXT-X-DISCONTINUITY-SEQUENCE:")[0])
	require.Eventually(t, func() bool {
		src.send(1)
		s.bridge.mu.RLock()
		defer s.bridge.mu.RUnlock()
		return len(s.bridge.packagers) == 0
	}, time.Minute, 10*time.Millisecond)
	require.Empty(t, s.stream.Status().Viewers)
	got := make(chan reply, 1)
	go func() { got <- s.fetch("v0.m3u8") }()
	again := sendUntil(t, src, got)
	msn, err := strconv.ParseUint(lines(again, "#EXT-X-MEDIA-SEQUENCE:")[0], 10, 64)
	require.NoError(t, err)
	require.Greater(t, msn, open)
	require.Greater(t, seconds(t, lines(again, "#EXT-X-DISCONTINUITY-SEQUENCE:")[0]), cuts)
}
