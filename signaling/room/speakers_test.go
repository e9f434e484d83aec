package room

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSpeakers(t *testing.T) {
	var s speakers
	now := time.Unix(1_790_000_000, 0)
	round := func(levels map[string]int) (news bool) {
		now = now.Add(speakersEvery)
		return s.rank(levels, now)
	}
	require.False(t, round(nil), "silence is no news")
	require.False(t, round(map[string]int{"ann": speakBegins - 1, "ben": 0}), "a quiet room")
	require.True(t, round(map[string]int{"ann": 95, "ben": 0}))
	require.Equal(t, []string{"ann"}, s.told)
	require.True(t, round(map[string]int{"ann": 95, "ben": 97}))
	require.Equal(t, []string{"ann", "ben"}, s.told, "not loud enough to take the place")
	require.False(t, round(map[string]int{"ann": 95, "ben": 95 + speakLouder - 1}))
	require.True(t, round(map[string]int{"ann": 95, "ben": 95 + speakLouder}))
	require.Equal(t, []string{"ben", "ann"}, s.told)
	require.False(t, round(map[string]int{"ann": 10, "ben": 90}), "a pause is no end")
	require.False(t, round(map[string]int{"ann": 95, "ben": 90}), "ann goes on")
	for range 3 {
		require.False(t, round(map[string]int{"ann": 95, "ben": 90}))
	}
	require.True(t, round(map[string]int{"ben": 90}), "who is muted or gone does not speak")
	require.Equal(t, []string{"ben"}, s.told)
	for round(map[string]int{"ben": speakEnds - 1}) == false {
		require.Less(t, now.Sub(s.order[0].heard), 2*speakPause)
	}
	require.Empty(t, s.told)
	require.NotNil(t, s.told, "an empty list in JSON")
}

func TestSpeakersOrderByLoudness(t *testing.T) {
	var s speakers
	levels := map[string]int{}
	for i := range 25 {
		levels[fmt.Sprintf("u%02d", i)] = 127 - i*speakLouder
	}
	now := time.Unix(1_790_000_000, 0)
	require.True(t, s.rank(levels, now))
	require.Equal(t, []string{"u00", "u01", "u02", "u03", "u04"}, s.told)
	require.False(t, s.rank(levels, now.Add(speakersEvery)))
}
