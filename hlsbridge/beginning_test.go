package hlsbridge

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
)

// What a page names beforehand is there, and decoding starts with it.
func TestBeginning(t *testing.T) {
	s := newStudio(t, nil)
	require.Empty(t, s.bridge.Beginning("cam"), "nobody asked for it yet: naming it must not start packaging")
	require.Empty(t, s.bridge.packagers)
	began(t, s, true)
	files := s.bridge.Beginning("cam")
	require.Len(t, files, 7, files)
	for _, f := range files {
		require.Equal(t, http.StatusOK, s.fetch(f).StatusCode, f)
	}
	require.Equal(t, "v0.m3u8", files[1])
	require.Equal(t, "a0.m3u8", files[4])
	picture := []byte(s.fetch(files[2]).body + s.fetch(files[3]).body)
	require.Equal(t, 3, decode(t, picture, "v"))

	s.sfu.Declare("cam", sfu.Spec{})
	require.Empty(t, s.bridge.Beginning("cam"), "not for everybody")
	require.Empty(t, s.bridge.Beginning("nobody"))
}
