package hlsbridge

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequestKind(t *testing.T) {
	for _, c := range []struct{ protocol, file, query, kind string }{
		{"hls", "index.m3u8", "", "index"},
		{"hls", "v0.m3u8", "", "playlist"},
		{"hls", "v0.m3u8", "_HLS_skip=YES", "playlist"},
		{"hls", "a0.m3u8", "_HLS_msn=7&_HLS_part=2", "reload"},
		{"hls", "e1/v0/init0.mp4", "", "init"},
		{"hls", "e1/v0/7.2.m4s", "", "part"},
		{"hls", "e1/v0/7.m4s", "", "segment"},
		{"hls", "e1/v0/7.x.m4s", "", "other"},
		{"hls", "dvr-v0.m3u8", "", "other"},
		{"hls", "compat.m3u8", "", "other"},
		{"hls", "", "", "other"},
		{"dash", "manifest.mpd", "", "dash"},
		{"flv", "", "", "other"},
	} {
		require.Equal(t, c.kind, kindNames[requestKind(c.protocol, c.file, c.query)], c.file)
	}
}
