package flv

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

// A tag's time has 24 bits, then eight more, then starts again.
func TestTimestampWraps(t *testing.T) {
	f := &media.Frame{Config: &media.Config{Codec: media.AAC, ClockRate: 48000}, Units: [][]byte{{1}}}
	for _, c := range []struct {
		at   time.Duration
		want [4]byte // as written: 23-16, 15-8, 7-0, 31-24
	}{
		{0, [4]byte{}},
		{(1<<24 - 1) * time.Millisecond, [4]byte{0xff, 0xff, 0xff, 0}},
		{1 << 24 * time.Millisecond, [4]byte{0, 0, 0, 1}},
		{(1<<32 - 1) * time.Millisecond, [4]byte{0xff, 0xff, 0xff, 0xff}},
		{1<<32*time.Millisecond + 5*time.Millisecond, [4]byte{0, 0, 5, 0}},
	} {
		tag := Frame(nil, f, c.at)
		require.Equal(t, c.want[:], tag[4:8], c.at)
	}
}
