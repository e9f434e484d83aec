package seqmap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContiguousOverSwitchesAndWraps(t *testing.T) {
	for name, first := range map[string]uint64{"zero": 0, "below 16 bits": 65530, "below 32 bits": 1<<32 - 5} {
		t.Run(name, func(t *testing.T) {
			var m Map[string]
			m.Start(first)
			want := first
			send := func(in uint64) {
				require.Equal(t, want, m.Advance(in, 1))
				want++
			}
			m.Switch("high", 100)
			for in := uint64(100); in < 110; in++ {
				send(in)
			}
			m.Switch("low", 1<<40)
			for in := uint64(1 << 40); in < 1<<40+10; in++ {
				send(in)
			}
			for i := range uint64(20) {
				layer, in, ok := m.Reverse(uint16(first + i))
				require.True(t, ok)
				if i < 10 {
					require.Equal(t, "high", layer)
					require.Equal(t, 100+i, in)
				} else {
					require.Equal(t, "low", layer)
					require.Equal(t, 1<<40+i-10, in)
				}
			}
			_, _, ok := m.Reverse(uint16(first + 20))
			require.False(t, ok, "not sent yet")
		})
	}
}

func TestReverseForgets(t *testing.T) {
	var m Map[int]
	_, _, ok := m.Reverse(7)
	require.False(t, ok)
	for i := range stays + 2 {
		m.Switch(i, 0)
		m.Advance(0, 1)
	}
	_, _, ok = m.Reverse(0)
	require.False(t, ok, "its stay was overwritten")
	layer, _, ok := m.Reverse(2)
	require.True(t, ok)
	require.Equal(t, 2, layer)
}
