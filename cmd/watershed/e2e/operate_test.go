package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
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

// fails runs the binary, which must end with an error, and returns what it said.
func fails(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir = t.TempDir()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	limit := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer limit.Stop()
	require.Error(t, cmd.Wait(), "said %s", &said)
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), "said %s", &said)
	return said.String()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(text)
}

func TestConfigurationErrorsSayWhere(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"unknown key":   {"http:\n  listen: 127.0.0.1:0\n  lissten: x\n", []string{"watershed.yaml:3:", "lissten"}},
		"wrong type":    {"webrtc:\n  shards: many\n", []string{"watershed.yaml:2:", "webrtc.shards"}},
		"not YAML":      {"http: [\n", []string{"watershed.yaml:1"}},
		"bad address":   {"rtsp: { listen: nowhere }\n", []string{"rtsp.listen", "nowhere"}},
		"open to all":   {"auth: { mode: open }\nhttp: { listen: \":8080\" }\n", []string{"auth.mode", "loopback"}},
		"bad name":      {"streams: { UPPER: {} }\n", []string{"streams.UPPER"}},
		"bad input":     {"streams: { a: { source: \"camera 5\" } }\n", []string{"streams.a"}},
		"bad scheme":    {"streams:\n  a:\n    source: camera://user:hunter2@10.0.0.5/1\n", []string{"watershed.yaml:2:", "streams.a", "camera", "rtsp"}},
		"secret hidden": {"streams: { a: { source: \"//user:hunter2@\" } }\n", []string{"streams.a"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "watershed.yaml")
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			said := fails(t, "serve", "-c", file)
			for _, s := range c.says {
				require.Contains(t, said, s)
			}
			require.NotContains(t, said, "hunter2")
			require.NotContains(t, said, "goroutine", "panicked")
		})
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for key, set := range map[string]func(*config.Config, string){
		"http":    func(c *config.Config, a string) { c.HTTP.Listen = a },
		"webrtc":  func(c *config.Config, a string) { c.WebRTC.Listen = a },
		"metrics": func(c *config.Config, a string) { c.Metrics.Listen = a },
	} {
		t.Run(key, func(t *testing.T) {
			c := Config(t.TempDir())
			set(&c, taken.Addr().String())
			n, err := Start(binary, c)
			if err == nil {
				n.Kill()
			}
			require.ErrorContains(t, err, key+".listen")
			require.ErrorContains(t, err, taken.Addr().String())
			require.ErrorContains(t, err, "another program")
		})
	}
}

// A viewer and open requests do not keep a node from ending.
func TestEndsWithinFiveSeconds(t *testing.T) {
	_, n, address := oneCamera(t)
	page := open(t, address+"/e2e/whep?stream=cam0")
	require.NoError(t, page.WaitPictures(0, 5, patience))
	half, err := net.Dial("tcp", n.Listening["http"]) // a request that never gets complete
	require.NoError(t, err)
	defer half.Close()
	_, err = io.WriteString(half, "POST /whep/cam0 HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n\r\nv=0")
	require.NoError(t, err)

	require.NoError(t, n.Stop(5*time.Second))
}

func TestHealth(t *testing.T) {
	_, n, _ := oneCamera(t)
	status, _ := get(t, n.URL+"/healthz")
	require.Equal(t, http.StatusOK, status)
	eventually(t, "ready", func() bool { status, _ := get(t, n.URL+"/readyz"); return status == http.StatusOK })
}

func TestMetrics(t *testing.T) {
	_, n, address := oneCamera(t)
	page := open(t, address+"/e2e/whep?stream=cam0")
	require.NoError(t, page.WaitPictures(0, 5, patience))

	_, text := get(t, "http://"+n.Listening["metrics"]+"/metrics")
	for _, line := range []string{
		`watershed_streams{state="live"} 1`, `watershed_streams{state="offline"} 0`, `watershed_viewers{protocol="webrtc"} 1`, "watershed_webrtc_legs 1",
	} {
		require.Contains(t, strings.Split(text, "\n"), line)
	}
	require.Regexp(t, `watershed_shard_packets_total\{shard="\d"\} [1-9]`, text)
	require.Regexp(t, `watershed_udp_datagrams_total\{socket="\d"\} [1-9]`, text)
	require.Contains(t, text, "go_goroutines")
	require.NotContains(t, text, "cam0", "a label with an unbounded number of values")

	status, _ := get(t, "http://"+n.Listening["metrics"]+"/debug/pprof/goroutine?debug=1")
	require.Equal(t, http.StatusOK, status)
	status, _ = get(t, n.URL+"/debug/pprof/")
	require.Equal(t, http.StatusNotFound, status, "profiles are not for the public")
}

// selfSigned writes a certificate for 127.0.0.1, and returns what trusts it.
func selfSigned(t *testing.T, cert, key string) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(cert, certPEM, 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certPEM))
	return pool
}

func TestTLS(t *testing.T) {
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	pool := selfSigned(t, cert, key)
	n, _ := newNode(t, func(c *config.Config) { c.HTTP.TLS.Cert, c.HTTP.TLS.Key = cert, key })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + n.Listening["http"] + "/healthz")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "HTTP/2.0", res.Proto)
}
