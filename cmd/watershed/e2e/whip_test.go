package e2e

import (
	_ "embed"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
)

// emptyNode has no streams.
func emptyNode(t *testing.T) (*Node, string) {
	t.Helper()
	return newNode(t, func(*config.Config) {})
}

// publish opens a page that publishes, and waits until it is connected.
func publish(t *testing.T, address, query string) *browser.Page {
	t.Helper()
	p := open(t, address+"/e2e/whip?"+query)
	require.NoError(t, p.Wait(`window.pc?.connectionState === 'connected'`, patience))
	return p
}

func TestChromiumPublishesByWHIP(t *testing.T) {
	for _, codec := range []string{"", "video/VP8", "video/VP9", "video/AV1"} {
		t.Run(strings.TrimPrefix(codec, "video/"), func(t *testing.T) {
			_, address := emptyNode(t)
			publisher := publish(t, address, "stream=stage&codec="+codec)
			viewer := open(t, address+"/e2e/whep?stream=stage")
			require.NoError(t, viewer.WaitPictures(0, 50, patience))
			seen, err := viewer.Pictures(0)
			require.NoError(t, err)
			require.Zero(t, seen.Unread)
			var mime string
			require.NoError(t, publisher.Eval(`outbound().then(async ([o]) => (await pc.getStats()).get(o.codecId).mimeType)`, &mime))
			if codec == "" {
				codec = "video/H264"
			}
			require.Equal(t, codec, mime)
		})
	}
}

func TestChromiumPublishesSimulcast(t *testing.T) {
	_, address := emptyNode(t)
	publisher := publish(t, address, "stream=stage&simulcast=1")
	viewer := open(t, address+"/e2e/whep?stream=stage")
	require.NoError(t, viewer.WaitPictures(0, 50, patience))
	require.NoError(t, publisher.Wait(`outbound().then((all) => all.length === 3)`, patience))
}

func TestPublisherRestartsICE(t *testing.T) {
	n, address := emptyNode(t)
	publisher := publish(t, address, "stream=stage")
	viewer := open(t, address+"/e2e/whep?stream=stage")
	require.NoError(t, viewer.WaitPictures(0, 25, patience))
	var changed bool
	require.NoError(t, publisher.Eval(`restart()`, &changed))
	require.True(t, changed, "a new ICE session has a new ETag")
	require.NoError(t, viewer.WaitPictures(0, 100, patience))
	require.NoError(t, publisher.Wait(`pc.getStats().then((all) => {
		const values = [...all.values()], pair = values.find((s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded')
		return all.get(pair?.localCandidateId)?.usernameFragment === pc.localDescription.sdp.match(/a=ice-ufrag:(.*)\r\n/)[1]
	})`, patience), "media flow under the new credentials")

	// The conditions of RFC 9725 section 4.3.1.
	var session, etag string
	require.NoError(t, publisher.Eval(`session`, &session))
	require.NoError(t, publisher.Eval(`etag`, &etag))
	for _, c := range []struct {
		match, body string
		status      int
	}{
		{"", "a=end-of-candidates\r\n", http.StatusPreconditionRequired},
		{`"other"`, "a=end-of-candidates\r\n", http.StatusPreconditionFailed},
		{etag, "nonsense", http.StatusBadRequest},
		{etag, "a=end-of-candidates\r\n", http.StatusNoContent},
	} {
		req, _ := http.NewRequest(http.MethodPatch, n.URL+session, strings.NewReader(c.body))
		req.Header.Set("Content-Type", "application/trickle-ice-sdpfrag")
		if c.match != "" {
			req.Header.Set("If-Match", c.match)
		}
		require.Equal(t, c.status, do(t, req), "%+v", c)
	}
}

func do(t *testing.T, req *http.Request) int {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	return res.StatusCode
}

func TestSecondPublisher(t *testing.T) {
	n, address := emptyNode(t)
	first := publish(t, address, "stream=stage")
	viewer := open(t, address+"/e2e/whep?stream=stage")
	require.NoError(t, viewer.WaitPictures(0, 25, patience))

	second := open(t, address+"/e2e/whip?stream=stage")
	require.NoError(t, second.Wait(`window.answered === 409`, patience))
	_, err := n.WaitLog(`"msg":"publisher refused","stream":"stage"`, patience)
	require.NoError(t, err)

	third := publish(t, address, "stream=stage&takeover=1")
	require.NoError(t, first.Wait(`['disconnected', 'failed', 'closed'].includes(pc.connectionState)`, patience))
	require.NoError(t, viewer.WaitPictures(0, 50, patience))
	var states []string
	require.NoError(t, viewer.Eval("states", &states))
	require.Equal(t, []string{"connecting", "connected"}, states, "the viewer stays")

	var session string
	require.NoError(t, third.Eval(`session`, &session))
	req, _ := http.NewRequest(http.MethodDelete, n.URL+session, nil)
	require.Equal(t, http.StatusOK, do(t, req))
	require.Equal(t, http.StatusNotFound, do(t, req))
}

func TestBadOffers(t *testing.T) {
	n, _ := emptyNode(t)
	post := func(contentType, body string) int {
		req, _ := http.NewRequest(http.MethodPost, n.URL+"/whip/stage", strings.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		return do(t, req)
	}
	require.Equal(t, http.StatusUnsupportedMediaType, post("text/plain", "v=0"))
	require.Equal(t, http.StatusBadRequest, post("application/sdp", "v=0"))
	require.Equal(t, http.StatusBadRequest, post("application/sdp", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"))
	require.Equal(t, http.StatusRequestEntityTooLarge, post("application/sdp", strings.Repeat("a", 1<<20)))
	req, _ := http.NewRequest(http.MethodPost, n.URL+"/whip/No%20Name", strings.NewReader(""))
	require.Equal(t, http.StatusNotFound, do(t, req))
}

//go:embed aiortc_test.py
var aiortcScript []byte

// aiortc runs the script of the other WebRTC implementation until the test ends.
func aiortc(t *testing.T, args ...string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "aiortc_test.py")
	require.NoError(t, os.WriteFile(script, aiortcScript, 0o600))
	background(t, "python3-aiortc", "/usr/bin/python3", append([]string{script}, args...)...)
}

// background runs a program of a Debian package until the test ends, and shows what it said if the test fails.
func background(t *testing.T, debian, program string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	require.NoError(t, err, "%s is missing: apt-get install %s", program, debian)
	var out strings.Builder
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, out.String())
		}
	})
	return cmd
}

func TestAiortcPublishesAndPlays(t *testing.T) {
	n, address := emptyNode(t)
	aiortc(t, "publish", n.URL+"/whip/stage")
	eventually(t, "the stream is there", func() bool {
		req, _ := http.NewRequest(http.MethodOptions, n.URL+"/whep/stage", nil)
		return do(t, req) == http.StatusNoContent && strings.Contains(n.Log(), `"msg":"stream live"`)
	})
	viewer := open(t, address+"/e2e/whep?stream=stage")
	require.NoError(t, viewer.Wait(`document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 50`, patience))

	said := filepath.Join(t.TempDir(), "played")
	aiortc(t, "play", n.URL+"/whep/stage", said)
	eventually(t, "aiortc has decoded 30 pictures", func() bool {
		text, err := os.ReadFile(said)
		return err == nil && string(text) == "30 pictures"
	})
}
