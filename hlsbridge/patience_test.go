package hlsbridge

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/lane"
)

// A client that reads nothing is let go, over HTTP/1.1 and HTTP/2; one that reads again and again is not, however long it takes.
func TestWhoReadsNothingIsLetGo(t *testing.T) {
	noLeaks(t)
	const patience = 300 * time.Millisecond
	failed := make(chan error, 1)
	piece := make([]byte, 64<<10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = newPatient(w, patience)
		if r.URL.Path == "/slow" {
			for range 10 {
				w.Write(piece)
				http.NewResponseController(w).Flush()
				time.Sleep(patience / 5) // as a segment grows
			}
			return
		}
		for {
			if _, err := w.Write(piece); err != nil {
				failed <- err
				return
			}
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for _, proto := range []int{1, 2} {
		client := s.Client()
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = proto == 2
		if proto == 1 {
			client = &http.Client{Transport: &http.Transport{TLSClientConfig: client.Transport.(*http.Transport).TLSClientConfig.Clone()}}
			client.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		res, err := client.Get(s.URL + "/deaf")
		require.NoError(t, err)
		require.Equal(t, proto, res.ProtoMajor)
		require.Error(t, <-failed)
		res.Body.Close()
		res, err = client.Get(s.URL + "/slow")
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.EqualValues(t, 10*len(piece), n)
		res.Body.Close()
		client.CloseIdleConnections()
	}
}

// deadlines notes those that a handler sets.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// What the bridge answers has a deadline; whatever is asked for next on the connection has none of its.
func TestAnswersHaveDeadlines(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, nil)
	s.connect("coast", false).send(140)
	door := s.bridge.Before(http.NotFoundHandler())
	for _, path := range []string{"/hls/cam/v0.m3u8", "/hls/cam//v0.m3u8", "/dash/cam/manifest.mpd", "/api/v1/streams"} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		door.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		require.Len(t, w.set, 1, path)
		if path == "/api/v1/streams" {
			require.Zero(t, w.set[0])
		} else {
			require.WithinDuration(t, time.Now().Add(lane.SendTime), w.set[0], time.Minute, path)
		}
	}
}
