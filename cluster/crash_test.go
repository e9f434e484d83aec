package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// crashDir tells a process of the test binary to talk into this folder's log until it is killed.
const crashDir = "WATERSHED_TEST_CRASH_DIR"

// TestKill: what was acknowledged is there after kill -9, once and in its place, in the same history.
func TestKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		talk(t, dir)
		return
	}
	dir := t.TempDir()
	said := map[string]string{} // offset by cid
	epoch := ""
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; n < 100 && lines.Scan(); n++ {
			f := strings.Fields(lines.Text())
			require.Len(t, f, 3, "round %d: %s", round, lines.Text())
			said[f[1]] = f[2]
			if epoch == "" {
				epoch = f[0]
			}
			require.Equal(t, epoch, f[0])
		}
		require.NoError(t, cmd.Process.Kill())
		cmd.Wait()
	}
	require.Len(t, said, 300)
	n := openTest(t, dir)
	defer n.Close()
	require.Equal(t, epoch, n.Messages.Epoch())
	got := map[string]string{}
	page, ok := n.Messages.Since("r", 0, KeepMessages)
	require.True(t, ok)
	for i, m := range page.Messages {
		require.Equal(t, uint64(i+1), m.Offset)
		got[m.CID] = fmt.Sprint(m.Offset)
	}
	for cid, offset := range said {
		require.Equal(t, offset, got[cid])
	}
	require.Equal(t, len(page.Messages), len(got), "nothing is there twice")
}

// talk says one message after the other and prints epoch, cid and offset of each when it is acknowledged.
func talk(t *testing.T, dir string) {
	n := openTest(t, dir)
	first := n.Messages.Last("r", 0).Offset
	for i := first; ; i++ {
		cid := fmt.Sprint(i)
		p, err := n.Messages.Say(context.Background(), Post{Room: "r", User: "u", CID: cid, Text: "x"})
		require.NoError(t, err)
		fmt.Println(n.Messages.Epoch(), cid, p.Offset)
		if i%50 == 49 { // also in the middle of snapshots
			go n.messages.raft.Snapshot()
		}
	}
}
