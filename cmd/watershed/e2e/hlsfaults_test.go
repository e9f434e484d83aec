package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/hlsbridge/conform"
)

// watched is a playlist that the prober follows until the test says so.
type watched struct {
	url    string
	cancel context.CancelFunc
	report chan *conform.Report
}

func watch(t *testing.T, url string) *watched {
	t.Helper()
	fetch(t, url)
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{url, cancel, make(chan *conform.Report, 1)}
	go func() {
		r, err := conform.Check(ctx, url, conform.Options{Watch: time.Hour, Outage: patience})
		if err != nil && ctx.Err() == nil {
			t.Errorf("%s: %v", url, err)
		}
		w.report <- r
	}()
	t.Cleanup(cancel)
	return w
}

// silent ends the watch and expects that nothing was found, but that a busy machine was late.
func (w *watched) silent(t *testing.T, looked ...string) {
	t.Helper()
	w.cancel()
	r := <-w.report
	require.NotNil(t, r)
	var text bytes.Buffer
	r.Print(&text)
	for _, f := range r.Findings {
		if f.ID != "cadence" {
			t.Errorf("%s: %s: %s: %s", w.url, f.Where, f.ID, f.Detail)
		}
	}
	for _, rule := range looked {
		require.NotZero(t, r.Checked[rule], "%s was not looked at:\n%s", rule, text.String())
	}
}

// listed asks for a playlist; "" while it cannot be had.
func listed(url string) string {
	res, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// newest is what stands behind the last date of a playlist: its newest segment or the parts of it.
func newest(url string) string {
	list := listed(url)
	return list[max(0, strings.LastIndex(list, "#EXT-X-PROGRAM-DATE-TIME")):]
}

// cuts of a playlist so far: those that left it, and those in it.
func cuts(url string) int {
	list := listed(url)
	_, sequence, _ := strings.Cut(list, "#EXT-X-DISCONTINUITY-SEQUENCE:")
	n, _ := strconv.Atoi(sequence[:max(0, strings.IndexByte(sequence, '\n'))])
	return n + strings.Count(list, "#EXT-X-DISCONTINUITY\n")
}

// The prober follows two streams while their cameras fail in every way, and the node is killed and started again: it finds nothing.
func TestNothingToFindWhileThingsGoWrong(t *testing.T) {
	farm := newSoundFarm(t, 3, "", "aac")
	n, _ := newNode(t, func(c *config.Config) {
		c.Streams = map[string]config.Stream{
			"backed": {Public: true, Source: farm.URL(0), Backup: []string{farm.URL(1)}},
			"rungs":  {Public: true, Source: farm.URL(2), Ladder: []string{"180p"}},
		}
	})
	backed, rungs := n.URL+"/hls/backed/", n.URL+"/hls/rungs/"
	watchers := []*watched{watch(t, backed+"index.m3u8"), watch(t, rungs+"index.m3u8")}
	require.Equal(t, 2, strings.Count(listed(rungs+"index.m3u8"), "#EXT-X-STREAM-INF"), "the rung is there")
	t.Cleanup(func() {
		for _, file := range []string{"v0.m3u8", "v1.m3u8", "a0.m3u8"} {
			if t.Failed() {
				t.Logf("%s of rungs:\n%s", file, listed(rungs+file))
			}
		}
	})
	playing := func(url string) func() bool {
		return func() bool {
			s := newest(url)
			return s != "" && strings.Contains(s, "EXT-X-PART:") && !strings.Contains(s, "GAP")
		}
	}

	first := []int{cuts(backed + "v0.m3u8"), cuts(rungs + "v0.m3u8")}
	require.NoError(t, farm.Camera(0).Set(camera.Fault{Stop: true})) // failover: another picture size, so a discontinuity
	eventually(t, "the backup is shown", func() bool {
		return cuts(backed+"v0.m3u8") > first[0] && playing(backed+"v0.m3u8")()
	})

	require.NoError(t, farm.Camera(1).Set(camera.Fault{Freeze: true})) // stall
	require.NoError(t, farm.Camera(2).Set(camera.Fault{Freeze: true}))
	gaps := func(url string) bool { return strings.Contains(newest(url), "GAP") }
	eventually(t, "gaps while the cameras stall", func() bool { return gaps(backed+"v0.m3u8") && gaps(rungs+"v0.m3u8") && gaps(rungs+"v1.m3u8") })
	require.NoError(t, farm.Camera(1).Set(camera.Fault{}))
	require.NoError(t, farm.Camera(2).Set(camera.Fault{Clip: "river"})) // another size in the same session
	for _, url := range []string{backed + "v0.m3u8", rungs + "v0.m3u8", rungs + "v1.m3u8"} {
		eventually(t, "pictures after the stall", playing(url))
	}
	require.NoError(t, farm.Camera(1).Set(camera.Fault{Jump: 30, Drop: .01}))
	require.NoError(t, farm.Camera(2).Set(camera.Fault{Clip: "lake", Jump: -20}))
	eventually(t, "another size, in every rendition", func() bool {
		return cuts(rungs+"v0.m3u8") > first[1]+1 && cuts(rungs+"v1.m3u8") > first[1]+1 && playing(rungs+"v0.m3u8")() && playing(rungs+"v1.m3u8")()
	})

	c := n.Config
	n.Kill()
	again, err := Start(binary, c)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the second node's log:\n%s", again.Log())
		}
		require.NoError(t, again.Stop(patience))
	})
	for _, url := range []string{backed + "v0.m3u8", rungs + "v0.m3u8", rungs + "v1.m3u8"} {
		eventually(t, "pictures after the restart", playing(url))
	}
	for _, w := range watchers {
		w.silent(t, "forward", "same-address", "cadence", "delta", "reports")
	}
}
