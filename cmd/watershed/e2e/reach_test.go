package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
	"watershed/sfu/mediatest"
)

// requirePath waits until a page's connection goes to an address by a protocol.
func requirePath(t *testing.T, p *browser.Page, address, protocol string) {
	t.Helper()
	require.NoError(t, p.Wait(fmt.Sprintf(`pc.getStats().then((all) => {
		const pair = [...all.values()].find((s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded')
		const remote = all.get(pair?.remoteCandidateId)
		return remote?.address === %q && remote.protocol === %q
	})`, address, protocol), patience))
}

// needIPv6Route skips a test where Chromium, which looks for a way out before it gathers addresses, uses no IPv6. Nothing is sent.
func needIPv6Route(t *testing.T) {
	t.Helper()
	mediatest.NeedIPv6(t)
	c, err := net.Dial("udp6", "[2001:db8::1]:9")
	if err != nil {
		t.Skipf("this machine has no IPv6 route, and Chromium gathers none without: %v", err)
	}
	c.Close()
}

// TestMediaOverIPv6: with a media port that has IPv6 only, one page publishes and another plays.
func TestMediaOverIPv6(t *testing.T) {
	needIPv6Route(t)
	_, address := newNode(t, func(c *config.Config) { c.WebRTC.Listen = "[::1]:0" })
	publisher := publish(t, address, "stream=stage")
	requirePath(t, publisher, "::1", "udp")
	viewer := open(t, address+"/e2e/whep?stream=stage")
	require.NoError(t, viewer.WaitPictures(0, 50, patience))
	requirePath(t, viewer, "::1", "udp")
	seen, err := viewer.Pictures(0)
	require.NoError(t, err)
	require.Zero(t, seen.Unread)
}

// TestMediaThroughANAT: the node has one address and announces another, at which a 1:1 NAT passes on what comes to the same port. Chromium
// publishes and plays through it.
func TestMediaThroughANAT(t *testing.T) {
	outside := netip.MustParseAddr("127.0.0.77")
	behind := func(t *testing.T, change func(*config.Config)) string {
		n, address := newNode(t, func(c *config.Config) {
			c.WebRTC.Public = []netip.Addr{outside}
			change(c)
		})
		inside := netip.MustParseAddrPort(n.Config.WebRTC.Listen)
		mediatest.NewPathAt(t, netip.AddrPortFrom(outside, inside.Port()), inside, 0)
		return address
	}
	t.Run("viewer", func(t *testing.T) {
		farm := newFarm(t, 1)
		viewer := open(t, behind(t, func(c *config.Config) { c.Streams = cameraStreams(farm, 1) })+"/e2e/whep?stream=cam0")
		require.NoError(t, viewer.WaitPictures(0, 25, patience))
		requirePath(t, viewer, outside.String(), "udp")
	})
	t.Run("publisher", func(t *testing.T) {
		publisher := publish(t, behind(t, func(*config.Config) {}), "stream=stage")
		requirePath(t, publisher, outside.String(), "udp")
		require.NoError(t, publisher.Wait(`outbound().then(([o]) => o.framesSent > 25)`, patience))
	})
}

// TestViewerChangesNetworks: the path is cut without a word, as when a phone leaves its Wi-Fi. The page restarts ICE over another; the same connection goes on,
// and is where it would be without the change.
func TestViewerChangesNetworks(t *testing.T) {
	farm := newFarm(t, 1)
	n, address := newNode(t, func(c *config.Config) { c.Streams = cameraStreams(farm, 1) })
	inside := netip.MustParseAddrPort(n.Config.WebRTC.Listen)
	for name, query := range map[string]string{"WHEP": "", "socket": "&socket=1"} {
		t.Run(name, func(t *testing.T) {
			wifi, mobile := mediatest.NewPath(t, inside, 0), mediatest.NewPath(t, inside, 0)
			p := open(t, fmt.Sprintf("%s/e2e/whep?stream=cam0&via=%d%s", address, wifi.Addr().Port(), query))
			require.NoError(t, p.WaitPictures(0, 25, patience))
			wifi.Cut()
			require.NoError(t, p.Wait(`readers[0].samples.at(-1)[1] < Date.now() - 300`, patience), "the picture stands")
			require.NoError(t, p.Eval(fmt.Sprintf(`restart(%d)`, mobile.Addr().Port()), nil))
			require.NoError(t, p.WaitPictures(0, 50, patience))
			requireOnTime(t, p, farm.Camera(0))
			require.Equal(t, 1, farm.Camera(0).Info().Opened)
		})
	}
}

// requireOnTime looks whether a page shows the present, not what it missed.
func requireOnTime(t *testing.T, p *browser.Page, c *camera.Camera) {
	t.Helper()
	seen, err := p.Pictures(0)
	require.NoError(t, err)
	delays := seen.Delays(c.Info(), len(seen.Samples)-10)
	require.Less(t, browser.Quantile(delays, 0.5), 4000.0, "shows pictures of an earlier GOP")
}
