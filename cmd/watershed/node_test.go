package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/sfu/leg"
)

// freePorts are ports that nobody has just now, for TCP and UDP alike.
func freePorts(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for port := 21000; len(addresses) < n; port++ {
		a := fmt.Sprintf("127.0.0.1:%d", port)
		if canListen("tcp", a) && canListen("udp", a) {
			addresses = append(addresses, a)
		}
		require.Less(t, port, 30000)
	}
	return addresses
}

// TestNothingStaysOpenWhenANodeDoesNotStart: whatever is opened before something fails is closed, so that it can be tried again.
func TestNothingStaysOpenWhenANodeDoesNotStart(t *testing.T) {
	ports := freePorts(t, 5)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for name, fail := range map[string]func(*config.Config){
		"http": func(c *config.Config) { c.HTTP.Listen = taken.Addr().String() },
		"rtmp": func(c *config.Config) { c.RTMP.Listen = taken.Addr().String() },
		"tls":  func(c *config.Config) { c.HTTP.TLS.Cert, c.HTTP.TLS.Key = "absent.pem", "absent.key" },
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Default()
			c.Data, c.Log.Level = t.TempDir(), "error"
			for i, l := range []*string{&c.HTTP.Listen, &c.WebRTC.Listen, &c.Metrics.Listen, &c.SRT.Listen, &c.WebRTC.TURN.Listen} {
				*l = ports[i]
			}
			c.RTSP.Listen, c.RTMP.Listen, c.Cluster.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
			fail(&c)
			before := runtime.NumGoroutine()
			_, err := openNode(context.Background(), c)
			require.Error(t, err)
			for _, a := range ports {
				var tcp, udp io.Closer
				tcp, err1 := net.Listen("tcp", a)
				udp, err2 := net.ListenPacket("udp", a)
				require.NoError(t, errors.Join(err1, err2))
				tcp.Close()
				udp.Close()
			}
			require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 10*time.Second, 10*time.Millisecond, "goroutines left") // one is Eventually's own
		})
	}
}

// idle is a leg's owner who does nothing.
type idle struct{}

func (idle) Ready(*leg.Leg)         {}
func (idle) RTCP(*leg.Leg, []byte)  {}
func (idle) Closed(*leg.Leg, error) {}

func TestViewersBeyondCapacityAreToldWhenToTryAgain(t *testing.T) {
	h := newHouse(t, nil)
	var err error
	for err == nil {
		_, err = h.sfu.Port().New(leg.Remote{}, idle{})
	}
	require.ErrorIs(t, err, leg.ErrFull)
	a := h.ask(t, "POST", "/whep/pub", "", sdp, offer(t, webrtc.RTPTransceiverDirectionRecvonly))
	require.Equal(t, http.StatusServiceUnavailable, a.Code, a.Body)
	require.NotEmpty(t, a.Header().Get("Retry-After"))
	st, _ := h.sfu.Stream("pub")
	require.Empty(t, st.Status().Viewers, "who was refused holds the stream")
}

func TestDataFolderThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	c := config.Default()
	c.Data = filepath.Join(file, "data")
	_, err := openNode(t.Context(), c)
	require.ErrorContains(t, err, "data: ")
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, "name another")
}
