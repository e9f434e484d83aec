package ring

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

func frame(key bool, size, packets int) *media.Frame {
	return &media.Frame{Keyframe: key, Size: size, Packets: make([]media.Packet, packets)}
}

func TestNumbersGoOnAcrossEveryWrap(t *testing.T) {
	for _, first := range []uint64{0, 1<<16 - 3, 1<<32 - 3} {
		r := New(DefaultLimits, first)
		seq := first
		for i := range uint64(20) {
			f := frame(i%10 == 0, 10, 3)
			r.Append(f)
			require.Equal(t, i+1, f.Number)
			require.Equal(t, seq, f.FirstSeq)
			seq += 3
		}
		for i := range uint64(60) {
			f, index := r.Find(first + i)
			require.NotNil(t, f)
			require.Equal(t, i/3+1, f.Number)
			require.EqualValues(t, i%3, index)
		}
		f, _ := r.Find(first + 60)
		require.Nil(t, f, "not written yet")
		f, _ = r.Find(first - 1)
		require.Nil(t, f, "never written")
	}
}

func TestKeepsTheGOPAndSomeHistory(t *testing.T) {
	r := New(Limits{Bytes: 1 << 20, History: 5}, 0)
	for i := range 40 {
		r.Append(frame(i%20 == 0, 10, 1))
	}
	key, ok := r.Keyframe()
	require.True(t, ok)
	require.EqualValues(t, 21, key)
	require.EqualValues(t, 16, r.Tail(), "five frames before the keyframe")
	require.Nil(t, r.At(15))
	require.NotNil(t, r.At(16))
}

func TestBytesAreBounded(t *testing.T) {
	r := New(Limits{Bytes: 1000, History: 100}, 0)
	r.Append(frame(true, 400, 1))
	for range 10 {
		r.Append(frame(false, 100, 1))
	}
	_, ok := r.Keyframe()
	require.False(t, ok, "a GOP that is too large is forgotten from its beginning")
	require.EqualValues(t, 2, r.Tail())
	r.Append(frame(true, 5000, 1))
	require.NotNil(t, r.Latest(), "the newest always stays")
}

func TestSlotsAreBounded(t *testing.T) {
	r := New(DefaultLimits, 0)
	r.Append(frame(true, 1, 1))
	for range 3 * Slots {
		r.Append(frame(false, 1, 1))
	}
	require.Less(t, r.Next()-r.Tail(), uint64(Slots+1))
	for n := r.Tail(); n < r.Next(); n++ {
		require.NotNil(t, r.At(n))
	}
}

// TestForgottenFramesAreNobodysPresent: nothing is left to start from but a picture for a poster, and readers and numbers go on as if nothing had been.
func TestForgottenFramesAreNobodysPresent(t *testing.T) {
	r := New(DefaultLimits, 100)
	require.Nil(t, r.Picture())
	r.Forget()
	reader := r.ReadFrom(1)
	for i := range 10 {
		r.Append(frame(i == 5, 1000, 2))
	}
	key := r.Picture()
	require.True(t, key.Keyframe)
	r.Forget()
	_, ok := r.Keyframe()
	require.False(t, ok)
	require.Nil(t, r.Latest())
	require.Nil(t, reader.TryNext())
	f, _ := r.Find(105)
	require.Nil(t, f)
	require.Same(t, key, r.Picture())

	r.Append(frame(false, 1000, 2))
	_, ok = r.Keyframe()
	require.False(t, ok)
	f = reader.TryNext()
	require.EqualValues(t, 11, f.Number)
	require.EqualValues(t, 120, f.FirstSeq)
	require.EqualValues(t, 10, reader.Skipped())
	r.Append(frame(true, 1000, 2))
	require.EqualValues(t, 12, r.Picture().Number)
}

func TestSlowReaderGoesOnAtTheOldest(t *testing.T) {
	r := New(Limits{Bytes: 1 << 20, History: 2}, 0)
	reader := r.ReadFrom(1)
	for i := range 30 {
		r.Append(frame(i%10 == 0, 1, 1))
	}
	f := reader.TryNext()
	require.EqualValues(t, 19, f.Number)
	require.EqualValues(t, 18, reader.Skipped())
}

// TestReadersSeeEveryFrameInOrder runs readers beside the writer; the race detector watches.
func TestReadersSeeEveryFrameInOrder(t *testing.T) {
	const frames = 5000
	r := New(Limits{Bytes: 1 << 30, History: Slots}, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var readers sync.WaitGroup
	for range 4 {
		reader := r.ReadFrom(1)
		readers.Go(func() {
			for last := uint64(0); last < frames; {
				f, err := reader.Next(ctx)
				if err != nil || f.Number <= last || f.Number != last+1 && reader.Skipped() == 0 {
					t.Errorf("after %d came %v (%v), %d skipped", last, f, err, reader.Skipped())
					return
				}
				last = f.Number
			}
		})
	}
	for i := range frames {
		r.Append(frame(i%50 == 0, 1, 2))
	}
	readers.Wait()
}

func TestNextEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := New(DefaultLimits, 0).ReadFrom(1).Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
