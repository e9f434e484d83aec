package hlsbridge

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/archive"
	"watershed/hlsbridge/cmaf"
	"watershed/sfu"
	"watershed/sfu/leg"
	"watershed/sfu/media"
)

// shelve puts a take of a second's segments on a stream's shelf.
func shelve(t *testing.T, b *Bridge, ago time.Duration, segments, target int, tracks ...string) {
	t.Helper()
	a, err := b.archive("cam", true)
	require.NoError(t, err)
	h := archive.Header{Started: time.Now().Add(-ago), Target: target}
	for _, id := range tracks {
		h.Tracks = append(h.Tracks, archive.Track{ID: id, Audio: id == "a0", Rate: 1000, Init: []byte("init")})
	}
	w, err := a.Begin(h)
	require.NoError(t, err)
	for i := range segments {
		at := time.Duration(i) * time.Second
		c := cmaf.Chunk{Codec: media.H264, DecodeTime: uint64(at.Milliseconds()), Samples: []cmaf.Sample{{Units: [][]byte{{0x65, 1}}, Duration: 1000, Sync: true}}}
		for k := range tracks {
			require.NoError(t, w.Chunk(k, c.Append(nil)))
			require.NoError(t, w.Segment(k, h.Started.Add(at), time.Second))
		}
	}
	require.NoError(t, w.Close())
}

// shelved is how many takes a stream's recording has.
func shelved(t *testing.T, b *Bridge) int {
	t.Helper()
	a, err := b.archive("cam", false)
	require.NoError(t, err)
	spans, err := a.Between(time.Unix(0, 0), time.Now().Add(time.Hour))
	require.NoError(t, err)
	return len(spans)
}

const day = 24 * time.Hour

// nodeless is a bridge, not run, with a media plane that nothing is sent through.
func nodeless(dir string) (*sfu.SFU, *Bridge) {
	s := sfu.New(sfu.Config{Port: &leg.Port{}})
	return s, New(Config{SFU: s, Recordings: dir, KeepFor: 7 * day})
}

// A recording is kept as its stream last said while that is not known: a node that begins, or a stream that is deleted and made again, loses nothing.
func TestUndeclaredStreamsKeepWhatTheyAskedFor(t *testing.T) {
	dir := t.TempDir()
	s, b := nodeless(dir)
	s.Declare("cam", sfu.Spec{Keep: 30 * day})
	shelve(t, b, 31*day, 1, 2, "v0")
	shelve(t, b, 20*day, 1, 2, "v0")
	b.pruneAll(time.Now())
	require.Equal(t, 1, shelved(t, b))
	s.Remove("cam")
	b.pruneAll(time.Now())
	require.Equal(t, 1, shelved(t, b))

	s, b = nodeless(dir) // the node begins again
	b.pruneAll(time.Now())
	require.Equal(t, 1, shelved(t, b))
	s.Ensure("cam", sfu.Spec{Ephemeral: true}) // its publisher is here before its declaration
	b.pruneAll(time.Now())
	require.Equal(t, 1, shelved(t, b))
	s.Declare("cam", sfu.Spec{}) // it wants what the node does
	b.pruneAll(time.Now())
	require.Zero(t, shelved(t, b))
}

// Nothing is removed in a node's first minute: streams are declared meanwhile.
func TestNodeDoesNotPruneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := nodeless(t.TempDir())
		shelve(t, b, 20*day, 1, 2, "v0")
		b.tasks.Go(b.prune)
		time.Sleep(pruneEvery - 1)
		synctest.Wait()
		require.Equal(t, 1, shelved(t, b))
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		require.Zero(t, shelved(t, b))
		b.stop()
		b.tasks.Wait()
	})
}
