package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"watershed/cluster"
	"watershed/cmd/watershed/config"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/rtsp"
	"watershed/sfu/ingest/whip"
	"watershed/sfu/leg"
	"watershed/signaling"
)

// node is everything of one process, joined.
type node struct {
	cfg     config.Config
	log     *slog.Logger
	cluster *cluster.Node
	halted  chan error // the cluster cannot go on here
	sfu     *sfu.SFU
	sig     *signaling.Server
	http    net.Listener
}

func newLog(c config.Log) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
}

// openNode opens every port; what it opened is closed again when something fails.
func openNode(ctx context.Context, cfg config.Config) (_ *node, err error) {
	log, err := newLog(cfg.Log)
	if err != nil {
		return nil, err
	}
	n := &node{cfg: cfg, log: log}
	if err := n.joinCluster(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.cluster.Close()
		}
	}()
	shards := cfg.WebRTC.Shards
	if shards == 0 {
		shards = runtime.NumCPU()
	}
	port, err := leg.Listen(ctx, leg.Config{Listen: cfg.WebRTC.Listen, Shards: shards, Public: cfg.WebRTC.Public, Log: log})
	if err != nil {
		return nil, err
	}
	n.sfu = sfu.New(sfu.Config{
		Port: port, Log: log,
		Pullers: map[string]sfu.Puller{"rtsp": rtsp.Pull, "rtsps": rtsp.Pull},
	})
	publishers, err := whip.New(port, log)
	if err != nil {
		return nil, err
	}
	n.sig = signaling.New(signaling.Config{SFU: n.sfu, Publishers: publishers, Admit: ingest.Open(n.sfu), Node: n.cluster.ID, Log: log})
	if n.http, err = net.Listen("tcp", cfg.HTTP.Listen); err != nil {
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	for name, s := range cfg.Streams {
		full, _ := id.ParseStream(name) // config.Check has seen it
		n.sfu.Declare(full, s.Spec())
	}
	return n, nil
}

// version that this binary was built from.
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "unknown"
}

// joinCluster opens the node's part of the cluster: of one, so far.
func (n *node) joinCluster(ctx context.Context) (err error) {
	n.halted = make(chan error, 2) // one for each group
	n.cluster, err = cluster.Open(cluster.Config{
		Dir: filepath.Join(n.cfg.Data, "cluster"), Node: n.cfg.Cluster.Node, Version: version(), Log: n.log,
		Halt: func(err error) { n.halted <- err },
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := n.cluster.Ready(ctx); err != nil {
		n.cluster.Close()
		return err
	}
	return nil
}

// run serves until ctx ends.
func (n *node) run(ctx context.Context) error {
	defer n.cluster.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case err := <-n.halted:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return n.sfu.Run(ctx) })
	n.log.Info("ready", "http", n.http.Addr().String(), "webrtc", n.sfu.Port().Conns()[0].LocalAddr().String())
	srv := &http.Server{Handler: n.sig.Handler(), ReadHeaderTimeout: 10 * time.Second}
	g.Go(func() error {
		if err := srv.Serve(n.http); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			return srv.Close()
		}
		return nil
	})
	return g.Wait()
}
