package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
)

type serveCmd struct {
	Config string `short:"c" help:"Configuration file (watershed.yaml if that is there)."`
}

func (c *serveCmd) Run(ctx context.Context) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	n, err := openNode(ctx, cfg)
	if err != nil {
		return err
	}
	return n.run(ctx)
}

type demoCmd struct {
	Cameras int    `short:"n" default:"6" help:"Synthetic cameras."`
	Listen  string `default:"127.0.0.1:8080" help:"HTTP address; a loopback one, because the demo lets everybody do everything."`
}

func (c *demoCmd) Run(ctx context.Context) error {
	farm, err := camera.New(camera.Config{N: c.Cameras, Listen: "127.0.0.1:0", Audio: "opus" + strings.Repeat(",none", max(0, c.Cameras-1))})
	if err != nil {
		return err
	}
	data, err := os.MkdirTemp("", "watershed-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	cfg := c.config(farm, data)
	if err := cfg.Check(); err != nil {
		return err
	}
	n, err := openNode(ctx, cfg)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return farm.Run(ctx) })
	g.Go(func() error { return n.run(ctx) })
	g.Go(func() error { c.tell(ctx, n); return nil })
	return g.Wait()
}

// config of the demo: every listener on loopback, everything allowed, nothing kept.
func (c *demoCmd) config(farm *camera.Farm, data string) config.Config {
	cfg := config.Default()
	cfg.Data, cfg.Auth.Mode, cfg.HTTP.Listen, cfg.Log.Level = data, "open", c.Listen, "warn"
	for _, listen := range []*string{
		&cfg.WebRTC.Listen, &cfg.RTSP.Listen, &cfg.RTMP.Listen, &cfg.SRT.Listen, &cfg.Metrics.Listen, &cfg.Cluster.Listen,
	} {
		*listen = loopback(*listen)
	}
	cfg.Streams = map[string]config.Stream{}
	for i := range c.Cameras {
		cfg.Streams[fmt.Sprintf("cam%d", i)] = config.Stream{Public: true, Source: farm.URL(i)}
	}
	return cfg
}

// loopback gives an address's port on loopback, or any port if somebody has that one: a demo may run beside another node.
func loopback(address string) string {
	_, port, _ := net.SplitHostPort(address)
	for _, network := range []string{"tcp", "udp"} {
		if !canListen(network, "127.0.0.1:"+port) {
			return "127.0.0.1:0"
		}
	}
	return "127.0.0.1:" + port
}

func canListen(network, address string) bool {
	var l io.Closer
	var err error
	if network == "tcp" {
		l, err = net.Listen(network, address)
	} else {
		l, err = net.ListenPacket(network, address)
	}
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// tell what to open, as soon as it plays.
func (c *demoCmd) tell(ctx context.Context, n *node) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // two keyframes and a busy machine
	defer cancel()
	for _, st := range n.sfu.Streams() {
		st.WaitLive(ctx) // one that is not there then comes later
	}
	fmt.Printf(`
Watershed shows %d synthetic cameras. Open

  http://%[2]s/             all of them
  http://%[2]s/watch/cam0   one of them, with its chat
  http://%[2]s/room/lobby   a room to meet in

Ctrl-C ends it; nothing is kept.

`, c.Cameras, n.http.Addr())
}

type cameraCmd struct {
	N       int    `short:"n" default:"1" help:"Cameras, cam0 to camN-1."`
	Listen  string `default:":18554" help:"RTSP address."`
	Clip    string `help:"Clip that all show: river (720p, 2 Mb/s), heavy (large keyframes), coast, lake, bframes (360p). The first three in turn if left out."`
	Audio   string `default:"none" help:"Sound of all, or of each in turn with commas: opus, aac, pcmu, none. It ticks at every whole second of the picture's counter."`
	Control string `help:"HTTP address for faults on demand: GET / lists, PUT /cam0 {\"stop\":true}."`
}

func (c *cameraCmd) Run(ctx context.Context) error {
	farm, err := camera.New(camera.Config{N: c.N, Listen: c.Listen, Clip: c.Clip, Audio: c.Audio})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return farm.Run(ctx) })
	if c.Control != "" {
		srv := &http.Server{Addr: c.Control, Handler: farm.Control()}
		g.Go(func() error {
			if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		g.Go(func() error { <-ctx.Done(); return srv.Close() })
	}
	for i := range c.N {
		fmt.Println(farm.URL(i))
	}
	return g.Wait()
}
