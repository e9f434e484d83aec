package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
)

// patience is how long a test waits for an event that must come: long enough for a slow machine under the race detector.
const patience = time.Minute

var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("", "watershed-e2e-")
	if err == nil {
		defer os.RemoveAll(folder)
		binary, err = Build(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer closeChromium()
	return m.Run()
}

// One Chromium serves all tests: every page is a visitor of its own.
var (
	chromiumOnce sync.Once
	chromium     *browser.Browser
	chromiumErr  error
)

func theChromium(t *testing.T) *browser.Browser {
	t.Helper()
	chromiumOnce.Do(func() {
		root, err := Root()
		if err != nil {
			chromiumErr = err
			return
		}
		chromium, chromiumErr = browser.Launch(filepath.Join(root, "web"))
	})
	require.NoError(t, chromiumErr)
	return chromium
}

func closeChromium() {
	if chromium != nil {
		chromium.Close()
	}
}

// open shows a page until the test ends.
func open(t *testing.T, url string) *browser.Page {
	t.Helper()
	p, err := theChromium(t).Open(url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// newFarm runs n synthetic cameras until the test ends.
func newFarm(t *testing.T, n int) *camera.Farm { return newSoundFarm(t, n, "", "") }

// newSoundFarm has cameras that show a clip, or each its own, and that can be heard.
func newSoundFarm(t *testing.T, n int, clip, audio string) *camera.Farm {
	t.Helper()
	farm, err := camera.New(camera.Config{N: n, Listen: "127.0.0.1:0", Clip: clip, Audio: audio})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- farm.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return farm
}

// cameraStreams declares cam0 and so on, as the farm has them.
func cameraStreams(farm *camera.Farm, n int) map[string]config.Stream {
	all := map[string]config.Stream{}
	for i := range n {
		all[fmt.Sprintf("cam%d", i)] = config.Stream{Public: true, Source: farm.URL(i)}
	}
	return all
}

// newNode runs a node until the test ends; it must end well. The test's pages reach it at the returned address.
func newNode(t *testing.T, change func(*config.Config)) (n *Node, address string) {
	t.Helper()
	c := Config(t.TempDir())
	change(&c)
	n, err := Start(binary, c)
	require.NoError(t, err)
	address, end, err := Pages(n.URL)
	require.NoError(t, err)
	t.Cleanup(func() {
		end()
		if t.Failed() {
			t.Logf("the node's log:\n%s", n.Log())
		}
		select {
		case <-n.done:
		default:
			require.NoError(t, n.Stop(patience))
		}
	})
	return n, address
}

// oneCamera is a farm of one and a node that pulls it as cam0.
func oneCamera(t *testing.T) (*camera.Farm, *Node, string) {
	t.Helper()
	farm := newFarm(t, 1)
	n, address := newNode(t, func(c *config.Config) { c.Streams = cameraStreams(farm, 1) })
	return farm, n, address
}

// eventually is for states that only asking shows.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, patience, 20*time.Millisecond, what)
}
