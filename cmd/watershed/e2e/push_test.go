package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
)

// ffmpeg publishes the numbered pictures of a clip over and over, and a tone, until the test ends.
func ffmpeg(t *testing.T, audio string, output ...string) *exec.Cmd {
	t.Helper()
	args := []string{
		"-hide_banner", "-loglevel", "warning", "-nostdin",
		"-re", "-stream_loop", "-1", "-i", clip(t), "-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", audio, "-ac", "2",
	}
	return background(t, "ffmpeg", "ffmpeg", append(args, output...)...)
}

// clip is a file that FFmpeg can wind back: it begins anew with a file of pictures only where that has an index.
func clip(t *testing.T) string {
	t.Helper()
	root, err := Root()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "lake.mp4")
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-fflags", "+genpts", "-r", "25",
		"-i", filepath.Join(root, "cmd/watershed/camera/clips/lake.h264"), "-c", "copy", file).CombinedOutput()
	require.NoError(t, err, "%s (this test needs FFmpeg: apt-get install ffmpeg)", out)
	return file
}

// requirePlayed opens a stream in Chromium: pictures come, each can be read.
func requirePlayed(t *testing.T, address, stream string) {
	t.Helper()
	viewer := open(t, address+"/e2e/whep?stream="+stream)
	require.NoError(t, viewer.WaitPictures(0, 50, patience))
	seen, err := viewer.Pictures(0)
	require.NoError(t, err)
	require.Zero(t, seen.Unread, "pictures whose number cannot be read")
}

func TestFFmpegPublishesByRTSP(t *testing.T) {
	for _, transport := range []string{"tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			n, address := emptyNode(t)
			ffmpeg(t, "libopus", "-f", "rtsp", "-rtsp_transport", transport, "rtsp://"+n.Listening["rtsp"]+"/stage")
			_, err := n.WaitLog(`"msg":"stream live"`, patience)
			require.NoError(t, err)
			requirePlayed(t, address, "stage")
		})
	}
}

// certificate makes a self-signed one for 127.0.0.1.
func certificate(t *testing.T) config.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	c := config.TLS{Cert: filepath.Join(t.TempDir(), "cert.pem"), Key: filepath.Join(t.TempDir(), "key.pem")}
	require.NoError(t, os.WriteFile(c.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600))
	return c
}

func TestFFmpegPublishesByRTMP(t *testing.T) {
	n, address := newNode(t, func(c *config.Config) { c.RTMP.TLS = certificate(t) })
	for stream, url := range map[string]string{
		"plain":  "rtmp://" + n.Listening["rtmp"] + "/plain",
		"live":   "rtmp://" + n.Listening["rtmp"] + "/live/live",
		"secure": "rtmps://" + n.Listening["rtmp"] + "/secure",
	} {
		t.Run(stream, func(t *testing.T) {
			ffmpeg(t, "aac", "-f", "flv", url)
			_, err := n.WaitLog(`"msg":"stream live","stream":"`+stream+`"`, patience)
			require.NoError(t, err)
			requirePlayed(t, address, stream)
		})
	}
}

func TestRTMPRefusals(t *testing.T) {
	n, _ := emptyNode(t)
	ffmpeg(t, "aac", "-f", "flv", "rtmp://"+n.Listening["rtmp"]+"/stage")
	_, err := n.WaitLog(`"msg":"stream live"`, patience)
	require.NoError(t, err)
	require.Contains(t, refused(t, "-f", "flv", "rtmp://"+n.Listening["rtmp"]+"/stage"), "somebody publishes this stream already")
	require.Contains(t, refused(t, "-f", "flv", "rtmp://"+n.Listening["rtmp"]+"/No_Name!"), "use 1 to 63 of a-z")
}

func TestFFmpegPublishesBySRT(t *testing.T) {
	const passphrase = "a-long-passphrase"
	for name, c := range map[string]struct{ audio, passphrase string }{"aac": {audio: "aac"}, "opus, encrypted": {"libopus", passphrase}} {
		t.Run(name, func(t *testing.T) {
			n, address := newNode(t, func(cfg *config.Config) { cfg.SRT.Passphrase = c.passphrase })
			url := "srt://" + n.Listening["srt"] + "?streamid=publish:stage&latency=80000"
			if c.passphrase != "" {
				url += "&passphrase=" + c.passphrase
			}
			ffmpeg(t, c.audio, "-f", "mpegts", url)
			_, err := n.WaitLog(`"msg":"stream live"`, patience)
			require.NoError(t, err)
			requirePlayed(t, address, "stage")
		})
	}
}

func TestSRTRefusals(t *testing.T) {
	n, _ := newNode(t, func(c *config.Config) { c.SRT.Passphrase = "a-long-passphrase" })
	for url, reason := range map[string]string{
		"?streamid=river":                                       "the streamid must be publish:{stream}:KEY",
		"?streamid=read:river":                                  "SRT only publishes here",
		"?streamid=publish:No_Way":                              "use 1 to 63 of a-z",
		"?streamid=publish:plain":                               "connections must be encrypted",
		"?streamid=publish:wrong&passphrase=another_passphrase": "wrong passphrase",
	} {
		refused(t, "-f", "mpegts", "srt://"+n.Listening["srt"]+url)
		_, err := n.WaitLog(reason, patience)
		require.NoError(t, err, url)
	}
}

// refused runs FFmpeg until it gives up, and returns what it said.
func refused(t *testing.T, output ...string) string {
	t.Helper()
	args := append([]string{
		"-hide_banner", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10", "-t", "60",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
	}, output...)
	out, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput()
	require.Error(t, err)
	return string(out)
}

func TestRTSPRefusals(t *testing.T) {
	n, _ := emptyNode(t)
	ffmpeg(t, "libopus", "-f", "rtsp", "-rtsp_transport", "tcp", fmt.Sprintf("rtsp://%s/stage", n.Listening["rtsp"]))
	_, err := n.WaitLog(`"msg":"stream live"`, patience)
	require.NoError(t, err)
	require.Contains(t, refused(t, "-f", "rtsp", "-rtsp_transport", "tcp", fmt.Sprintf("rtsp://%s/stage", n.Listening["rtsp"])), "403 somebody publishes this stream already")
	_, err = n.WaitLog(`"msg":"publisher refused","stream":"stage"`, patience)
	require.NoError(t, err)
	require.Contains(t, refused(t, "-f", "rtsp", fmt.Sprintf("rtsp://%s/No%%20Name", n.Listening["rtsp"])), "404 stream name")
}

// A publisher leaves and comes back by another protocol: who watches stays.
func TestViewerOutlivesPublisher(t *testing.T) {
	n, address := emptyNode(t)
	first := ffmpeg(t, "aac", "-f", "flv", "rtmp://"+n.Listening["rtmp"]+"/stage")
	_, err := n.WaitLog(`"msg":"stream live"`, patience)
	require.NoError(t, err)
	viewer := open(t, address+"/e2e/whep?stream=stage")
	require.NoError(t, viewer.WaitPictures(0, 25, patience))
	require.NoError(t, first.Process.Kill())
	_, err = n.WaitLog(`"msg":"publisher left"`, patience)
	require.NoError(t, err)
	require.NoError(t, viewer.Wait(`readers[0].samples.at(-1)[1] < Date.now() - 300`, patience), "the picture stands")

	ffmpeg(t, "libopus", "-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://"+n.Listening["rtsp"]+"/stage")
	require.NoError(t, viewer.WaitPictures(0, 25, patience))
	var states []string
	require.NoError(t, viewer.Eval("states", &states))
	require.Equal(t, []string{"connecting", "connected"}, states)
}

// streamKey makes one by the API, as an operator does; revoke deletes it.
func streamKey(t *testing.T, n *Node, stream string) (key string, revoke func()) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, "token", "-c", filepath.Join(n.Config.Data, "watershed.yaml"), "--role", "operator").Output()
	require.NoError(t, err)
	call := func(method, path, body string, status int) []byte {
		req, err := http.NewRequest(method, n.URL+"/api/v1/streams/"+stream+"/keys"+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(out)))
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, status, res.StatusCode, "%s", text)
		return text
	}
	var made struct{ ID, Key string }
	require.NoError(t, json.Unmarshal(call(http.MethodPost, "", "{}", http.StatusCreated), &made))
	require.NotEmpty(t, made.Key)
	return made.Key, func() { call(http.MethodDelete, "/"+made.ID, "", http.StatusNoContent) }
}

// Where not everybody may publish, the stream's key is the RTSP password, the URL's key of RTMP, and the end of SRT's stream id. Who
// publishes with a key that is deleted is disconnected.
func TestPublishingNeedsAKey(t *testing.T) {
	names := map[string]config.Stream{"one": {Public: true}, "two": {Public: true}, "three": {Public: true}}
	n, address := newNode(t, func(c *config.Config) { c.Auth.Mode, c.Streams = "token", names })
	outputs := map[string]func(key string) []string{
		"one": func(key string) []string {
			return []string{"-f", "rtsp", "rtsp://any:" + key + "@" + n.Listening["rtsp"] + "/one"}
		},
		"two": func(key string) []string {
			return []string{"-f", "flv", "rtmp://" + n.Listening["rtmp"] + "/two?key=" + key}
		},
		"three": func(key string) []string {
			return []string{"-f", "mpegts", "srt://" + n.Listening["srt"] + "?streamid=publish:three:" + key}
		},
	}
	other, _ := streamKey(t, n, "one")
	for stream, output := range outputs {
		wrong := other
		if stream == "one" {
			wrong = "no-key"
		}
		refused(t, output(wrong)...)
		_, err := n.WaitLog(`"msg":"publisher refused","stream":"`+stream+`"`, patience)
		require.NoError(t, err)

		key, revoke := streamKey(t, n, stream)
		ffmpeg(t, "aac", output(key)...)
		_, err = n.WaitLog(`"msg":"stream live","stream":"`+stream+`"`, patience)
		require.NoError(t, err)
		requirePlayed(t, address, stream)
		revoke()
		_, err = n.WaitLog(`"msg":"publisher left","stream":"`+stream+`"`, patience)
		require.NoError(t, err)
		require.NotContains(t, n.Log(), key, "no credentials in the log")
	}
}

// What is no protocol at all, on every port that takes media: nothing happens to those who watch.
func TestNonsenseOnEveryPort(t *testing.T) {
	_, n, address := oneCamera(t)
	viewer := open(t, address+"/e2e/whep?stream=cam0")
	require.NoError(t, viewer.WaitPictures(0, 10, patience))
	random := mathrand.NewChaCha8([32]byte{})
	for _, key := range []string{"rtsp", "rtmp", "srt", "webrtc"} {
		for _, network := range []string{"tcp", "udp"} {
			for i := range 50 {
				c, err := net.Dial(network, n.Listening[key])
				if err != nil { // nobody takes it there
					break
				}
				junk := make([]byte, 1+i*29)
				random.Read(junk)
				switch i % 3 {
				case 1: // the beginning of what is expected
					copy(junk, map[string]string{"rtsp": "ANNOUNCE rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\n", "rtmp": "\x03\x00\x00\x00", "srt": "\x80\x00\x00\x00", "webrtc": "\x00\x01\x00\x08\x21\x12\xa4\x42"}[key])
				case 2:
					copy(junk, "\x80\xc8\x00\x06")
				}
				c.Write(junk)
				c.Close()
			}
		}
	}
	require.NoError(t, viewer.WaitPictures(0, 50, patience))
	var states []string
	require.NoError(t, viewer.Eval("states", &states))
	require.Equal(t, []string{"connecting", "connected"}, states)
	require.NotContains(t, n.Log(), "panic")
}

// intraRefresh publishes numbered pictures that renew themselves piece by piece, without a single IDR. The filter decides what else is missing.
func intraRefresh(t *testing.T, filter, url string) {
	t.Helper()
	root, err := Root()
	require.NoError(t, err)
	clip := "file '" + filepath.Join(root, "cmd/watershed/camera/clips/lake.h264") + "'\n"
	list := filepath.Join(t.TempDir(), "clips")
	require.NoError(t, os.WriteFile(list, []byte(strings.Repeat(clip, 60)), 0o600)) // FFmpeg cannot loop a clip that it decodes
	background(t, "ffmpeg", "ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin", "-re", "-f", "concat", "-safe", "0", "-r", "25", "-i", list,
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-x264-params", "intra-refresh=1:keyint=25",
		"-bsf:v", filter, "-f", "rtsp", "-rtsp_transport", "tcp", url)
}

// A stream without IDR pictures starts at its recovery points. Browsers need more, so they get it converted, whole pictures only.
func TestIntraRefresh(t *testing.T) {
	n, address := emptyNode(t)
	intraRefresh(t, "filter_units=remove_types=5", "rtsp://"+n.Listening["rtsp"]+"/stage")
	_, err := n.WaitLog(`"msg":"stream live"`, patience)
	require.NoError(t, err)
	requirePlayed(t, address, "stage")
}

// Without recovery points there is nothing to start at, and the stream says so.
func TestNothingToStartAt(t *testing.T) {
	n, _ := emptyNode(t)
	intraRefresh(t, "filter_units=remove_types=5|6", "rtsp://"+n.Listening["rtsp"]+"/stage")
	_, err := n.WaitLog(`"msg":"stream starting","stream":"stage","reason":"no-keyframe"`, patience)
	require.NoError(t, err)
	require.NotContains(t, n.Log(), `"msg":"stream live"`)
}
