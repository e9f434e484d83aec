package hlsbridge

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/media"
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

// A track that cannot be packaged is said so once, not with every frame.
func TestATrackLeftOutIsSaidOnce(t *testing.T) {
	said := &atomic.Int32{}
	s := newStudio(t, nil)
	_, writers, err := s.stream.Begin(sfu.SessionOptions{Pushed: true, Name: "test", Tracks: []sfu.TrackSpec{{Config: media.Config{Codec: media.AAC, ClockRate: 48000, Channels: 2}}}})
	require.NoError(t, err)
	began := time.Now()
	for i := range int64(100) {
		require.NoError(t, writers[0].Write(sfu.Unit{Parts: [][]byte{{1}}, PTS: i * 1024, Arrival: began.Add(time.Duration(i) * 1024 * time.Second / 48000)}))
	}
	cfg := s.bridge.cfg
	cfg.Log = slog.New(ear{slog.DiscardHandler, "hls: track left out", said, ""})
	p := newPackager(&cfg, s.stream, s.bridge.numbers)
	layers, _ := pick(s.stream)
	require.Len(t, layers, 1)
	for range 10 {
		require.Nil(t, p.open(layers, began.Add(2*time.Second)))
	}
	require.EqualValues(t, 1, said.Load())
}
