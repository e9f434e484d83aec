package hlsbridge

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
)

// A response without end ends with the permission for it.
func TestFLVEndsWhenPermissionGoes(t *testing.T) {
	noLeaks(t)
	ends, released := make(chan func(error), 1), make(chan struct{})
	s := newStudio(t, func(c *Config) {
		c.Hold = func(_ *http.Request, token string, st *sfu.Stream, end func(error)) func() {
			require.Equal(t, "some.token", token)
			require.EqualValues(t, "cam", st.Name)
			ends <- end
			return func() { close(released) }
		}
	})
	s.connect("lake", false).send(20)
	res, err := http.Get(s.server.URL + "/t/some.token/flv/cam.flv")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	(<-ends)(errors.New("revoked"))
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	<-released
}

// What a header authorised is not for caches that others share; what the address itself authorises is.
func TestSharedCachesGetNothingThatAHeaderAuthorised(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, nil)
	s.sfu.Declare("cam", sfu.Spec{})
	s.connect("lake", true).send(120)
	get := func(path string) *http.Response {
		res, err := http.Get(s.server.URL + path)
		require.NoError(t, err)
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		return res
	}
	for _, file := range []string{"index.m3u8", "manifest.mpd"} {
		kind := map[string]string{"index.m3u8": "/hls/cam/", "manifest.mpd": "/dash/cam/"}[file]
		require.Equal(t, "private, no-store", get(kind+file).Header.Get("Cache-Control"), file)
		require.NotContains(t, get("/t/x.y"+kind+file).Header.Get("Cache-Control"), "private", file)
	}
	s.sfu.Declare("cam", sfu.Spec{Public: true})
	require.Contains(t, get("/hls/cam/index.m3u8").Header.Get("Cache-Control"), "public")
}
