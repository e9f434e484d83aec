package main

import (
	"context"
	"net"

	"golang.org/x/sync/errgroup"

	"watershed/sfu/ingest"
	"watershed/sfu/ingest/rtsp"
)

// pushed is a listener for those who push media in.
type pushed interface {
	Addr() net.Addr
	Run(ctx context.Context) error
}

// listenPushed opens the listeners that are not turned off.
func (n *node) listenPushed() error {
	door := ingest.Door{Admit: n.access.Admit(n.sfu.Ensure), Log: n.log}
	return n.openPushed("rtsp", n.cfg.RTSP.Listen, func(address string) (pushed, error) { return rtsp.Listen(address, door) })
}

func (n *node) openPushed(key, address string, listen func(string) (pushed, error)) error {
	if address == "" {
		return nil
	}
	p, err := listen(address)
	if err != nil {
		return listenError(key, err)
	}
	n.pushed = append(n.pushed, p)
	n.listening = append(n.listening, key, p.Addr().String())
	return nil
}

func (n *node) runPushed(ctx context.Context, g *errgroup.Group) {
	for _, p := range n.pushed {
		g.Go(func() error { return p.Run(ctx) })
	}
}
