package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/sfu/mediatest"
)

// TestChromiumFollowsItsPath: a camera with a main and a sub stream is watched through a bottleneck. When it shrinks, Chromium's own feedback brings the
// small layer, and when it recovers, the large one. How fast is for `make bench`.
func TestChromiumFollowsItsPath(t *testing.T) {
	farm := newFarm(t, 2)
	n, address := newNode(t, func(c *config.Config) {
		c.Streams = map[string]config.Stream{"cam0": {Public: true, Source: farm.URL(0), Sub: farm.URL(1)}}
	})
	path := mediatest.NewPath(t, netip.MustParseAddrPort(n.Config.WebRTC.Listen), 20*time.Millisecond)
	path.SetRate(4e6)
	_, err := n.WaitLog(`"msg":"stream live"`, patience)
	require.NoError(t, err)
	require.Zero(t, farm.Camera(1).Info().Opened, "the small stream is pulled before anybody watches")
	p := open(t, fmt.Sprintf("%s/e2e/whep?stream=cam0&via=%d", address, path.Addr().Port()))
	require.NoError(t, p.Wait(`document.querySelector("video").videoHeight === 720`, patience))
	require.NoError(t, p.WaitPictures(0, 60, patience))

	path.SetRate(600e3)
	began := time.Now()
	require.NoError(t, p.Wait(`document.querySelector("video").videoHeight === 360`, patience))
	t.Logf("small after %v", time.Since(began))
	require.NoError(t, p.WaitPictures(0, 50, patience))

	path.SetRate(4e6)
	began = time.Now()
	require.NoError(t, p.Wait(`document.querySelector("video").videoHeight === 720`, patience))
	t.Logf("large after %v", time.Since(began))
	require.NoError(t, p.Wait(`pc.connectionState === "connected" && states.length === 2`, patience))
}
