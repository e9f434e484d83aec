package loadtest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server that answers nothing any more does not look like a good one: who waits at the end has waited for so long.
func TestWhoStillWaitsIsCounted(t *testing.T) {
	c, now := newCrowd(), time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	hung, never, well := c.join(), c.join(), c.join()
	hung.until, never.joined, well.until = ago(10*time.Second), ago(5*time.Second), now.Add(time.Minute)
	parts := []listedPart{{uri: "1.m4s", end: ago(9 * time.Second)}}
	c.list("http://x/hls/cam/v0.m3u8", parts, ago(8*time.Second))
	c.load(hung, &parts[0])
	c.begin()
	c.end()
	var r HLSResult
	c.collect(&r)
	require.Equal(t, 2, r.Stalls)
	require.InDelta(t, 15, r.Stalled.Seconds(), 1)
	require.InDelta(t, 8000, r.Listed.P99, 1000)
	require.InDelta(t, 9000, r.Clock.P99, 1000)
}

// Playing begins with the first part that there is: what it could have been late for was not there.
func TestGapsBeforeTheFirstPart(t *testing.T) {
	c, now := newCrowd(), time.Now()
	b := c.join()
	c.begin()
	c.gap(b, listedPart{duration: time.Second, gap: true})
	c.got(b, listedPart{duration: time.Second}, now)
	c.gap(b, listedPart{duration: time.Second, gap: true})
	c.got(b, listedPart{duration: time.Second}, now.Add(2*time.Second))
	require.Zero(t, c.result.Stalls)
	c.got(b, listedPart{duration: time.Second}, now.Add(5*time.Second))
	require.Equal(t, 1, c.result.Stalls)
	require.Equal(t, 2*time.Second, c.result.Stalled)
}

// An object is one, whatever token it is asked for with.
func TestKeysHaveNoTokens(t *testing.T) {
	c := newCrowd()
	for _, token := range []string{"", "/t/v1.a", "/t/v1.b"} {
		c.asked("part", "http://x"+token+"/hls/cam/1.m4s")
		c.list("http://x"+token+"/hls/cam/v0.m3u8", []listedPart{{uri: "1.m4s"}}, time.Now())
	}
	require.Len(t, c.keys["part"], 2, "with a token, and without")
	require.Len(t, c.listed, 2)
}

// An origin whose requests cannot be counted is no origin that had none.
func TestOriginMustBeCounted(t *testing.T) {
	for text, status := range map[string]int{"": 500, "watershed_hls_requests_total{kind=\"part\"} 1\n": 404, "# nothing of that\nother 1\n": 200} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			w.Write([]byte(text))
		}))
		_, err := (&HLS{URLs: []string{s.URL}, Viewers: 1, Rate: 1, Origin: s.URL}).Run(t.Context())
		require.ErrorContains(t, err, "cannot be counted", text)
		s.Close()
	}
}
