package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"watershed/sfu/id"
)

// Config of this node's membership.
type Config struct {
	Dir       string            // folder of its own; made if it is not there
	Node      string            // id wished for; "" keeps the folder's, or makes one
	Version   string            // of the program, for the address book
	Addresses map[string]string // for the address book; "raft" is where Layer listens

	// Layer carries a group's traffic between nodes. Nil: this node is alone, and nothing leaves the process.
	Layer func(group string) (raft.StreamLayer, error)

	// Halt is told once, from a goroutine that must not be kept, when this node must end because it can no longer follow the log. Nil panics.
	Halt func(error)

	Log *slog.Logger
}

// ErrClosed is what a closed node answers.
var ErrClosed = errors.New("this node is stopping")

// Node is this process as a member of the cluster.
type Node struct {
	ID        string
	Decisions *Decisions
	Messages  *Messages

	cfg       Config
	decisions *group
	messages  *group
}

// Open reads what the folder has and joins in. Close ends it. The state is complete after Ready.
func Open(cfg Config) (n *Node, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Halt == nil {
		cfg.Halt = func(err error) { panic(err) }
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cluster folder: %w", err)
	}
	n = &Node{cfg: cfg}
	if n.ID, err = nodeID(cfg.Dir, cfg.Node); err != nil {
		return nil, err
	}
	n.Decisions = newDecisions(n.halt("decisions"))
	n.Messages = newMessages(n.halt("messages"))
	if n.decisions, err = n.open("decisions", n.Decisions); err != nil {
		return nil, err
	}
	if n.messages, err = n.open("messages", n.Messages); err != nil {
		n.decisions.close()
		return nil, err
	}
	n.Decisions.group = n.decisions
	n.Messages.start(n.messages)
	return n, nil
}

func (n *Node) halt(name string) *halt {
	return &halt{tell: func(err error) {
		n.cfg.Log.Error("cannot follow the log: this node must stop", "group", name, "err", err)
		go n.cfg.Halt(fmt.Errorf("group %s: %w", name, err))
	}}
}

func (n *Node) open(name string, fsm raft.FSM) (*group, error) {
	transport, err := n.transport(name)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", name, err)
	}
	return openGroup(name, filepath.Join(n.cfg.Dir, name), raft.ServerID(n.ID), fsm, transport, n.cfg.Layer == nil, n.cfg.Log)
}

func (n *Node) transport(name string) (raft.Transport, error) {
	if n.cfg.Layer == nil {
		_, t := raft.NewInmemTransport(raft.ServerAddress(n.ID))
		return t, nil
	}
	layer, err := n.cfg.Layer(name)
	if err != nil {
		return nil, err
	}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: n, Stream: layer, MaxPool: 3, Timeout: 5 * time.Second,
		Logger: groupConfig(raft.ServerID(n.ID), false, n.cfg.Log.With("group", name)).Logger,
	}), nil
}

// ServerAddr looks a node up in the address book (raft.ServerAddressProvider).
func (n *Node) ServerAddr(node raft.ServerID) (raft.ServerAddress, error) {
	m, ok := n.Decisions.Members.Find(string(node))
	if !ok || m.Addresses["raft"] == "" {
		return "", fmt.Errorf("node %s has no address in the book", node)
	}
	return raft.ServerAddress(m.Addresses["raft"]), nil
}

// Ready waits until this node knows all that was committed before it started. A leader also writes what a new cluster
// lacks: its own line in the address book, the epoch of the message history.
func (n *Node) Ready(ctx context.Context) error {
	leads, err := n.decisions.ready(ctx)
	if err != nil {
		return err
	}
	if leads {
		if err := n.introduce(ctx); err != nil {
			return fmt.Errorf("address book: %w", err)
		}
	}
	if leads, err = n.messages.ready(ctx); err != nil {
		return err
	}
	if leads && n.Messages.Epoch() == "" {
		return n.Messages.found(ctx, id.Random(5))
	}
	return nil
}

// introduce writes this node's line in the address book if it is not true.
func (n *Node) introduce(ctx context.Context) error {
	m, ok := n.Decisions.Members.Find(n.ID)
	if ok && m.Version == n.cfg.Version && maps.Equal(m.Addresses, n.cfg.Addresses) {
		return nil
	}
	_, err := n.Decisions.Members.Put(ctx, Member{ID: n.ID, Addresses: n.cfg.Addresses, Version: n.cfg.Version})
	return err
}

// Close leaves the groups' work; the folder can be opened again. Call it once.
func (n *Node) Close() error {
	n.Messages.stop()
	return errors.Join(n.messages.close(), n.decisions.close())
}

var nodeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// nodeID is the name by which all nodes know this folder; once given it stays.
func nodeID(dir, wish string) (string, error) {
	if wish != "" && !nodeName.MatchString(wish) {
		return "", fmt.Errorf("cluster.node %q: use 1 to 32 of a-z 0-9 - and start with a letter or digit", wish)
	}
	file := filepath.Join(dir, "node")
	text, err := os.ReadFile(file)
	kept := strings.TrimSpace(string(text))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if wish == "" {
			wish = "n-" + id.Random(5)
		}
		return wish, os.WriteFile(file, []byte(wish+"\n"), 0o600)
	case err != nil:
		return "", fmt.Errorf("read the node's id: %w", err)
	case !nodeName.MatchString(kept):
		return "", fmt.Errorf("%s holds no node id", file)
	case wish != "" && wish != kept:
		return "", fmt.Errorf("cluster.node is %q, but the data in %s belongs to node %q: use that name, or another data folder", wish, dir, kept)
	}
	return kept, nil
}

var _ raft.ServerAddressProvider = (*Node)(nil)
