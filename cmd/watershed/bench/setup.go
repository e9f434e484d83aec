package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e"
	"watershed/cmd/watershed/e2e/browser"
)

// patience is how long a figure may take to appear before the run is given up.
const patience = 30 * time.Second

// setup is a farm of cameras and a node that pulls them as cam0 and so on.
type setup struct {
	farm *camera.Farm
	node *e2e.Node
	end  func() error
}

func (b *bench) start(n int, clip string, change func(*config.Config)) (*setup, error) {
	farm, err := camera.New(camera.Config{N: n, Listen: "127.0.0.1:0", Clip: clip})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() { ended <- farm.Run(ctx) }()
	data, err := os.MkdirTemp(b.folder, "node-")
	if err != nil {
		stop()
		return nil, err
	}
	c := e2e.Config(data)
	c.Streams = map[string]config.Stream{}
	for i := range n {
		c.Streams[fmt.Sprintf("cam%d", i)] = config.Stream{Public: true, Source: farm.URL(i)}
	}
	if change != nil {
		change(&c)
	}
	node, err := e2e.Start(b.binary, c)
	if err != nil {
		stop()
		return nil, errors.Join(err, <-ended)
	}
	s := &setup{farm: farm, node: node}
	s.end = func() error {
		err := node.Stop(10 * time.Second)
		stop()
		return errors.Join(err, <-ended)
	}
	for i := range n {
		if _, err := node.WaitLog(fmt.Sprintf(`"stream live","stream":"cam%d"`, i), patience); err != nil {
			return nil, errors.Join(err, s.end())
		}
	}
	return s, nil
}

// chromium with the driver's modules from the pages' folder.
func (b *bench) chromium() (*browser.Browser, error) {
	root, err := e2e.Root()
	if err != nil {
		return nil, err
	}
	return browser.Launch(filepath.Join(root, "web"))
}

func (b *bench) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}
