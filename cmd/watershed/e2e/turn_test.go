package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
)

// TestPlayerGoesThroughTheRelay: the node announces an address that this browser cannot reach, as a firewalled viewer sees it. The player then plays
// through the node's TURN relay, still by WebRTC.
func TestPlayerGoesThroughTheRelay(t *testing.T) {
	farm := newFarm(t, 1)
	n, _ := newNode(t, func(c *config.Config) {
		c.WebRTC.Public = []netip.Addr{netip.MustParseAddr("127.0.0.77")} // of this machine, but nobody listens there
		c.WebRTC.TURN.Listen = "127.0.0.1:0"
		c.Streams = map[string]config.Stream{"cam0": {Public: true, Source: farm.URL(0)}}
	})
	p := open(t, n.URL+"/watch/cam0?via=webrtc")
	require.NoError(t, p.WaitPictures(0, 10, patience))
}

// trusting is a Chromium that takes a certificate of ours. It wants the hash of its key: --ignore-certificate-errors is for pages, not for TURN.
func trusting(t *testing.T, c config.TLS) *browser.Browser {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	require.NoError(t, err)
	hash := sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo)
	root, err := Root()
	require.NoError(t, err)
	b, err := browser.Launch(filepath.Join(root, "web"), "--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(hash[:]))
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// TestChromiumPlaysThroughTURNOverTLS: a network that lets out nothing but TLS. The page may use relays only, and the node has this one only.
func TestChromiumPlaysThroughTURNOverTLS(t *testing.T) {
	farm := newFarm(t, 1)
	pair := certificate(t)
	_, address := newNode(t, func(c *config.Config) {
		c.HTTP.TLS, c.WebRTC.TURN.TLS = pair, "127.0.0.1:0"
		c.Streams = cameraStreams(farm, 1)
	})
	p, err := trusting(t, pair).Open(address+"/e2e/whep?stream=cam0&relay=1", nil)
	require.NoError(t, err)
	require.NoError(t, p.WaitPictures(0, 25, patience))
	require.NoError(t, p.Wait(`pc.getStats().then((all) => {
		const pair = [...all.values()].find((s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded')
		const local = all.get(pair?.localCandidateId)
		return local?.candidateType === 'relay' && local.relayProtocol === 'tls'
	})`, patience))
}
