package crowd

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever joins is answered once, or leaves: never both, never neither.
func TestEachIsAnsweredOrLeaves(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 33, 500} {
		var all []*Waiter[int]
		answers, left := make([]atomic.Int64, n), make([]bool, n)
		waiters := make([]*Waiter[int], n)
		for i := range waiters {
			waiters[i] = &Waiter[int]{Answer: func(v int) { answers[i].Add(int64(v)) }}
			all = Join(all, waiters[i])
		}
		for _, i := range rand.Perm(n)[:n/3] {
			all, left[i] = Leave(all, waiters[i])
			require.True(t, left[i])
			var again bool
			all, again = Leave(all, waiters[i])
			require.False(t, again)
		}
		require.Len(t, all, n-n/3)
		var answering sync.WaitGroup
		Release(all, 1, &answering)
		answering.Wait()
		for i := range waiters {
			require.Equal(t, left[i], answers[i].Load() == 0)
			require.LessOrEqual(t, answers[i].Load(), int64(1))
			_, late := Leave(all, waiters[i])
			require.False(t, late)
		}
	}
}
