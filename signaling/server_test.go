package signaling

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	problems "watershed/signaling/problem"
)

// patient is a server that gives bodies so long, and takes longer to answer.
func patient(t *testing.T, patience time.Duration) *httptest.Server {
	t.Helper()
	e := echo.New()
	e.HTTPErrorHandler = problems.Handler(slog.New(slog.DiscardHandler))
	e.Use(bodyWithin(patience))
	e.POST("/", func(c echo.Context) error {
		if _, err := readSDP(c); err != nil {
			return err
		}
		select {
		case <-c.Request().Context().Done():
			return c.Request().Context().Err()
		case <-time.After(patience * 3 / 2):
			return c.NoContent(http.StatusNoContent)
		}
	})
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return srv
}

// TestBodyThatNeverEnds: who announces a body and does not send it is told so, and cut off.
func TestBodyThatNeverEnds(t *testing.T) {
	slow, err := net.Dial("tcp", patient(t, 50*time.Millisecond).Listener.Addr().String())
	require.NoError(t, err)
	defer slow.Close()
	fmt.Fprintf(slow, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n\r\nv=0")
	r, err := http.ReadResponse(bufio.NewReader(slow), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestTimeout, r.StatusCode)
	require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"))
	_, err = io.Copy(io.Discard, slow) // returns when the server has closed it
	require.NoError(t, err)
}

// TestAnswerMayTakeLongerThanTheBody: the body's deadline ends with the body.
func TestAnswerMayTakeLongerThanTheBody(t *testing.T) {
	r, err := http.Post(patient(t, 2*time.Second).URL, "application/sdp", strings.NewReader("v=0"))
	require.NoError(t, err)
	r.Body.Close()
	require.Equal(t, http.StatusNoContent, r.StatusCode)
}

// TestErrorsAreProblems: what echo itself refuses, and what panics, is answered like everything else; the log has what is our fault.
func TestErrorsAreProblems(t *testing.T) {
	var log bytes.Buffer
	s := New(Config{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	s.Echo().GET("/panic", func(echo.Context) error { panic("at the disco") })
	s.Echo().GET("/fail", func(echo.Context) error { return io.ErrUnexpectedEOF })
	for path, want := range map[string]int{"/nowhere": 404, "/whep/x": 405, "/panic": 500, "/fail": 500} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		require.Equal(t, want, w.Code, path)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), path)
		require.Contains(t, w.Body.String(), `"detail"`, path)
		require.NotContains(t, w.Body.String(), "disco")
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 2, "%s", log.String())
	require.Contains(t, log.String(), `"panic":"at the disco"`)
	require.Contains(t, log.String(), `"route":"/fail"`)
}
