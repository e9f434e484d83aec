package e2e

import (
	"testing"

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

// When its camera goes away and comes back, a viewer keeps its connection and sees pictures again.
func TestViewerOutlivesCameraRestart(t *testing.T) {
	farm, _, address := oneCamera(t)
	page := open(t, address+"/e2e/whep?stream=cam0")
	require.NoError(t, page.WaitPictures(0, 10, patience))

	cam := farm.Camera(0)
	require.NoError(t, cam.Set(camera.Fault{Stop: true}))
	eventually(t, "the session ends", func() bool { return cam.Info().Sessions == 0 })
	require.NoError(t, cam.Set(camera.Fault{}))
	require.NoError(t, page.WaitPictures(0, 50, patience))

	var states []string
	require.NoError(t, page.Eval("states", &states))
	require.Equal(t, []string{"connecting", "connected"}, states)
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
