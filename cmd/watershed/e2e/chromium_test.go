package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
)

func TestChromiumPlaysCamera(t *testing.T) {
	farm, _, address := oneCamera(t)
	page := open(t, address+"/e2e/whep?stream=cam0")
	require.NoError(t, page.WaitPictures(0, 50, patience))

	seen, err := page.Pictures(0)
	require.NoError(t, err)
	require.Zero(t, seen.Unread, "pictures whose number cannot be read")
	for _, d := range seen.Delays(farm.Camera(0).Info(), 40) {
		require.Less(t, d, 4000.0, "shows pictures of an earlier GOP")
	}
}

// A camera goes away and comes back twenty times, now with another resolution, now with other timestamps: a viewer keeps its
// connection and sees pictures again. How soon is printed: the goal is a second and what is left of a GOP of 4 s.
func TestViewerOutlivesCameraRestarts(t *testing.T) {
	farm, _, address := oneCamera(t)
	page := open(t, address+"/e2e/whep?stream=cam0")
	require.NoError(t, page.WaitPictures(0, 10, patience))
	cam := farm.Camera(0)
	var longest time.Duration
	for i := range 20 {
		require.NoError(t, cam.Set(camera.Fault{Stop: true}))
		eventually(t, "the session ends", func() bool { return cam.Info().Sessions == 0 })
		require.NoError(t, page.Wait(`readers[0].samples.at(-1)[1] < Date.now() - 300`, patience), "the picture stands")
		came := time.Now()
		require.NoError(t, cam.Set(camera.Fault{Clip: []string{"coast", "river", "lake"}[i%3], Jump: float64(i * 1000)}))
		require.NoError(t, page.WaitPictures(0, 3, patience), "restart %d", i)
		longest = max(longest, time.Since(came))
	}
	t.Logf("pictures came back after at most %v", longest)
	var states []string
	require.NoError(t, page.Eval("states", &states))
	require.Equal(t, []string{"connecting", "connected"}, states)
	var packets map[string]float64
	require.NoError(t, page.Eval(`inbound().then(({packetsLost, nackCount}) => ({packetsLost, nackCount}))`, &packets))
	require.Zero(t, packets["packetsLost"], "sequence numbers have no gap")
}

func TestTwoBrowsersShareOneCameraSession(t *testing.T) {
	farm, _, address := oneCamera(t)
	one, two := open(t, address+"/e2e/whep?stream=cam0"), open(t, address+"/e2e/whep?stream=cam0")
	require.NoError(t, one.WaitPictures(0, 25, patience))
	require.NoError(t, two.WaitPictures(0, 25, patience))
	info := farm.Camera(0).Info()
	require.Equal(t, 1, info.Sessions)
	require.Equal(t, 1, info.Opened)
}
