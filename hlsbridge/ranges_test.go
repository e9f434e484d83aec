package hlsbridge

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Ranges that make no sense get 416 or the whole, never more than there is; those that do get what they ask for.
func TestRanges(t *testing.T) {
	s, _ := recorded(t)
	p := s.bridge.packager(s.stream).gen.Load()
	segment := fmt.Sprintf("%s/v0/%d.m4s", p.epoch, p.views[0].lastComplete)
	vod := s.fetch("vod-v0.m3u8?from=" + strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10) + "&to=" + strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)).body
	piece := vod[strings.LastIndex(vod, "rec/"):strings.LastIndex(vod, ".m4s")] + ".m4s"
	for _, file := range []string{segment, piece} {
		whole := s.fetch(file).body
		n := len(whole)
		for _, c := range []struct {
			asked  string
			status int
			body   string
		}{
			{"bytes=0-9", 206, whole[:10]},
			{"bytes=-10", 206, whole[n-10:]},
			{fmt.Sprintf("bytes=%d-99999999999", n-1), 206, whole[n-1:]},
			{fmt.Sprintf("bytes=%d-", n), 416, ""},
			{"bytes=99999999999999999999-", 416, ""},
			{"bytes=9-0", 416, ""},
			{"bytes=--1", 416, ""},
			{"furlongs=0-1", 416, ""},
			{"bytes=" + strings.Repeat("0-,", 500) + "0-", 200, whole},
		} {
			req, err := http.NewRequest(http.MethodGet, s.server.URL+"/hls/cam/"+file, nil)
			require.NoError(t, err)
			req.Header.Set("Range", c.asked)
			res, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			require.NoError(t, err)
			require.Equal(t, c.status, res.StatusCode, "%s of %s", c.asked[:min(30, len(c.asked))], file)
			if c.status != http.StatusRequestedRangeNotSatisfiable {
				require.Equal(t, c.body, string(body))
			}
		}
	}
}
