package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"watershed/cluster"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/ops"
	"watershed/hlsbridge"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest/rtmp"
	"watershed/sfu/ingest/rtsp"
	"watershed/sfu/ingest/srt"
	"watershed/sfu/ingest/whip"
	"watershed/sfu/leg"
	"watershed/sfu/transcode"
	"watershed/signaling"
	"watershed/signaling/access"
	"watershed/signaling/rest"
	"watershed/signaling/socket"
	"watershed/signaling/turn"
)

// node is everything of one process, joined.
type node struct {
	cfg     config.Config
	log     *slog.Logger
	cluster *cluster.Node
	halted  chan error // the cluster cannot go on here
	sfu     *sfu.SFU
	access  *access.Access
	secret  []byte // that tokens are signed with
	api     *rest.API
	greet   bool // print the operator link: the secret was made just now
	stills  *transcode.Stills
	sig     *signaling.Server
	sockets *socket.Server
	hls     *hlsbridge.Bridge
	turn    *turn.Server // nil: off
	http    net.Listener

	pushed    []pushed
	metrics   net.Listener // nil: off
	health    ops.Health
	listening []any // key and address of each listener, for the log
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
			n.abandon()
		}
	}()
	port, ffmpeg, err := n.openMedia(ctx)
	if err != nil {
		return nil, err
	}
	publishers, err := whip.New(port, log)
	if err != nil {
		return nil, err
	}
	if err := n.openAccess(ctx); err != nil {
		return nil, err
	}
	if err := n.openTURN(port); err != nil {
		return nil, err
	}
	n.stills = transcode.NewStills(ffmpeg, log)
	n.sig = signaling.New(signaling.Config{SFU: n.sfu, Publishers: publishers, Access: n.access, Admit: n.access.Admit(n.sfu.Ensure), Stills: n.stills, TURN: n.turn, Node: n.cluster.ID, Log: log})
	n.openSockets(publishers)
	n.hls = hlsbridge.New(hlsbridge.Config{
		SFU: n.sfu, Part: cfg.HLS.Part, Segment: cfg.HLS.Segment, Window: cfg.HLS.Window, Access: n.mayRead, Missing: n.missing, Hold: n.holdRead, Log: log,
		Recordings: filepath.Join(cfg.Data, "recordings"), DVR: cfg.HLS.DVR, KeepFor: cfg.HLS.Keep, KeepSize: int64(cfg.HLS.KeepSize), Shields: shields(cfg.Streams),
		Numbers: filepath.Join(cfg.Data, "hls"),
	})
	n.stills.Recorded = n.hls.KeyframeAt
	if err := n.listen(); err != nil {
		return nil, err
	}
	if err := n.listenPushed(); err != nil {
		return nil, err
	}
	if err := n.openAPI(ctx); err != nil {
		return nil, err
	}
	if err := n.routePages(); err != nil {
		return nil, err
	}
	for path, h := range map[string]http.HandlerFunc{"/healthz": n.health.Alive, "/readyz": n.health.Takes} {
		n.sig.Echo().Match([]string{http.MethodGet, http.MethodHead}, path, echo.WrapHandler(h))
	}
	if err := n.declare(); err != nil {
		return nil, err
	}
	return n, nil
}

// openMedia opens the media plane.
func (n *node) openMedia(ctx context.Context) (*leg.Port, *transcode.FFmpeg, error) {
	shards := n.cfg.WebRTC.Shards
	if shards == 0 {
		shards = runtime.NumCPU()
	}
	port, err := leg.Listen(ctx, leg.Config{Listen: n.cfg.WebRTC.Listen, Shards: shards, Public: n.cfg.WebRTC.Public, Log: n.log})
	if err != nil {
		return nil, nil, listenError("webrtc", err)
	}
	ffmpeg := transcode.Find(ctx)
	if err := ffmpeg.Err(); err != nil {
		n.log.Warn("no conversions", "error", err)
	}
	n.sfu = sfu.New(sfu.Config{
		Port: port, Log: n.log, Converter: transcode.NewConverter(ffmpeg, n.log),
		Pullers:  map[string]sfu.Puller{"rtsp": rtsp.Pull, "rtsps": rtsp.Pull, "rtmp": rtmp.Pull, "rtmps": rtmp.Pull, "srt": srt.Pull},
		Changed:  func(st *sfu.Stream) { n.sockets.StreamChanged(st) },
		Feedback: record(n.cfg.WebRTC.Trace, n.log),
	})
	return port, ffmpeg, nil
}

// declare the configuration's streams.
func (n *node) declare() error {
	for name, s := range n.cfg.Streams {
		if err := n.canPull(name, s); err != nil {
			return err
		}
		full, _ := id.ParseStream(name) // config.Check has seen it
		n.sfu.Declare(full, s.Spec())
	}
	return nil
}

// canPull says of a stream of the configuration whether there is a way to pull its inputs.
func (n *node) canPull(name string, s config.Stream) error {
	for _, in := range s.Spec().Inputs {
		for _, raw := range []string{in.High, in.Low} {
			if u, err := url.Parse(raw); raw != "" && err == nil && !slices.Contains(n.sfu.Schemes(), u.Scheme) {
				return n.cfg.Bad("streams."+name, "%q cannot be pulled: use %s", u.Scheme, strings.Join(n.sfu.Schemes(), ", "))
			}
		}
	}
	return nil
}

// abandon closes what was opened before something failed. What has Run is run with a context that is over: so it ends.
func (n *node) abandon() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if n.sfu != nil {
		n.sfu.Run(over)
	}
	for _, p := range n.pushed {
		p.Run(over)
	}
	if n.turn != nil {
		n.turn.Run(over)
	}
	for _, l := range []net.Listener{n.http, n.metrics} {
		if l != nil {
			l.Close()
		}
	}
	n.cluster.Close()
}

// version that this binary was built from.
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "unknown"
}

// writable makes the data folder if it is not there, and tries a file in it.
func writable(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "try-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// joinCluster opens the node's part of the cluster: of one, so far.
func (n *node) joinCluster(ctx context.Context) (err error) {
	if err := writable(n.cfg.Data); err != nil {
		return n.cfg.Bad("data", "%v: the node keeps everything there and must be able to write; mend the folder's rights, or name another", err)
	}
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
	g.Go(func() error { return n.giveBack(ctx) })
	g.Go(func() error { return n.access.Run(ctx) })
	g.Go(func() error { return n.api.Run(ctx) })
	g.Go(func() error { return n.sig.Run(ctx) })
	g.Go(func() error { return n.hls.Run(ctx) })
	g.Go(func() error { return n.sockets.Run(ctx) })
	n.runPushed(ctx, g)
	g.Go(func() error { return n.stills.Run(ctx) })
	if n.turn != nil {
		g.Go(func() error { return n.turn.Run(ctx) })
	}
	g.Go(func() error { return serveHTTP(ctx, n.crowdLane(), n.hls.Before(n.sig.Handler()), n.log) })
	if n.metrics != nil {
		g.Go(func() error { return serveHTTP(ctx, n.metrics, ops.Handler(n.sfu, n.sockets, n.hls), n.log) })
	}
	n.log.Info("ready", n.listening...)
	n.health.Ready(true)
	n.printLink()
	g.Go(func() error {
		<-ctx.Done()
		n.health.Ready(false)
		n.log.Info("ending")
		return nil
	})
	return g.Wait()
}
