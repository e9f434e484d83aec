package main

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	crowd     = 200 // viewers: less are not worth a collection
	crowdTick = 5 * time.Second
)

// giveBack returns memory to the system when a crowd has left. By itself Go would do it, too, but over minutes, and a machine that several share has
// other uses for it. It costs one collection.
func (n *node) giveBack(ctx context.Context) error {
	tick := time.NewTicker(crowdTick)
	defer tick.Stop()
	for most := int64(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := int64(0)
		for _, s := range n.sfu.Shards() {
			now += s.Viewers.Load()
		}
		most = max(most, now)
		if most-now >= crowd && now <= most/2 {
			debug.FreeOSMemory()
			most = now
		}
	}
}
