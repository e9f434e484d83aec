package e2e

import (
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e/browser"
)

// problemOf posts an offer; what comes back is a problem.
func problemOf(t *testing.T, url, contentType, body string) (p struct {
	Status        int
	Title, Detail string
},
) {
	t.Helper()
	res, err := http.Post(url, contentType, strings.NewReader(body))
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), "%s: %s", res.Status, text)
	require.NoError(t, json.Unmarshal(text, &p))
	require.Equal(t, res.StatusCode, p.Status)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	return p
}

func TestBadOffersAreProblems(t *testing.T) {
	_, n, _ := oneCamera(t)
	const sdp = "application/sdp"
	for name, c := range map[string]struct {
		path, contentType, body string
		status                  int
	}{
		"unknown stream": {"/whep/nobody", sdp, "v=0\r\n", http.StatusNotFound},
		"no stream name": {"/whep/UPPER", sdp, "v=0\r\n", http.StatusNotFound},
		"not SDP":        {"/whep/cam0", "application/json", "{}", http.StatusUnsupportedMediaType},
		"empty":          {"/whep/cam0", sdp, "", http.StatusBadRequest},
		"malformed":      {"/whep/cam0", sdp, "v=0\r\no=-", http.StatusBadRequest},
		"no media":       {"/whep/cam0", sdp, "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", http.StatusBadRequest},
		"huge":           {"/whep/cam0", sdp, strings.Repeat("a=x\r\n", 1<<18), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.status, problemOf(t, n.URL+c.path, c.contentType, c.body).Status)
		})
	}
}

// A stream on demand is pulled when its first viewer comes, once however many come together, and let go after the last.
func TestDemand(t *testing.T) {
	farm := newFarm(t, 1)
	n, address := newNode(t, func(c *config.Config) {
		c.Streams = map[string]config.Stream{"cam0": {Public: true, Source: farm.URL(0), Demand: true, Idle: 100 * time.Millisecond}}
	})
	_, err := n.WaitLog(`"msg":"stream idle"`, patience)
	require.NoError(t, err)
	cam := farm.Camera(0)
	require.Zero(t, cam.Info().Opened, "pulled before anybody watched")

	one, two := open(t, address+"/e2e/whep?stream=cam0"), open(t, address+"/e2e/whep?stream=cam0")
	require.NoError(t, one.WaitPictures(0, 5, patience))
	require.NoError(t, two.WaitPictures(0, 5, patience))
	require.Equal(t, 1, cam.Info().Opened)

	for _, p := range []*browser.Page{one, two} {
		require.NoError(t, p.Eval(`fetch(session, { method: "DELETE" }).then(() => null)`, nil))
	}
	eventually(t, "the camera is let go", func() bool { return cam.Info().Sessions == 0 })
}

//go:embed aiortc_whep.py
var aiortcWHEP string

// A second implementation of WebRTC decodes what the first one does.
func TestAiortcPlaysCamera(t *testing.T) {
	_, n, _ := oneCamera(t)
	out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", aiortcWHEP, n.URL+"/whep/cam0", "10").CombinedOutput()
	require.NoError(t, err, "is python3-aiortc installed? %s", out)
	require.Equal(t, "10 pictures of 1280x720", strings.TrimSpace(string(out)))
}
