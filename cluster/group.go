package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// ErrNoLeader means that nothing can be decided just now; what was proposed has not happened.
var ErrNoLeader = errors.New("the cluster has no leader at the moment: try again")

// proposeTimeout is how long a proposal may wait for its turn.
const proposeTimeout = 5 * time.Second

// group is this node's member of one Raft group.
type group struct {
	name      string
	raft      *raft.Raft
	store     *raftboltdb.BoltStore
	transport raft.Transport

	proposals sync.WaitGroup // on their way through the log

	mu     sync.Mutex // guards closed
	closed bool
}

// openGroup opens the group's log below dir and starts it. A new log founds a group of this node alone.
func openGroup(name, dir string, node raft.ServerID, fsm raft.FSM, transport raft.Transport, alone bool, log *slog.Logger) (_ *group, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("group %s: %w", name, err)
	}
	cfg := groupConfig(node, alone, log.With("group", name))
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", name, err)
	}
	g := &group{name: name, transport: transport}
	g.store, err = raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(dir, "raft.db"),
		// A second process on the same folder waits for the lock and must not wait for ever.
		BoltOptions:             &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
		MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return nil, fmt.Errorf("group %s: open log in %s (is another node running on this folder?): %w", name, dir, err)
	}
	defer func() {
		if err != nil {
			g.store.Close()
		}
	}()
	if err := found(cfg, g.store, snapshots, transport); err != nil {
		return nil, fmt.Errorf("group %s: %w", name, err)
	}
	if g.raft, err = raft.NewRaft(cfg, fsm, g.store, g.store, snapshots, transport); err != nil {
		return nil, fmt.Errorf("group %s: start: %w", name, err)
	}
	return g, nil
}

// found makes a new log's first configuration: this node.
func found(cfg *raft.Config, store *raftboltdb.BoltStore, snapshots raft.SnapshotStore, transport raft.Transport) error {
	old, err := raft.HasExistingState(store, store, snapshots)
	if err != nil || old {
		return err
	}
	// The address is the id: where a node really is says the address book.
	self := raft.Server{ID: cfg.LocalID, Address: raft.ServerAddress(cfg.LocalID)}
	return raft.BootstrapCluster(cfg, store, store, snapshots, transport, raft.Configuration{Servers: []raft.Server{self}})
}

func groupConfig(node raft.ServerID, alone bool, log *slog.Logger) *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = node
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 500*time.Millisecond, 500*time.Millisecond, 400*time.Millisecond
	if alone {
		// Nobody else can be leader, so there is nobody to wait for.
		cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	}
	cfg.CommitTimeout = 20 * time.Millisecond
	// An entry of messages may have a megabyte, so few are kept; a start replays those since the last snapshot.
	cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 2048, 512, 30*time.Second
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: logWriter{log}, DisableTime: true})
	return cfg
}

// logWriter takes Raft's lines: errors are the operator's business, elections a debugger's.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	if bytes.HasPrefix(line, []byte("[ERROR]")) {
		w.log.Error(text)
	} else {
		w.log.Debug(text)
	}
	return len(line), nil
}

// propose stamps a command, writes it and waits until it is applied here. It gives the state machine's answer; an error that this
// is, is returned as the error.
func (g *group) propose(ctx context.Context, cmd []byte) (any, error) {
	if !g.begin() {
		return nil, ErrClosed
	}
	stamp(cmd, time.Now())
	future := g.raft.Apply(cmd, proposeTimeout)
	done := make(chan error, 1)
	go func() {
		defer g.proposals.Done()
		done <- future.Error()
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-done:
		if err != nil {
			return nil, proposeError(err)
		}
	}
	if err, ok := future.Response().(error); ok {
		return nil, err
	}
	return future.Response(), nil
}

// begin a proposal, which must end with proposals.Done; false if the group is closed.
func (g *group) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.proposals.Add(1)
	}
	return !g.closed
}

func proposeError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNoLeader
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	}
	return err
}

// ready waits until the group has a leader and this node has applied all that was committed before.
func (g *group) ready(ctx context.Context) (leader bool, err error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		switch _, id := g.raft.LeaderWithID(); {
		case g.raft.State() == raft.Leader:
			if err := g.raft.Barrier(proposeTimeout).Error(); err == nil {
				return true, nil
			}
		case id != "" && g.raft.AppliedIndex() >= g.raft.CommitIndex() && g.raft.CommitIndex() > 0:
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("group %s has no leader: %w", g.name, ctx.Err())
		case <-tick.C:
		}
	}
}

// close stops the group; nothing of it runs when it returns. What was proposed is waited for, because a Raft that has been shut down answers
// nothing any more; while it runs, each proposal is applied or refused within seconds.
func (g *group) close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.proposals.Wait()
	err := g.raft.Shutdown().Error()
	if c, ok := g.transport.(raft.WithClose); ok {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, g.store.Close())
}
