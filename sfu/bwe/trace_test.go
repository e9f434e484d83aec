package bwe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// want is what the large layer of the recorded streams takes, with room.
const want = 2.3e6

// replay feeds a recording to an estimator, asks for probes between its lines as a shard does, and calls look after each line.
func replay(t *Trace, look func(at time.Time, e *Estimator)) {
	e := &Estimator{}
	var now time.Time
	for _, f := range t.Feedback {
		for ; !now.IsZero() && now.Before(f.At); now = now.Add(50 * time.Millisecond) {
			e.Probe(now, want)
		}
		now = f.At
		if f.Sent > 0 {
			e.Feed(f)
		}
		look(f.At, e)
	}
}

func traces(t *testing.T) map[string]*Trace {
	t.Helper()
	files, err := filepath.Glob("testdata/*.trace")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string]*Trace{}
	for _, name := range files {
		file, err := os.Open(name)
		require.NoError(t, err)
		all[name], err = ReadTrace(file)
		file.Close()
		require.NoError(t, err, name)
	}
	return all
}

// TestRecordedPaths replays what Chromium and our own peers reported from a path that shrank from 4 Mb/s to 600 kb/s and recovered: the budget must be below
// the large layer soon after it shrank and stay there while it is narrow, and enough for the large layer soon after it recovered.
func TestRecordedPaths(t *testing.T) {
	for name, trace := range traces(t) {
		t.Run(name, func(t *testing.T) {
			require.Len(t, trace.Path, 3, "wide, narrow, wide")
			shrunk, grown := trace.Path[1].At, trace.Path[2].At
			var fell, rose time.Duration
			replay(trace, func(at time.Time, e *Estimator) {
				switch {
				case at.Before(shrunk.Add(-2 * time.Second)): // the burst that began the stream may have filled the path
				case at.Before(shrunk):
					require.Greater(t, e.Budget(), want, "%v before it shrank", shrunk.Sub(at))
				case at.Before(grown):
					if fell == 0 && e.Budget() < want {
						fell = at.Sub(shrunk)
					}
					if at.Sub(shrunk) > 2*time.Second {
						require.Less(t, e.Budget(), want, "%v after it shrank", at.Sub(shrunk))
					}
				case rose == 0 && e.Budget() > want:
					rose = at.Sub(grown)
				}
			})
			t.Logf("fell after %v, rose after %v", fell, rose)
			require.Positive(t, fell)
			require.Less(t, fell, 1500*time.Millisecond)
			require.Positive(t, rose)
			require.Less(t, rose, 12*time.Second)
		})
	}
}

// TestTracesSayWhatWasFed: writing and reading give the same.
func TestTracesSayWhatWasFed(t *testing.T) {
	began := time.UnixMilli(0)
	all := []Feedback{
		{At: began, Loss: -1},
		{At: began.Add(200 * time.Millisecond), Sent: 2e6, Loss: 0.25, RTT: 40 * time.Millisecond, Span: 200 * time.Millisecond, REMB: 3e6},
		{At: began.Add(time.Second), Sent: 1e5, Loss: 0},
	}
	text := "# a comment\n\n0 path 4e6\n"
	for _, f := range all {
		text += f.Line(began)
	}
	trace, err := ReadTrace(strings.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, all, trace.Feedback)
	require.Equal(t, []PathChange{{began, 4e6}}, trace.Path)
	for _, bad := range []string{"x", "1 2 3", "1 path", "1 2 - - - x"} {
		_, err := ReadTrace(strings.NewReader(bad))
		require.ErrorContains(t, err, "trace line 1", bad)
	}
}
