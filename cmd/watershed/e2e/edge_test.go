package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/loadtest"
)

// cache is a server that is started with a configuration of hlsbridge/edge.
type cache struct {
	program, config string
	command         func(dir, config, listen string) []string
	perObject       float64 // origin fetches of each, at most
}

var caches = map[string]cache{
	"varnish": {
		program: "varnishd", config: "varnish.vcl", perObject: 1.05,
		command: func(dir, config, listen string) []string {
			return []string{"-F", "-j", "none", "-a", listen, "-f", config, "-n", filepath.Join(dir, "varnish"), "-s", "malloc,64m"}
		},
	},
	"nginx": {
		program: "nginx", config: "nginx.conf", perObject: 1.05,
		command: func(dir, config, _ string) []string {
			return []string{"-p", dir, "-c", config, "-g", "daemon off;"}
		},
	},
}

// configure writes the configuration for an origin and an address to listen on, and changes nothing else in it.
func (c cache) configure(t *testing.T, dir, origin, listen string) string {
	t.Helper()
	root, err := Root()
	require.NoError(t, err)
	shipped, err := os.ReadFile(filepath.Join(root, "hlsbridge", "edge", c.config))
	require.NoError(t, err)
	text := string(shipped)
	swap := func(old, new string) {
		require.Equal(t, 1, strings.Count(text, old), old)
		text = strings.Replace(text, old, new, 1)
	}
	if c.program == "nginx" {
		swap("server 127.0.0.1:8080;", "server "+origin+";")
		swap("listen 8000;", "listen "+listen+";")
		swap("/var/cache/nginx/watershed ", dir+"/cache ")
		text = fmt.Sprintf("user root;\nerror_log stderr;\npid %s/pid;\nevents { worker_connections 4096; }\nhttp {\nproxy_temp_path %[1]s/temp;\nclient_body_temp_path %[1]s/body;\n%s\n}\n", dir, text)
	} else {
		host, port, err := net.SplitHostPort(origin)
		require.NoError(t, err)
		swap(`.host = "127.0.0.1";`, fmt.Sprintf(".host = %q;", host))
		swap(`.port = "8080";`, fmt.Sprintf(".port = %q;", port))
	}
	file := filepath.Join(dir, c.config)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

// start runs the cache until the test ends, and returns its address.
func (c cache) start(t *testing.T, origin string) string {
	t.Helper()
	program, err := exec.LookPath(c.program)
	if err != nil {
		program = "/usr/sbin/" + c.program // Debian's place, which is not in everybody's PATH
	}
	_, err = os.Stat(program)
	require.NoError(t, err, "this test runs %s: .ci/install", c.program)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listen := l.Addr().String()
	require.NoError(t, l.Close())
	dir := t.TempDir()
	cmd := exec.Command(program, c.command(dir, c.configure(t, dir, origin, listen), listen)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", c.program, said.String())
		}
	})
	eventually(t, c.program+" listens", func() bool {
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			conn.Close()
		}
		select {
		case <-ended:
			require.Fail(t, c.program+" ended", said.String())
		default:
		}
		return err == nil
	})
	return "http://" + listen
}

// Fifty and then two hundred players behind one cache: the origin is asked for each object once, so it cannot tell them apart.
func TestCachesShareFetches(t *testing.T) {
	_, n, _ := hlsCamera(t)
	for name, c := range caches {
		t.Run(name, func(t *testing.T) {
			edge := c.start(t, strings.TrimPrefix(n.URL, "http://")) + "/hls/cam0/index.m3u8"
			eventually(t, "the playlist through "+name, func() bool {
				res, err := http.Get(edge)
				if err == nil {
					res.Body.Close()
				}
				return err == nil && res.StatusCode == http.StatusOK
			})
			for _, viewers := range []int{50, 200} {
				r := watchHLS(t, edge, n, viewers)
				for kind, fetches := range r.FetchesPerObject() {
					require.LessOrEqual(t, fetches, c.perObject, "%d viewers: %s", viewers, kind)
				}
				// Two playlists are kept for a second at least, and a request may be under way at each end.
				require.LessOrEqual(t, r.Origin["index"]+r.Origin["playlist"], 2*(r.Whole+2), "%d viewers", viewers)
				t.Logf("%d viewers: %d requests a second, the origin had %.1f", viewers, int(float64(r.Total())/r.Seconds), r.OriginTotal()/r.Whole)
			}
		})
	}
}

func watchHLS(t *testing.T, url string, origin *Node, viewers int) *loadtest.HLSResult {
	t.Helper()
	load := loadtest.HLS{URLs: []string{url}, Viewers: viewers, Rate: 200, Duration: time.Second, Origin: "http://" + origin.Listening["metrics"] + "/metrics"}
	r, err := load.Run(context.Background())
	require.NoError(t, err)
	require.Zero(t, r.Errors, r.Error)
	require.NotEmpty(t, r.FetchesPerObject())
	return r
}
