package hlsbridge

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/archive"
	"watershed/sfu/media"
)

var update = flag.Bool("update", false, "write what playlists are now as what they should be: then look at the difference")

// shown are pictures of the cameras' clips.
func shown(t *testing.T, names ...string) *pictures {
	t.Helper()
	p := &pictures{codec: media.H264}
	for _, name := range names {
		c := loadClip(t, name)
		p = p.then(&pictures{units: c.units, key: c.key})
	}
	return p
}

// golden compares a text with the one that is kept in testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o750))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./hlsbridge -run Golden -update writes it")
	require.Equal(t, string(want), text, "%s: if it should be so, run go test ./hlsbridge -run Golden -update", name)
}

// What playlists say of one camera, to the letter: it is away for some seconds, comes back with other parameter sets, and is recorded. Their clock is the
// test's, so every byte is the same each time.
func TestGoldenPlaylists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)))
		a, err := archive.Open(t.TempDir(), archive.Options{})
		require.NoError(t, err)
		r := &recorder{archive: a, log: slog.New(slog.DiscardHandler), longest: time.Hour}
		c := &shot{
			pictures: shown(t, "river", "river", "coast", "coast"), fps: 25, asc: []byte{0x11, 0x90},
			drop: func(i int) bool { return i >= 300 && i < 400 },
			each: func(g *generation) { require.NoError(t, r.take(g)) },
		}
		s := c.play(t)
		r.close()
		g := s.newest
		golden(t, "index.m3u8", string(g.index.plain))
		golden(t, "manifest.mpd", string(g.manifest.plain))
		golden(t, "compat.m3u8", string(g.compat()))
		for _, v := range g.views {
			golden(t, v.id+".m3u8", string(v.full.plain))
			golden(t, v.id+"-delta.m3u8", string(v.delta.plain))
		}

		spans, err := a.Between(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Len(t, spans, 2)
		golden(t, "dvr.m3u8", string(recordedIndex(&spans[1], "dvr", "")))
		for name, how := range map[string]struct{ ended, delta bool }{"dvr-v0.m3u8": {}, "dvr-v0-delta.m3u8": {delta: true}, "vod-v0.m3u8": {ended: true}, "vod-v0-delta.m3u8": {true, true}} {
			l := &recordedList{spans: spans, track: "v0", target: 4, vod: how.ended}
			text, ok := l.render(how.delta)
			require.True(t, ok)
			golden(t, strings.Replace(name, "vod-v0-delta", "vod-v0", 1), string(text))
		}
	})
}
