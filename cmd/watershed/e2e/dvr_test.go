package e2e

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
)

// recordedCamera is a farm of one, with sound, and a node that records it.
func recordedCamera(t *testing.T) (*camera.Farm, *Node) {
	t.Helper()
	farm := newFarm(t, 1)
	n, _ := newNode(t, func(c *config.Config) {
		c.Streams = map[string]config.Stream{"cam0": {Public: true, Source: farm.URL(0), Record: true}}
	})
	return farm, n
}

// inside the player: an element of its own.
func inside(selector string) string {
	return fmt.Sprintf(`document.querySelector('watershed-player').shadowRoot.querySelector('%s')`, selector)
}

// onRail is where a moment, so many ms ago, is on the time line: an option of playwright's for its element.
func onRail(t *testing.T, p *browser.Page, ago int) map[string]any {
	t.Helper()
	var at struct{ X, Y float64 }
	require.NoError(t, p.Eval(fmt.Sprintf(`(() => {
		const r = %s.getBoundingClientRect(), from = %s.history.spans[0][0]
		return { x: r.width * (1 - %d / (Date.now() - from)), y: r.height / 2 }
	})()`, inside(".rail"), player, ago), &at))
	return map[string]any{"position": map[string]any{"x": at.X, "y": at.Y}}
}

// A viewer goes back twenty seconds by the time line, sees what the camera showed then, and is live again at a press.
func TestScrubBackAndReturnToLive(t *testing.T) {
	farm, n := recordedCamera(t)
	p := openPage(t, n, "/watch/cam0")
	waitPlaying(t, p, "webrtc")
	require.NoError(t, p.Wait(player+`.history && Date.now() - `+player+`.history.spans[0][0] > 22000`, patience))

	require.NoError(t, p.Do(nil, "hover", ".rail", onRail(t, p, 15_000)))
	require.NoError(t, p.Wait(inside(".peek:not([hidden]) img:not([hidden])")+`?.naturalWidth > 0`, patience), "a small picture of that moment")

	// How long ago, by what the player says, noted whenever it says it.
	require.NoError(t, p.Eval(`document.querySelector('watershed-player').addEventListener('change', ({ detail: v }) => {
		if (v.past && v.state === 'playing' && v.figures.progress) window.ago = Date.now() - v.past
	})`, nil))
	require.NoError(t, p.Do(nil, "click", ".rail", onRail(t, p, 20_000)))
	require.NoError(t, p.Wait(`window.ago`, patience))
	require.NoError(t, p.WaitPictures(0, 10, patience))
	var ago float64
	require.NoError(t, p.Eval(`window.ago`, &ago))
	require.Greater(t, ago, 17_000.0)
	var words string
	require.NoError(t, p.Eval(inside(".when")+".textContent", &words))
	require.Regexp(t, `^\d\d:\d\d:\d\d$`, words)

	// The camera's own counter, which runs for eight seconds, says the same of these pictures.
	seen, err := p.Pictures(0)
	require.NoError(t, err)
	delays := seen.Delays(farm.Camera(0).Info(), 0)
	apart := math.Abs(math.Mod(ago, 8000) - delays[len(delays)-1])
	require.Less(t, min(apart, 8000-apart), 2000.0)

	require.NoError(t, p.Do(nil, "click", ".live"))
	waitPlaying(t, p, "webrtc")
	require.NoError(t, p.Wait(player+`.past === undefined`, patience))
	require.NoError(t, p.WaitPictures(0, 10, patience))
	require.Empty(t, complaints(p))
}
