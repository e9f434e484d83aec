package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
)

// closedNode asks for tokens, and has one camera as cam0, which is not public.
func closedNode(t *testing.T) *Node {
	t.Helper()
	farm := newFarm(t, 1)
	n, _ := newNode(t, func(c *config.Config) {
		c.Auth.Mode = "token"
		c.Streams = map[string]config.Stream{"cam0": {Source: farm.URL(0)}}
	})
	return n
}

// token is what the command makes for this node.
func (n *Node) token(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"token", "-c", filepath.Join(n.Config.Data, "watershed.yaml")}, args...)...)
	cmd.Dir = n.Config.Data
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func TestOperatorLinkWorksOnce(t *testing.T) {
	n := closedNode(t)
	line, err := n.WaitLog("#token=once-", patience)
	require.NoError(t, err)
	link := strings.TrimSpace(line)

	p := open(t, link)
	const role = `fetch('/api/v1/me', {headers: {Authorization: 'Bearer ' + localStorage.getItem('watershed.token')}}).then(r => r.json()).then(me => me.role)`
	require.NoError(t, p.Wait(`localStorage.getItem('watershed.token')`, patience), "build the pages first: make web")
	var got string
	require.NoError(t, p.Eval(role, &got))
	require.Equal(t, "admin", got)
	require.NoError(t, p.Eval(`location.href`, &got))
	require.NotContains(t, got, "token", "it does not stay in the address bar")
	require.NoError(t, p.Wait(`document.querySelector('.card h3')?.textContent === 'cam0'`, patience), "the hub shows what is not public")

	second := open(t, link)
	require.NoError(t, second.Wait(`document.readyState === 'complete'`, patience))
	require.NoError(t, second.Eval(`String(localStorage.getItem('watershed.token'))`, &got))
	require.Equal(t, "null", got)
}

// A stream that is not public plays for who has a token, by every way, and stops when the token is revoked.
func TestPrivateStreamPlaysWithATokenUntilItIsRevoked(t *testing.T) {
	n := closedNode(t)
	admin := n.token(t, "--role", "admin")
	for _, via := range []string{"webrtc", "llhls"} {
		t.Run(via, func(t *testing.T) {
			viewer := n.token(t, "--role", "viewer", "--stream", "cam0")
			p := openPage(t, n, "/watch/cam0?via="+via+"#token="+viewer)
			require.NoError(t, p.WaitPictures(0, 20, patience))
			waitPlaying(t, p, via)

			var me struct{ JTI string }
			require.NoError(t, json.Unmarshal(payload(t, viewer), &me))
			require.Equal(t, http.StatusNoContent, n.ask(t, "DELETE", "/api/v1/tokens/"+me.JTI, admin))
			require.NoError(t, p.Wait(`!(document.querySelector('watershed-player')?.view?.state === 'playing')`, patience))
			require.Equal(t, http.StatusUnauthorized, n.ask(t, "GET", "/api/v1/streams/cam0", viewer))
		})
	}
}

// payload of a JWT.
func payload(t *testing.T, jwt string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	require.NoError(t, err)
	return raw
}

// ask the node's API, for the status only.
func (n *Node) ask(t *testing.T, method, path, bearer string) int {
	t.Helper()
	return n.send(t, method, path, bearer, "", nil)
}

func TestTokenCommand(t *testing.T) {
	n := closedNode(t)
	for role, want := range map[string]int{"viewer": 403, "publisher": 403, "moderator": 403, "operator": 200, "admin": 200} {
		require.Equal(t, want, n.ask(t, "GET", "/api/v1/streams/cam0/keys", n.token(t, "--role", role)), role)
	}
	require.Equal(t, 404, n.ask(t, "GET", "/api/v1/streams/cam0", n.token(t, "--role", "admin", "--tenant", "acme")))
	require.Equal(t, 403, n.ask(t, "GET", "/api/v1/streams/cam0", n.token(t, "--role", "admin", "--stream", "other")))
	for _, bad := range [][]string{{}, {"--role", "root"}, {"--role", "viewer", "--ttl", "-1h"}, {"--role", "viewer", "--tenant", "A B"}, {"--role", "viewer", "--stream", "a b"}} {
		out, err := exec.Command(binary, append([]string{"token", "-c", filepath.Join(n.Config.Data, "watershed.yaml")}, bad...)...).CombinedOutput()
		require.Error(t, err, fmt.Sprint(bad))
		require.NotEmpty(t, out)
	}
}

// Encoders bring a stream key where their protocol has a place for one, and are gone with it.
func TestEncodersNeedAKeyAndLeaveWithIt(t *testing.T) {
	_, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "ffmpeg is missing: apt-get install ffmpeg")
	n := closedNode(t)
	operator := n.token(t, "--role", "operator")
	require.Equal(t, http.StatusCreated, n.send(t, "PUT", "/api/v1/streams/stage", operator, `{"public":true}`, nil))
	for _, c := range []struct{ protocol, audio, format, url string }{
		{"rtsp", "libopus", "rtsp", "rtsp://encoder:%s@" + n.Listening["rtsp"] + "/stage"},
		{"rtmp", "aac", "flv", "rtmp://" + n.Listening["rtmp"] + "/live/stage?key=%s"},
		{"srt", "aac", "mpegts", "srt://" + n.Listening["srt"] + "?streamid=publish:stage:%s"},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			var key struct{ Key, ID string }
			require.Equal(t, http.StatusCreated, n.send(t, "POST", "/api/v1/streams/stage/keys", operator, `{}`, &key))
			publish := func(secret string) *exec.Cmd {
				return exec.Command("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc=s=320x180:r=25",
					"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p", "-f", c.format, fmt.Sprintf(c.url, secret))
			}
			wrong := "a" + key.Key[1:]
			if wrong == key.Key {
				wrong = "b" + key.Key[1:]
			}
			require.Error(t, publish(wrong).Run(), "a wrong key is refused")

			ff := publish(key.Key)
			require.NoError(t, ff.Start())
			ended := make(chan error, 1)
			go func() { ended <- ff.Wait() }()
			defer func() { ff.Process.Kill() }()
			var stream struct{ State string }
			eventually(t, "the stream is live", func() bool {
				return n.send(t, "GET", "/api/v1/streams/stage", operator, "", &stream) == http.StatusOK && stream.State == "live"
			})
			require.Equal(t, http.StatusNoContent, n.ask(t, "DELETE", "/api/v1/streams/stage/keys/"+key.ID, operator))
			<-ended
			eventually(t, "the stream waits for a publisher", func() bool {
				n.send(t, "GET", "/api/v1/streams/stage", operator, "", &stream)
				return stream.State == "offline"
			})
			require.NotContains(t, n.Log(), key.Key, "keys are not in the log")
			require.NotContains(t, n.Log(), wrong)
		})
	}
}

// send a request with a body, and read the answer.
func (n *Node) send(t *testing.T, method, path, bearer, body string, into any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, n.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	if into != nil {
		require.NoError(t, json.NewDecoder(res.Body).Decode(into))
	}
	return res.StatusCode
}
