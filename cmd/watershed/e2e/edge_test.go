package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/loadtest"
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
