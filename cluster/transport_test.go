package cluster

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// layer is TCP on loopback.
type layer struct{ net.Listener }

func (layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(addr), timeout)
}

// TestLayer: with a transport of its own a node is no less a cluster of one, and others would find it by the address book.
func TestLayer(t *testing.T) {
	n, err := Open(Config{
		Dir: t.TempDir(), Node: "n1", Addresses: map[string]string{"raft": "10.0.0.1:8443"},
		Layer: func(string) (raft.StreamLayer, error) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			return layer{l}, err
		},
	})
	require.NoError(t, err)
	defer n.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, n.Ready(ctx))
	addr, err := n.ServerAddr("n1")
	require.NoError(t, err)
	require.EqualValues(t, "10.0.0.1:8443", addr)
	_, err = n.ServerAddr("n2")
	require.ErrorContains(t, err, "n2")
	servers := n.decisions.raft.GetConfiguration().Configuration().Servers
	require.Equal(t, []raft.Server{{ID: "n1", Address: "n1"}}, servers, "servers are known by node id")
}
