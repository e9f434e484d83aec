package main

import (
	"context"
	"errors"
	"os"
	"time"

	"watershed/hlsbridge/conform"
)

type checkCmd struct {
	HLS checkHLSCmd `cmd:"" name:"hls" help:"Does an LL-HLS origin do what the specification asks? Any origin, not only this one."`
}

type checkHLSCmd struct {
	URL      string        `arg:"" help:"Multivariant or media playlist."`
	Duration time.Duration `short:"d" default:"15s" help:"How long each playlist is followed."`
	Outage   time.Duration `default:"0s" help:"How long the origin may not answer while it is followed, because it is restarted."`
	Strict   bool          `help:"Fail also for what is only recommended, or asked for by Apple."`
}

var errNotConform = errors.New("the origin breaks rules of the specification")

func (c *checkHLSCmd) Run(ctx context.Context) error {
	r, err := conform.Check(ctx, c.URL, conform.Options{Watch: c.Duration, Outage: c.Outage})
	if err != nil {
		return err
	}
	r.Print(os.Stdout)
	if r.Failed(c.Strict) {
		return errNotConform
	}
	return nil
}
