package mpegts

import (
	"bytes"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
)

func TestClockWraps(t *testing.T) {
	const top = 1<<33 - 1
	var c clock
	require.Equal(t, int64(top-90), c.unwrap(top-90))
	require.Equal(t, int64(top+1+90), c.unwrap(90))
	require.Equal(t, int64(top-45), c.unwrap(top-45), "sound that is a little behind")
	require.Equal(t, int64(top+1+180), c.near(180, top), "shown after the wrap, decoded before")
	require.Equal(t, int64(top+1+180), c.unwrap(180))
}

// Whatever comes, the reader neither panics nor goes on for ever.
func FuzzRead(f *testing.F) {
	var clip bytes.Buffer
	video := &mpegts.Track{PID: 256, Codec: &codecs.H264{}}
	w := &mpegts.Writer{W: &clip, Tracks: []*mpegts.Track{video}}
	require.NoError(f, w.Initialize())
	for i := range int64(3) {
		require.NoError(f, w.WriteH264(video, i*3600, i*3600, [][]byte{{0x65, 1, 2, 3}}))
	}
	f.Add(clip.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		err := Read(bytes.NewReader(data), func(specs []sfu.TrackSpec) ([]*sfu.Writer, error) {
			if len(specs) == 0 {
				t.Fatal("no tracks")
			}
			return make([]*sfu.Writer, len(specs)), nil
		})
		if err == nil {
			t.Fatal("a finite stream ends")
		}
	})
}
