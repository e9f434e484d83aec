package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/loadtest"
	"watershed/signaling/access"
	"watershed/signaling/token"
)

// startEdge runs a cache in front of a node until the test ends, and waits for the stream through it.
func startEdge(t *testing.T, name string, n *Node) *Edge {
	t.Helper()
	e, err := StartEdge(name, strings.TrimPrefix(n.URL, "http://"), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, e.Stop())
		if t.Failed() {
			t.Logf("%s said:\n%s", name, e.Said())
		}
	})
	return e
}

// fetches of the origin for an object, at most.
const perObject = 1.05

// Fifty and then two hundred players behind one cache: the origin is asked for each object once, so it cannot tell them apart.
func TestCachesShareFetches(t *testing.T) {
	_, n, _ := hlsCamera(t)
	for _, name := range Edges {
		t.Run(name, func(t *testing.T) {
			edge := startEdge(t, name, n).URL + "/hls/cam0/index.m3u8"
			eventually(t, "the playlist through "+name, func() bool {
				res, err := http.Get(edge)
				if err == nil {
					res.Body.Close()
				}
				return err == nil && res.StatusCode == http.StatusOK
			})
			for _, viewers := range []int{50, 200} {
				r := watchHLS(t, edge, n, viewers)
				for kind, fetches := range r.FetchesPerObject() {
					require.LessOrEqual(t, fetches, perObject, "%d viewers: %s", viewers, kind)
				}
				// Two playlists are kept for a second at least, and a request may be under way at each end.
				require.LessOrEqual(t, r.Origin["index"]+r.Origin["playlist"], 2*(r.Whole+2), "%d viewers", viewers)
				t.Logf("%d viewers: %d requests a second, the origin had %.1f", viewers, int(float64(r.Total())/r.Seconds), r.OriginTotal()/r.Whole)
			}
		})
	}
}

func watchHLS(t *testing.T, url string, origin *Node, viewers int) *loadtest.HLSResult {
	t.Helper()
	load := loadtest.HLS{URLs: []string{url}, Viewers: viewers, Rate: 200, Duration: time.Second, Origin: "http://" + origin.Listening["metrics"] + "/metrics"}
	r, err := load.Run(context.Background())
	require.NoError(t, err)
	require.Zero(t, r.Errors, r.Error)
	require.NotEmpty(t, r.FetchesPerObject())
	return r
}

// A stream that needs a token is cached once for all tokens, and given to nobody without one. What the node withdrew is not served for longer than the ten
// seconds that a cache believes in a token.
func TestCachesHonourPathTokens(t *testing.T) {
	n := closedNode(t)
	play := func(jwt string) string {
		var made struct{ URLs map[string]string }
		require.Equal(t, http.StatusOK, n.send(t, "POST", "/api/v1/streams/cam0/play", jwt, "", &made))
		return strings.TrimSuffix(made.URLs["hls"], "index.m3u8")
	}
	revoked := n.token(t, "--role", "viewer", "--stream", "cam0")
	dying := play(revoked)
	var tokens []string
	for range 4 {
		tokens = append(tokens, play(n.token(t, "--role", "viewer", "--stream", "cam0")))
	}
	list := fetch(t, n.URL+dying+"v0.m3u8") // starts packaging, and waits for it
	init := "init0.mp4"
	for line := range strings.Lines(list) {
		if _, uri, ok := strings.Cut(line, `#EXT-X-MAP:URI="`); ok {
			init, _, _ = strings.Cut(uri, `"`)
		}
	}
	status := func(url string) int {
		res, err := http.Get(url)
		require.NoError(t, err)
		res.Body.Close()
		return res.StatusCode
	}
	edges := map[string]*Edge{}
	for _, name := range Edges {
		e := startEdge(t, name, n)
		edges[name] = e
		before := n.requests(t, "init")
		for _, token := range append(tokens, dying) {
			require.Equal(t, http.StatusOK, status(e.URL+token+init), name)
			require.Equal(t, http.StatusOK, status(e.URL+token+"v0.m3u8"), name)
		}
		require.EqualValues(t, 1, n.requests(t, "init")-before, "%s fetches once for all tokens", name)
		var short string
		eventually(t, name+" takes a token that has some seconds left", func() bool {
			short = n.path(t, 4*time.Second)
			return status(e.URL+short+init) == http.StatusOK
		})
		eventually(t, name+" refuses a token that has expired", func() bool { return status(e.URL+short+init) == http.StatusUnauthorized })
		for path, want := range map[string]int{
			"/hls/cam0/" + init: 401, "/hls/cam0/v0.m3u8": 401, "/t//hls/cam0/" + init: 404, "/t/x/hls/cam0/" + init: 401, "/hls/cam0/" + init + "?x": 401,
			strings.Replace(tokens[0], "/t/v1.", "/t/v1.k", 1) + init: 401, strings.Replace(tokens[0], "cam0", "other", 1) + init: 403,
		} {
			require.Equal(t, want, status(e.URL+path), "%s %s", name, path)
		}
	}
	var me struct{ JTI string }
	require.NoError(t, json.Unmarshal(payload(t, revoked), &me))
	require.Equal(t, http.StatusNoContent, n.ask(t, "DELETE", "/api/v1/tokens/"+me.JTI, n.token(t, "--role", "admin")))
	for name, e := range edges {
		eventually(t, name+" refuses a token that was revoked", func() bool { return status(e.URL+dying+init) == http.StatusUnauthorized })
		require.Equal(t, http.StatusOK, status(e.URL+tokens[0]+init), name)
	}
}

// What is asked for oddly is not kept under the address of what everybody asks for. Each row is an odd request, and the plain one that a cache could take it
// for. That gets what the node says to it.
func TestCachesCannotBePoisoned(t *testing.T) {
	_, n := recordedCamera(t)
	const far = "4000000000" // no stream comes to this segment; numbers below those of today are past, and answered at once
	eventually(t, "something is recorded", func() bool { return listed(n.URL+"/hls/cam0/dvr-v0.m3u8") != "" })
	_, init, _ := strings.Cut(fetch(t, n.URL+"/hls/cam0/v0.m3u8"), `#EXT-X-MAP:URI="`)
	init, _, _ = strings.Cut(init, `"`)
	epoch, file, _ := strings.Cut(init, "/")

	edges := map[string]string{"shield": startShield(t, n).URL}
	for _, name := range Edges {
		edges[name] = startEdge(t, name, n).URL
	}
	answer := func(url string) (int, string) {
		res, err := http.Get(url)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(body)
	}
	for _, row := range []struct {
		odd, plain string
		status     int
	}{
		{"/hls/cam0/v0.m3u8?_HLS_msn=" + far + "&_HLS_part=0&_HLS_msn=0", "/hls/cam0/v0.m3u8?_HLS_msn=" + far + "&_HLS_part=0", 400},
		{"/hls/cam0/v0.m3u8?_hls_msn=" + far, "/hls/cam0/v0.m3u8?_HLS_msn=" + far, 400},
		{"/hls/cam0/v0.m3u8?_HLS_%6Dsn=" + far + "1", "/hls/cam0/v0.m3u8?_HLS_msn=" + far + "1", 400},
		{"/hls/cam0//v0.m3u8?_HLS_msn=1", "/hls/cam0/v0.m3u8?_HLS_msn=1", 200},
		{"/hls/cam0/./v0.m3u8?_HLS_msn=2", "/hls/cam0/v0.m3u8?_HLS_msn=2", 200},
		{"/hls//cam0/v0.m3u8?_HLS_msn=3", "/hls/cam0/v0.m3u8?_HLS_msn=3", 200},
		{"//hls/cam0/v0.m3u8?_HLS_msn=4", "/hls/cam0/v0.m3u8?_HLS_msn=4", 200},
		{"/hls/x/../cam0/v0.m3u8?_HLS_msn=5", "/hls/cam0/v0.m3u8?_HLS_msn=5", 200},
		{"/hls/x/%2e%2e/cam0/v0.m3u8?_HLS_msn=6", "/hls/cam0/v0.m3u8?_HLS_msn=6", 200},
		{"/hls/cam0%2Fv0.m3u8?_HLS_msn=7", "/hls/cam0/v0.m3u8?_HLS_msn=7", 200},
		{"/hls/cam0/v0.m3u8%3F_HLS_msn=8", "/hls/cam0/v0.m3u8?_HLS_msn=8", 200},
		{"/hls/cam0/v0.m3u8%3F_HLS_msn=9&.m3u8", "/hls/cam0/v0.m3u8?_HLS_msn=9&.m3u8", 200},
		{"/hls/cam0/dvr-v0.m3u8?%66rom=x", "/hls/cam0/dvr-v0.m3u8", 200},
		{"/hls/cam0/" + epoch + "//" + file, "/hls/cam0/" + init, 200},
	} {
		for name, url := range edges {
			answer(url + row.odd)
			status, body := answer(url + row.plain)
			require.Equal(t, row.status, status, "%s, after %s: %s", name, row.odd, body)
		}
	}
}

// startShield runs a node that serves another's cam0.
func startShield(t *testing.T, n *Node) *Node {
	t.Helper()
	front, _ := newNode(t, func(c *config.Config) {
		c.Streams = map[string]config.Stream{"cam0": {Public: true, Shield: true, Source: n.URL + "/hls/cam0/index.m3u8"}}
	})
	return front
}

// A viewer whose token was revoked is told so, and the others' next reload is still one fetch for all of them.
func TestRevokedViewerIsNobodyElsesTrouble(t *testing.T) {
	n := closedNode(t)
	fetch(t, n.URL+n.path(t, time.Hour)+"v0.m3u8") // starts packaging, and waits for it
	for _, name := range Edges {
		e := startEdge(t, name, n)
		jwt := n.token(t, "--role", "viewer", "--stream", "cam0")
		var made struct{ URLs map[string]string }
		require.Equal(t, http.StatusOK, n.send(t, "POST", "/api/v1/streams/cam0/play", jwt, "", &made))
		var me struct{ JTI string }
		require.NoError(t, json.Unmarshal(payload(t, jwt), &me))
		dying, good, admin := strings.TrimSuffix(made.URLs["hls"], "index.m3u8"), n.path(t, time.Hour), n.token(t, "--role", "admin")
		list := fetch(t, e.URL+good+"v0.m3u8")
		var next int // two segments ahead
		_, err := fmt.Sscanf(list[strings.Index(list, "#EXT-X-MEDIA-SEQUENCE:"):], "#EXT-X-MEDIA-SEQUENCE:%d", &next)
		require.NoError(t, err)
		reload := fmt.Sprintf("v0.m3u8?_HLS_msn=%d", next+strings.Count(list, "#EXTINF")+1)

		fetch(t, e.URL+dying+"v0.m3u8") // from now on the cache believes in it for ten seconds
		require.Equal(t, http.StatusNoContent, n.ask(t, "DELETE", "/api/v1/tokens/"+me.JTI, admin))
		before := n.requests(t, "reload")
		res, err := http.Get(e.URL + dying + reload)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, name)
		require.Equal(t, 1, n.requests(t, "reload")-before, "%s asked for the reload itself, with that token", name)
		var all sync.WaitGroup
		statuses := make([]int, 20)
		for i := range statuses {
			all.Go(func() {
				if res, err := http.Get(e.URL + good + reload); err == nil {
					res.Body.Close()
					statuses[i] = res.StatusCode
				}
			})
		}
		all.Wait()
		for _, status := range statuses {
			require.Equal(t, http.StatusOK, status, name)
		}
		require.Equal(t, 2, n.requests(t, "reload")-before, "%s fetches once for all others", name)
	}
}

// path mints a token for cam0 here, because a process for it may take as long as the token lives.
func (n *Node) path(t *testing.T, life time.Duration) string {
	t.Helper()
	secret, _, err := access.Secret(n.Config.Data, "")
	require.NoError(t, err)
	p := token.Path{KeyID: access.FirstPathKey, Expires: time.Now().Add(life), Streams: []string{"cam0"}}
	written, err := p.Mint(token.PathKey(secret, p.KeyID))
	require.NoError(t, err)
	return "/t/" + written + "/hls/cam0/"
}

// requests of a kind that the node has had.
func (n *Node) requests(t *testing.T, kind string) (count int) {
	t.Helper()
	_, after, found := strings.Cut(fetch(t, "http://"+n.Listening["metrics"]+"/metrics"), `watershed_hls_requests_total{kind="`+kind+`"} `)
	require.True(t, found)
	_, err := fmt.Sscan(after, &count)
	require.NoError(t, err)
	return count
}
