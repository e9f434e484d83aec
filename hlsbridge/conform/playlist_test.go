package conform

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseMedia: a server under test may send anything for a playlist; what is read of it hangs together.
func FuzzParseMedia(f *testing.F) {
	f.Add("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0\n#EXT-X-PART-INF:PART-TARGET=0.33\n" +
		"#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:00:00Z\n#EXT-X-PART:DURATION=0.33,URI=\"7.0.m4s\",INDEPENDENT=YES\n" +
		"#EXTINF:2,\n7.m4s\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.0.m4s\"\n#EXT-X-RENDITION-REPORT:URI=\"../v1.m3u8\",LAST-MSN=7,LAST-PART=5\n")
	f.Add("#EXTM3U\r\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\r\n#EXT-X-BYTERANGE:1@2\r\n#EXTINF:,\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		m := parseMedia(text)
		msn, _ := m.last()
		if len(m.segments) > 0 {
			require.GreaterOrEqual(t, msn, m.lastComplete())
			require.Same(t, &m.segments[len(m.segments)-1], m.segment(m.lastComplete()))
		}
		m.duration()
	})
}
