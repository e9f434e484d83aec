package hlsbridge

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// A path that a cache in front could take for another one's is not answered with anything that it might keep.
func TestOddPathsAreNotForCaches(t *testing.T) {
	s := newStudio(t, nil)
	s.connect("coast", false).send(140)
	for _, path := range []string{"/hls/cam//v0.m3u8", "/hls//cam/v0.m3u8", "/hls/cam/./v0.m3u8", "/hls/x/../cam/v0.m3u8", "/hls/x/%2e%2e/cam/v0.m3u8", "/t//hls/cam/v0.m3u8"} {
		w := httptest.NewRecorder()
		s.bridge.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		require.Equal(t, http.StatusNotFound, w.Code, path)
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"), path)
	}
}
