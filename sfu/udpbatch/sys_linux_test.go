package udpbatch

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestSegmentationIsGivenUpWhenAllIsRefused: a device that cannot segment refuses every run, a path with a small MTU only its own, and anybody can say that theirs
// has one. Without checksums the kernel refuses to segment, with EINVAL as for both.
func TestSegmentationIsGivenUpWhenAllIsRefused(t *testing.T) {
	conn, b, reader := pair(t, "127.0.0.1:0")
	if !conn.GSO() {
		t.Log("this kernel has no UDP GSO: nothing to give up")
		return
	}
	b.To(conn.Addr(addrOf(reader)))
	refuse := func(on int) {
		conn.raw.Control(func(fd uintptr) {
			require.NoError(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, on))
		})
	}
	run := func() {
		t.Helper()
		p := bytes.Repeat([]byte{7}, 900)
		put(b, p)
		put(b, p)
		b.Flush()
		expect(t, reader, [][]byte{p, p})
	}
	for range 3 {
		refuse(1)
		for range maxRefused - 1 {
			run()
		}
		refuse(0)
		run()
		require.True(t, conn.GSO(), "somebody's trouble ends it for all")
	}
	refuse(1)
	for range maxRefused {
		run()
	}
	require.False(t, conn.GSO())
	require.EqualValues(t, 1, conn.Stats.Fallbacks.Load())
	require.Zero(t, conn.Stats.Dropped.Load())
}
