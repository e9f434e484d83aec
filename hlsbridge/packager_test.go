package hlsbridge

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ear is a log that counts how often a thing is said, and may break down at another.
type ear struct {
	slog.Handler
	what string
	said *atomic.Int32
	trap string
}

func (e ear) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e ear) Enabled(context.Context, slog.Level) bool { return true }

func (e ear) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case e.trap:
		panic("even a packager has its faults")
	case e.what:
		e.said.Add(1)
	}
	return nil
}

// A packager that panics takes its stream's answers with it, not the node.
func TestAPackagerFailsAlone(t *testing.T) {
	failed := &atomic.Int32{}
	s := newStudio(t, func(c *Config) {
		c.Log = slog.New(ear{slog.DiscardHandler, "hls: packaging failed", failed, "hls: packaging"})
	})
	src := s.connect("river", false)
	p := s.bridge.packager(s.stream)
	src.send(115)
	require.Eventually(t, func() bool { return failed.Load() == 1 }, 10*time.Second, time.Millisecond)
	require.Nil(t, p.gen.Load())
	require.Same(t, p, s.bridge.packager(s.stream), "and is not tried again at once")
}
