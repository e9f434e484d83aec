package hlsbridge

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/lane"
)

// TestAFailingAnswerIsOneRequests: what panics after its handler has returned costs that connection, and nobody else.
func TestAFailingAnswerIsOneRequests(t *testing.T) {
	s := newStudio(t, nil)
	s.connect("coast", false).send(140)
	require.Equal(t, http.StatusOK, s.fetch("v0.m3u8").StatusCode)
	p := s.bridge.packager(s.stream)
	far := moment{"v0", p.gen.Load().view("v0").lastMSN + 100, 0}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := lane.Listen(tcp.(*net.TCPListener), func(string) bool { return true }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.bridge.when(w, r, p, far, 10*time.Millisecond, func(*view) {
			if r.URL.Path == "/bad" {
				w.Header().Set("Content-Length", "100")
				io.WriteString(w, "not all")
				panic("a fault of ours")
			}
			io.WriteString(w, "good")
		})
	}), slog.New(slog.DiscardHandler))
	defer l.Wait(t.Context())
	defer l.Close()
	get := func(path string) (string, error) {
		client := http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		res, err := client.Get("http://" + tcp.Addr().String() + path)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	_, err = get("/bad")
	require.Error(t, err, "a part of an answer passed for a whole one")
	body, err := get("/good")
	require.NoError(t, err)
	require.Equal(t, "good", body)
}
