package signaling

import (
	"context"
	"encoding/json"
	"image/jpeg"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/sfu/transcode"
	"watershed/signaling/access"
)

// stillServer is a server that knows stills, a stream "cam" that is live, "idle" that never was, and "secret" that is not public.
func stillServer(t *testing.T) http.Handler {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	plane := sfu.New(sfu.Config{Port: port})
	stills := transcode.NewStills(transcode.Find(ctx), slog.New(slog.DiscardHandler))
	done := make(chan struct{}, 2)
	go func() { plane.Run(ctx); done <- struct{}{} }()
	go func() { stills.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })
	live := plane.Declare("cam", sfu.Spec{Public: true})
	plane.Declare("idle", sfu.Spec{Public: true})
	plane.Declare("secret", sfu.Spec{})
	show(t, live)
	return New(Config{
		SFU: plane, Stills: stills, Node: "n1", Log: slog.New(slog.DiscardHandler),
		Access: access.New(access.Config{Records: access.NewMemory(), Streams: func(n id.Stream) (*sfu.Stream, bool) { return plane.Stream(n) }}),
	}).Handler()
}

// show publishes one picture that FFmpeg made.
func show(t *testing.T, st *sfu.Stream) {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=1280x720", "-frames:v", "1", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-f", "h264", "-").Output()
	require.NoError(t, err, "this test needs FFmpeg: apt-get install ffmpeg")
	var units h264.AnnexB
	require.NoError(t, units.Unmarshal(out))
	_, writers, err := st.Begin(sfu.SessionOptions{Tracks: []sfu.TrackSpec{{Config: media.Config{Codec: media.H264, ClockRate: 90000}}}, Pushed: true})
	require.NoError(t, err)
	require.NoError(t, writers[0].Write(sfu.Unit{Parts: units, Arrival: time.Now()}))
}

func snapshotOf(t *testing.T, h http.Handler, stream string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("GET", "/api/v1/streams/"+stream, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// made asks again while the picture is still being made, or FFmpeg was not given the time for it: on a busy machine that takes longer than a request waits.
func made(t *testing.T, h http.Handler, stream string) (r *http.Response) {
	t.Helper()
	require.Eventually(t, func() bool {
		r = snapshotOf(t, h, stream)
		return r.Header.Get(headerPlaceholder) == "" && r.StatusCode == http.StatusOK
	}, time.Minute, 100*time.Millisecond, "no picture")
	return r
}

func TestSnapshot(t *testing.T) {
	h := stillServer(t)
	began := time.Now()

	r := made(t, h, "cam/snapshot")
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, "image/jpeg", r.Header.Get("Content-Type"))
	require.Contains(t, r.Header.Get("Cache-Control"), "public, max-age=")
	p, err := jpeg.Decode(r.Body)
	require.NoError(t, err)
	require.Equal(t, 640, p.Bounds().Dx())
	taken, err := time.Parse(time.RFC3339Nano, r.Header.Get(headerPictureTime))
	require.NoError(t, err)
	require.WithinDuration(t, began, taken, time.Minute)
	modified, err := http.ParseTime(r.Header.Get("Last-Modified"))
	require.NoError(t, err)
	require.WithinDuration(t, taken, modified, time.Second)

	again := snapshotOf(t, h, "cam/snapshot", "If-None-Match", r.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.StatusCode)

	past := made(t, h, "cam/snapshot?at="+taken.Add(time.Second).Format(time.RFC3339Nano))
	require.Equal(t, http.StatusOK, past.StatusCode)
	require.Equal(t, r.Header.Get(headerPictureTime), past.Header.Get(headerPictureTime))
}

func TestSnapshotWithoutPicture(t *testing.T) {
	h := stillServer(t)
	r := snapshotOf(t, h, "idle/snapshot")
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, "image/svg+xml", r.Header.Get("Content-Type"))
	require.Equal(t, "never-live", r.Header.Get(headerPlaceholder))
	require.Equal(t, "no-store", r.Header.Get("Cache-Control"))
}

func TestSnapshotErrors(t *testing.T) {
	h := stillServer(t)
	for path, status := range map[string]int{
		"nobody/snapshot":                      http.StatusNotFound,
		"UPPER/snapshot":                       http.StatusNotFound,
		"secret/snapshot":                      http.StatusUnauthorized,
		"cam/snapshot?at=yesterday":            http.StatusBadRequest,
		"cam/snapshot?at=NaN":                  http.StatusBadRequest,
		"cam/snapshot?at=-1":                   http.StatusBadRequest,
		"cam/snapshot?at=9e10":                 http.StatusBadRequest, // the future
		"cam/snapshot?at=1000000000":           http.StatusNotFound,
		"cam/snapshot?at=2001-01-01T00:00:00Z": http.StatusNotFound,
		"idle/snapshot?at=1000000000.5":        http.StatusNotFound,
	} {
		r := snapshotOf(t, h, path)
		require.Equal(t, status, r.StatusCode, path)
		require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"), path)
		var p Problem
		require.NoError(t, json.NewDecoder(r.Body).Decode(&p), path)
		require.NotEmpty(t, p.Detail, path)
	}
}
