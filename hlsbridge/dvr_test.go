package hlsbridge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu/media"
)

// A player's time line: what there is, and a list that begins where the viewer is.
func TestHistoryTellsWhatWasRecorded(t *testing.T) {
	s, _ := recorded(t)
	a, err := s.bridge.archive("cam", false)
	require.NoError(t, err)
	spans, err := a.Between(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	require.NoError(t, err)
	segments := spans[0].Segments[0]

	r := s.fetch("dvr.json")
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	var h history
	require.NoError(t, json.Unmarshal([]byte(r.body), &h))
	require.InDelta(t, time.Now().UnixMilli(), h.Now, 60_000)
	require.Len(t, h.Spans, 1)
	require.Equal(t, segments[0].Start.UnixMilli(), h.Spans[0][0])
	require.GreaterOrEqual(t, h.Spans[0][1], segments[1].End().UnixMilli())

	second := segments[1].Start.Add(time.Second).Unix() // the whole second in the second segment, or at its very beginning
	index := s.fetch(fmt.Sprintf("dvr.m3u8?from=%d", second))
	require.Equal(t, http.StatusOK, index.StatusCode, index.body)
	list := s.fetch(lastOf(strings.Split(strings.TrimSpace(index.body), "\n")))
	require.Contains(t, list.body, "#EXT-X-MEDIA-SEQUENCE:1\n", "the same number as in the whole list")
	require.Equal(t, http.StatusBadRequest, s.fetch("dvr.m3u8?from=yesterday").StatusCode)
	require.Equal(t, http.StatusNotFound, s.fetch("dvr.m3u8?from=99999999999").StatusCode)
}

func TestRecordedPicturesAreFoundByTheirTime(t *testing.T) {
	s, _ := recorded(t)
	a, err := s.bridge.archive("cam", false)
	require.NoError(t, err)
	spans, err := a.Between(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	require.NoError(t, err)
	segments := spans[0].Segments[0]
	for i, x := range segments[:2] {
		for _, later := range []time.Duration{0, x.Duration / 2, x.Duration - 1} {
			at, load, ok := s.bridge.KeyframeAt("cam", x.Start.Add(later))
			require.True(t, ok)
			require.True(t, at.Equal(x.Start), "segment %d, %v later", i, later)
			f, err := load()
			require.NoError(t, err)
			require.True(t, f.Keyframe)
			require.Equal(t, x.Start.UnixNano(), f.Server)
			require.Equal(t, byte(7), f.Units[0][0]&0x1f, "parameter sets come first")
			require.Equal(t, media.H264, f.Config.Codec)
		}
	}
	_, _, ok := s.bridge.KeyframeAt("cam", segments[0].Start.Add(-1))
	require.False(t, ok, "before all that was recorded")
	_, _, ok = s.bridge.KeyframeAt("cam", time.Now().Add(time.Hour))
	require.False(t, ok, "long after it")
	_, _, ok = s.bridge.KeyframeAt("nobody", time.Now())
	require.False(t, ok)
}

func TestConfigIsReadBackFromInit(t *testing.T) {
	s, _ := recorded(t)
	p := s.bridge.packager(s.stream)
	for i, v := range p.gen.Load().views {
		head := v.inits[0]
		cfg, err := cmaf.Config(head)
		if i > 0 { // sound
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		again, err := cmaf.Init(cfg)
		require.NoError(t, err)
		require.Equal(t, head, again)
	}
	_, err := cmaf.Config([]byte("not a box"))
	require.Error(t, err)
}
