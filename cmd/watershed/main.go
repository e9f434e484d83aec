// Watershed turns cameras of every kind into one live network. This file is the command line; `watershed --help` lists what it does.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Serve  serveCmd  `cmd:"" help:"Run a node."`
	Demo   demoCmd   `cmd:"" help:"Run a node with synthetic cameras: no files, no FFmpeg, no configuration."`
	Token  tokenCmd  `cmd:"" help:"Make a token: who may do what, signed with the node's secret."`
	Camera cameraCmd `cmd:"" help:"Run a farm of synthetic RTSP cameras."`
	Health healthCmd `cmd:"" help:"Ask a node whether it is alive."`

	Loadtest loadtestCmd `cmd:"" help:"Make viewers by the thousand and report what they saw and cost."`
	Check    checkCmd    `cmd:"" help:"Look at a server from outside and report what is wrong."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k := kong.Parse(&cli{}, kong.Name("watershed"), kong.Description("Cameras in, one live network out."),
		kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "watershed:", err)
		os.Exit(1)
	}
}
