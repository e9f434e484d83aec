package e2e

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
)

// TestPlayerGoesThroughTheRelay: the node announces an address that this browser cannot reach, as a firewalled viewer sees it. The player then plays
// through the node's TURN relay, still by WebRTC.
func TestPlayerGoesThroughTheRelay(t *testing.T) {
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	relay := free.LocalAddr().String()
	free.Close()
	farm := newFarm(t, 1)
	n, _ := newNode(t, func(c *config.Config) {
		c.WebRTC.Public = []netip.Addr{netip.MustParseAddr("127.0.0.77")} // of this machine, but nobody listens there
		c.WebRTC.TURN.Listen = relay
		c.Streams = map[string]config.Stream{"cam0": {Public: true, Source: farm.URL(0)}}
	})
	p := open(t, n.URL+"/watch/cam0?via=webrtc")
	require.NoError(t, p.WaitPictures(0, 10, patience))
}
