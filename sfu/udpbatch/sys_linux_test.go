package udpbatch

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

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

// thinWire moves the calling goroutine into a network of its own whose loopback carries 100 Mb/s, as a real network card would.
func thinWire(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making a network namespace needs root")
	}
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespaces here: %v", err)
	}
	for _, args := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "100mbit", "burst", "16kb", "latency", "10s"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v (Debian package iproute2, and a kernel with sch_tbf): %v %s", args, err, out)
		}
	}
}

// TestAFullSocketIsGivenTime sends keyframes of 96 kB, 8 ms of the wire, through a socket that holds a third of one: at 80 ms each nothing is lost, and when
// the wire is too thin for good, the excess is dropped instead of waited for.
func TestAFullSocketIsGivenTime(t *testing.T) {
	thinWire(t)
	conn, b, reader := pair(t, "127.0.0.1:0")
	require.NoError(t, conn.udp.SetWriteBuffer(16<<10))
	b.To(conn.Addr(addrOf(reader)))
	p := bytes.Repeat([]byte{7}, 1200)
	keyframe := func() {
		for range 80 {
			put(b, p)
		}
		b.Flush()
	}
	for whole, tries := 0, 0; whole < 5; tries++ {
		require.Less(t, tries, 50, "keyframes do not come whole") // some do not where the machine comes back to us when the time is over
		before := conn.Stats.Dropped.Load()
		keyframe()
		lost := int(conn.Stats.Dropped.Load() - before)
		expect(t, reader, slices.Repeat([][]byte{p}, 80-lost))
		if lost == 0 {
			whole++
		}
		b.sys.patience.last = b.sys.patience.last.Add(-80 * time.Millisecond) // until the next
	}
	require.NotZero(t, conn.Stats.Waits.Load(), "the wire was not thin enough to test anything")

	began := time.Now()
	for range 50 {
		keyframe()
	}
	took := time.Since(began)
	require.NotZero(t, conn.Stats.Dropped.Load())
	require.LessOrEqual(t, b.sys.patience.left, maxPatience)
	t.Logf("50 keyframes, which the wire takes 390 ms for, took %v; %d datagrams were dropped", took, conn.Stats.Dropped.Load())
}

func TestPatienceIsATenthOfTheTime(t *testing.T) {
	var p patience
	now := time.Unix(1000, 0)
	require.Equal(t, maxPatience, p.at(now))
	p.spend(maxPatience)
	require.Zero(t, p.at(now))
	require.Equal(t, 2*time.Millisecond, p.at(now.Add(20*time.Millisecond)))
	require.Equal(t, maxPatience, p.at(now.Add(time.Hour)))
}
