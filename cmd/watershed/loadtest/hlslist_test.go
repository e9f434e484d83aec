package loadtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const sampleList = `#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=12.0
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-SKIP:SKIPPED-SEGMENTS=3
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXT-X-PART:DURATION=0.5,URI="e/v0/13.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI="e/v0/13.1.m4s"
#EXTINF:1.00000,
e/v0/13.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:01.000Z
#EXT-X-PART:DURATION=0.5,URI="e/v0/14.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI="e/v0/14.1.m4s",GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="e/v0/14.2.m4s"
`

func TestParseList(t *testing.T) {
	l := parseList(sampleList)
	require.Len(t, l.parts, 4)
	require.Equal(t, []any{14, 1, 13, true, true}, []any{l.last, l.lastPart, l.segment, l.canBlock, l.canSkip})
	require.Equal(t, time.Date(2026, 1, 1, 0, 0, 1, 5e8, time.UTC), l.parts[2].end)
	require.True(t, l.parts[3].gap)
	require.Equal(t, 2, l.start(), "a second before the end")
	require.Equal(t, "e/v0/14.0.m4s", l.after(13, 1)[0].uri)
	require.Empty(t, l.after(14, 1))
}

func TestVariants(t *testing.T) {
	require.Equal(t, [][]string{{"v0.m3u8", "a0.m3u8"}, {"v1.m3u8", "a0.m3u8"}, {"only.m3u8"}}, variants(`#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x,y",DEFAULT=YES,URI="a0.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1.1,mp4a",AUDIO="a"
v0.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO="a"
v1.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=3
only.m3u8
`))
}

// FuzzParseList: whatever a server says, a viewer finds a place to begin and asks for nothing twice.
func FuzzParseList(f *testing.F) {
	f.Add(sampleList)
	f.Add("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-1\n#EXTINF:1e300,\na\n#EXT-X-STREAM-INF:AUDIO=\"a\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := parseList(text)
		if i := l.start(); len(l.parts) > 0 {
			require.Less(t, i, len(l.parts))
			if next := l.after(l.parts[i].msn, l.parts[i].index); len(next) > 0 {
				require.NotEqual(t, l.parts[i], next[0])
			}
		}
		variants(text)
	})
}
