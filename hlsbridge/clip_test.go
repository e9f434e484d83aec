package hlsbridge

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/archive"
	"watershed/sfu/media"
)

// filmed is a recording of a shot.
func filmed(t *testing.T, c *shot) (*archive.Archive, []archive.Span) {
	t.Helper()
	a, err := archive.Open(t.TempDir(), archive.Options{})
	require.NoError(t, err)
	r := &recorder{archive: a, log: slog.New(slog.DiscardHandler), longest: time.Hour}
	c.each = func(g *generation) { require.NoError(t, r.take(g)) }
	c.play(t)
	r.close()
	spans, err := a.Between(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	require.NoError(t, err)
	return a, spans
}

// A camera that was away for some seconds: one file, without them, that FFmpeg plays.
func TestClipLeavesOutInterruptions(t *testing.T) {
	a, spans := filmed(t, &shot{
		pictures: encode(t, media.H264, 500, 25, "160x90", "keyint=50:min-keyint=50:bframes=0"), fps: 25, asc: []byte{0x11, 0x90},
		drop: func(i int) bool { return i >= 230 && i < 330 },
	})
	require.Len(t, spans, 2)
	clip, err := a.Clip(spans)
	require.NoError(t, err)
	var file bytes.Buffer
	n, err := clip.WriteTo(&file)
	require.NoError(t, err)
	require.Equal(t, clip.Size, n)
	total := time.Duration(0)
	for _, s := range spans {
		for _, x := range s.Segments[0] {
			total += x.Duration
		}
	}
	require.InDelta(t, total.Seconds()*25, decode(t, file.Bytes(), "v"), 2)
	require.InDelta(t, total.Seconds()*48000/1024, decode(t, file.Bytes(), "a"), 50)
}

// A camera whose picture changed its size cannot be one file: the error names ranges that can.
func TestClipNamesRangesOfOneFormat(t *testing.T) {
	a, spans := filmed(t, &shot{
		pictures: encode(t, media.H264, 250, 25, "160x90", "keyint=50:min-keyint=50:bframes=0").then(encode(t, media.H264, 150, 25, "176x144", "keyint=50:min-keyint=50:bframes=0")), fps: 25,
	})
	require.Len(t, spans, 2)
	_, err := a.Clip(spans)
	var differ *archive.DifferError
	require.ErrorAs(t, err, &differ)
	require.Len(t, differ.Ranges, 2)
	for _, r := range differ.Ranges {
		some, err := a.Between(r[0], r[1])
		require.NoError(t, err)
		clip, err := a.Clip(some)
		require.NoError(t, err)
		var file bytes.Buffer
		_, err = clip.WriteTo(&file)
		require.NoError(t, err)
		require.Positive(t, decode(t, file.Bytes(), "v"))
	}
	require.Contains(t, rangesText(differ.Ranges), "?from=")
}
