package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/signaling/token"
)

// house is a node with streams of two tenants, running, and its front door.
type house struct {
	*node
	door    http.Handler
	callers int // each request comes from an address of its own, so that the limit of failures stays out of it
}

// newHouse has the streams pub and acme~pub, which are public, and priv and acme~priv, which are not; anybody who may can publish them.
func newHouse(t *testing.T, change func(*config.Config)) *house {
	t.Helper()
	before := runtime.NumGoroutine()
	c := config.Default()
	c.Data, c.Log.Level = t.TempDir(), "error"
	for _, l := range []*string{&c.HTTP.Listen, &c.WebRTC.Listen, &c.RTSP.Listen, &c.RTMP.Listen, &c.SRT.Listen, &c.Metrics.Listen, &c.Cluster.Listen} {
		*l = "127.0.0.1:0"
	}
	c.Streams = map[string]config.Stream{"pub": {Public: true}, "priv": {}, "acme~pub": {Public: true}, "acme~priv": {}}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n, err := openNode(ctx, c)
	require.NoError(t, err)
	n.greet = false
	done := make(chan error, 1)
	go func() { done <- n.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 10*time.Second, 10*time.Millisecond, "goroutines left") // one is Eventually's own
	})
	return &house{node: n, door: n.hls.Before(n.sig.Handler())}
}

// answer is what came back, with the problem if there was one.
type answer struct {
	*httptest.ResponseRecorder
	Title, Detail, Field string
}

func (h *house) ask(t *testing.T, method, path, bearer, contentType, body string, header ...string) answer {
	t.Helper()
	patience := 10 * time.Second
	if slices.Contains([]string{"hls", "dash", "flv", "t"}, strings.Split(path, "/")[1]) {
		patience = 20 * time.Millisecond // what is allowed waits for pictures that never come: that it waits is enough
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	h.callers++
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:4000", h.callers>>16, h.callers>>8&255, h.callers&255)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a := answer{ResponseRecorder: httptest.NewRecorder()}
	h.door.ServeHTTP(a, r)
	if a.Header().Get("Content-Type") == "application/problem+json" {
		require.NoError(t, json.Unmarshal(a.Body.Bytes(), &a))
	}
	return a
}

func (h *house) mint(t *testing.T, c token.Claims) string {
	t.Helper()
	if c.Streams == nil {
		c.Streams, c.Rooms = []string{"*"}, []string{"*"}
	}
	if c.Expires.IsZero() {
		c.Expires = time.Now().Add(time.Hour)
	}
	jwt, err := token.Mint(h.secret, &c, time.Now())
	require.NoError(t, err)
	return jwt
}

// offer is what a browser sends.
func offer(t *testing.T, direction webrtc.RTPTransceiverDirection) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	defer pc.Close()
	if direction == webrtc.RTPTransceiverDirectionRecvonly {
		_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: direction})
	} else {
		var track *webrtc.TrackLocalStaticRTP
		track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "v", "s")
		require.NoError(t, err)
		_, err = pc.AddTrack(track)
	}
	require.NoError(t, err)
	o, err := pc.CreateOffer(nil)
	require.NoError(t, err)
	require.NoError(t, pc.SetLocalDescription(o))
	return pc.LocalDescription().SDP
}

// everything in the files of a folder.
func everything(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, _ := os.ReadFile(path)
			all.Write(text)
		}
		return err
	})
	require.NoError(t, err)
	return all.String()
}
