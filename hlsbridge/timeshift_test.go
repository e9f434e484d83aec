package hlsbridge

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
)

// get a file of the stream's from a bridge that serves nobody else.
func get(t *testing.T, b *Bridge, file string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hls/cam/"+file, nil))
	return w.Code, w.Body.String()
}

// numbered is what a playlist says of each of its segments: number, discontinuity and kind, by the date.
func numbered(t *testing.T, list string) map[string]string {
	t.Helper()
	number := func(tag string) int {
		n, err := strconv.Atoi(lines(list, tag)[0])
		require.NoError(t, err)
		return n
	}
	msn, cuts := number("#EXT-X-MEDIA-SEQUENCE:"), number("#EXT-X-DISCONTINUITY-SEQUENCE:")
	all, date, gap := map[string]string{}, "", false
	for l := range strings.Lines(list) {
		switch l = strings.TrimSpace(l); {
		case l == "#EXT-X-DISCONTINUITY":
			cuts++
		case l == "#EXT-X-GAP":
			gap = true
		case strings.HasPrefix(l, "#EXT-X-PROGRAM-DATE-TIME:"):
			date = l
		case strings.HasPrefix(l, "rec/"):
			all[date] = fmt.Sprintf("segment %d, discontinuity %d, gap %v", msn, cuts, gap)
			msn, gap = msn+1, false
		}
	}
	return all
}

// Every list says the same of a segment, wherever it begins and whatever a take has lost: a take without sound, and one that is damaged.
func TestSegmentsKeepTheirNumbers(t *testing.T) {
	dir := t.TempDir()
	s, b := nodeless(dir)
	s.Declare("cam", sfu.Spec{Public: true})
	for i, tracks := range [][]string{{"v0", "a0"}, {"v0"}, {"v0", "a0"}, {"v0", "a0"}, {"v0", "a0"}, {"a0"}} {
		shelve(t, b, time.Duration(60-i*10)*time.Second, 3, 2, tracks...)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cam", "4", "take.json"), []byte("{"), 0o600))
	s, b = nodeless(dir)
	s.Declare("cam", sfu.Spec{Public: true})

	now := time.Now().Unix()
	whole := map[string]map[string]string{}
	for _, track := range []string{"v0", "a0"} {
		_, list := get(t, b, "dvr-"+track+".m3u8")
		require.NotContains(t, list, "rec/2/a0/init.mp4", "there is none")
		whole[track] = numbered(t, list)
		require.Len(t, whole[track], 18)
		require.Len(t, lines(list, "#EXT-X-DISCONTINUITY"), 5+1, "and the sequence")
		require.Len(t, lines(list, "#EXT-X-GAP"), 3+3, "of the damaged take, and of one without this track")
		for back := int64(18); back < 60; back++ { // the fifth take ended 17 seconds ago
			_, list := get(t, b, fmt.Sprintf("dvr-%s.m3u8?from=%d", track, now-back))
			for date, what := range numbered(t, list) {
				require.Equal(t, whole[track][date], what, "%s %s", track, date)
			}
		}
	}
	for date, what := range whole["v0"] {
		sound, _, _ := strings.Cut(whole["a0"][date], ", gap")
		pictures, _, _ := strings.Cut(what, ", gap")
		require.Equal(t, pictures, sound, "sound and pictures are matched by these")
	}
}

// A list never changes its target. One whose recording goes on with longer segments ends, and another begins.
func TestTargetOfListStays(t *testing.T) {
	s, b := nodeless(t.TempDir())
	s.Declare("cam", sfu.Spec{Public: true})
	shelve(t, b, 60*time.Second, 2, 2, "v0")
	shelve(t, b, 50*time.Second, 2, 1, "v0")
	_, index := get(t, b, "dvr.m3u8")
	require.Contains(t, index, "\ndvr-v0.m3u8?target=2\n")
	_, list := get(t, b, "dvr-v0.m3u8?target=2")
	require.Contains(t, list, "#EXT-X-TARGETDURATION:2\n")
	require.NotContains(t, list, "#EXT-X-ENDLIST")

	shelve(t, b, 40*time.Second, 2, 4, "v0")
	shelve(t, b, 30*time.Second, 2, 1, "v0")
	_, list = get(t, b, "dvr-v0.m3u8?target=2")
	require.Contains(t, list, "#EXT-X-TARGETDURATION:2\n")
	require.Len(t, lines(list, "#EXTINF:"), 4)
	require.Contains(t, list, "#EXT-X-ENDLIST")
	_, index = get(t, b, "dvr.m3u8")
	require.Contains(t, index, "\ndvr-v0.m3u8?target=4\n")
	_, list = get(t, b, "dvr-v0.m3u8?target=4")
	require.Contains(t, list, "#EXT-X-TARGETDURATION:4\n")
	require.Len(t, lines(list, "#EXTINF:"), 8)

	from := time.Now().Add(-35 * time.Second).Unix() // the long segments are out of the window
	_, index = get(t, b, fmt.Sprintf("dvr.m3u8?from=%d", from))
	require.Contains(t, index, fmt.Sprintf("\ndvr-v0.m3u8?target=1&from=%d\n", from))
	for _, asked := range []string{"target=4&", "", "target=0&", "target=x&", "target=99&"} {
		_, list = get(t, b, fmt.Sprintf("dvr-v0.m3u8?%sfrom=%d", asked, from))
		want := map[bool]int{true: 4, false: longestTarget}[asked == "target=4&"]
		require.Contains(t, list, fmt.Sprintf("#EXT-X-TARGETDURATION:%d\n", want), asked)
		require.NotContains(t, list, "#EXT-X-ENDLIST")
	}
	status, _ := get(t, b, fmt.Sprintf("dvr-v0.m3u8?target=2&from=%d", time.Now().Add(-45*time.Second).Unix()))
	require.Equal(t, http.StatusNotFound, status)
}
