package room

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func refusal(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func retry(t *testing.T, err error) time.Duration {
	var r *Refusal
	require.ErrorAs(t, err, &r)
	return r.Retry
}

func TestPersonLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloor()
		for range personBurst {
			require.NoError(t, f.take("u", 0, time.Now()))
		}
		err := f.take("u", 0, time.Now())
		require.Equal(t, "rate", refusal(err))
		require.NoError(t, f.take("v", 0, time.Now()), "others may")
		time.Sleep(retry(t, err))
		require.NoError(t, f.take("u", 0, time.Now()), "retry says when")
	})
}

func TestRoomLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloor()
		for i := range roomBurst {
			require.NoError(t, f.take(fmt.Sprint(i), 0, time.Now()))
		}
		require.Equal(t, "rate", refusal(f.take("late", 0, time.Now())))
		said := 0
		for i := range 1000 { // ten seconds of a hundred people a second
			if f.take(fmt.Sprint("p", i), 0, time.Now()) == nil {
				said++
			}
			time.Sleep(10 * time.Millisecond)
		}
		require.InDelta(t, 10*roomRate, said, 2)
	})
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloor()
		require.NoError(t, f.take("u", 5*time.Second, time.Now()))
		time.Sleep(2 * time.Second)
		err := f.take("u", 5*time.Second, time.Now())
		require.Equal(t, "slow", refusal(err))
		require.Equal(t, 3*time.Second, retry(t, err))
		time.Sleep(3 * time.Second)
		require.NoError(t, f.take("u", 5*time.Second, time.Now()), "what was refused does not count")
	})
}

func TestFloorForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFloor()
		for i := range 5000 {
			f.take(fmt.Sprint(i), 0, time.Now())
			time.Sleep(time.Second)
		}
		time.Sleep(2 * SlowMax * time.Second)
		for i := range 1001 {
			f.take(fmt.Sprint("new", i), 0, time.Now())
		}
		require.Less(t, len(f.people), 2500)
	})
}
