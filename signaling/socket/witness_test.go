package socket

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWitness lets a client that nobody made from our code talk to the server.
func TestWitness(t *testing.T) {
	node, err := exec.LookPath("node")
	require.NoError(t, err, "this test needs Node.js 20 (https://nodejs.org, or apt-get install nodejs)")
	modules, err := filepath.Abs("../../web/node_modules")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(modules, "ws"))
	require.NoError(t, err, "this test needs the npm package ws: run npm ci in web, or make test")
	n := newNode(t, t.TempDir())
	cmd := exec.CommandContext(t.Context(), node, "testdata/witness.cjs", n.url)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "hello\ntwo in one room\nthey talk\nresumed\nrefused kindly\n", string(out))
}
