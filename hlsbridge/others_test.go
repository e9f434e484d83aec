package hlsbridge

import (
	"bufio"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FLV begins with the last keyframe, says honestly which tracks it has, and FFmpeg decodes all of it.
func TestFLV(t *testing.T) {
	noLeaks(t)
	for _, audio := range []bool{true, false} {
		t.Run(fmt.Sprintf("audio=%v", audio), func(t *testing.T) {
			s := newStudio(t, nil)
			src := s.connect("coast", audio)
			src.send(130)
			res, err := http.Get(s.server.URL + "/flv/cam.flv")
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, "video/x-flv", res.Header.Get("Content-Type"))
			file, pictures := readFLV(t, bufio.NewReader(res.Body), 30)
			require.Equal(t, byte(1), file[4]&1)
			require.Equal(t, audio, file[4]&4 != 0)
			require.Equal(t, pictures, decode(t, file, "v"))
		})
	}
}

// readFLV reads until it has n pictures.
func readFLV(t *testing.T, r io.Reader, n int) (file []byte, pictures int) {
	t.Helper()
	take := func(k int) []byte {
		b := make([]byte, k)
		_, err := io.ReadFull(r, b)
		require.NoError(t, err)
		file = append(file, b...)
		return b
	}
	take(13)
	for pictures < n {
		head := take(11)
		body := take(int(head[1])<<16 | int(head[2])<<8 | int(head[3]))
		require.EqualValues(t, 11+len(body), binary.BigEndian.Uint32(take(4)))
		if head[0] == 9 && body[1] == 1 {
			pictures++
		}
	}
	return file, pictures
}

// A DASH client that computes addresses from the manifest gets the segments, the open one part by part.
func TestDASH(t *testing.T) {
	s := newStudio(t, nil)
	src, open := began(t, s, true)
	get := func(file string) *http.Response {
		res, err := http.Get(s.server.URL + "/dash/cam/" + file)
		require.NoError(t, err)
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	var mpd struct {
		Type   string `xml:"type,attr"`
		Period []struct {
			AdaptationSet []struct {
				Representation []struct {
					SegmentTemplate struct {
						StartNumber    uint64  `xml:"startNumber,attr"`
						Duration       float64 `xml:"duration,attr"`
						Timescale      float64 `xml:"timescale,attr"`
						Initialization string  `xml:"initialization,attr"`
						Offset         float64 `xml:"availabilityTimeOffset,attr"`
					}
				}
			}
		}
	}
	require.NoError(t, xml.NewDecoder(get("manifest.mpd").Body).Decode(&mpd))
	require.Equal(t, "dynamic", mpd.Type)
	require.Len(t, mpd.Period, 1)
	require.Len(t, mpd.Period[0].AdaptationSet, 2)
	for _, a := range mpd.Period[0].AdaptationSet {
		require.Len(t, a.Representation, 1)
		x := a.Representation[0].SegmentTemplate
		require.InDelta(t, 4, x.Duration/x.Timescale, 1e-9)
		require.InDelta(t, 3.88, x.Offset, 1e-9)
		require.Equal(t, open-1, x.StartNumber)
		require.Equal(t, http.StatusOK, get(x.Initialization).StatusCode)
	}
	epoch := s.bridge.packager(s.stream).gen.Load().epoch
	growing := get(fmt.Sprintf("%s/v0/%d.m4s", epoch, open))
	require.Equal(t, http.StatusOK, growing.StatusCode)
	require.EqualValues(t, -1, growing.ContentLength)
	first := make([]byte, 1)
	_, err := io.ReadFull(growing.Body, first)
	require.NoError(t, err, "the open segment's first parts come at once")
	next := make(chan *http.Response, 1)
	go func() { next <- get(fmt.Sprintf("%s/v0/%d.m4s", epoch, open+1)) }()
	src.send(94 + 3)
	rest, err := io.ReadAll(growing.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, (<-next).StatusCode, "a client whose clock is ahead waits")
	whole := s.fetch(fmt.Sprintf("%s/v0/%d.m4s", epoch, open))
	require.Equal(t, whole.body, string(first)+string(rest), "the same bytes for HLS and DASH")
	_, err = time.Parse(time.RFC3339, readAll(t, get("time")))
	require.NoError(t, err)
}

func readAll(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

// hls.js takes as long over a playlist as its discontinuity sequence is large: it stays below a hundred thousand for eleven years.
func TestDiscontinuitySequenceStaysSmall(t *testing.T) {
	require.Less(t, firstCut(time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC)), uint64(100_000))
	require.Greater(t, firstCut(time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)), firstCut(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)))
}
