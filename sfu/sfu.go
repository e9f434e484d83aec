package sfu

import (
	"context"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"watershed/sfu/bwe"
	"watershed/sfu/id"
	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/sfu/timeline"
)

// Puller is an ingest adapter: it connects to a source, opens a session on the stream and writes until ctx ends or the
// source fails. The error says why; Reason classifies it.
type Puller func(ctx context.Context, source *url.URL, feed *Feed) error

// Converter makes a layer that some viewer needs from another, until ctx ends. Video and audio of viewers' own codecs
// never pass here.
type Converter interface {
	// CanConvert reports whether the conversion is possible on this node, and why not.
	CanConvert(from *media.Config, to media.Codec) error
	// Convert reads the layer and writes the other until ctx ends or it fails.
	Convert(ctx context.Context, from *Layer, to *Writer) error
	// Ladder does the same for several smaller pictures at once, in H.264. Their layers' labels are rungs: see ParseRung.
	Ladder(ctx context.Context, from *Layer, to []*Writer) error
}

// Config of a node's media plane.
type Config struct {
	Port      *leg.Port
	Pullers   map[string]Puller // by URL scheme
	Converter Converter         // nil: nothing can be converted
	Changed   func(*Stream)     // told after a stream's state, tracks or existence changed; must not block
	Log       *slog.Logger

	// Feedback, if not nil, is told what each viewer with a choice of layers told, for traces of package bwe. Shards call it: it must not block.
	Feedback func(v *Viewer, f bwe.Feedback)

	// TimelineStart is where streams' clocks start; tests start just below a wrap.
	TimelineStart time.Duration
	// FirstSeq is the extended sequence number of a layer's first packet, for the same reason.
	FirstSeq uint64
}

// SFU is the media plane of one node.
type SFU struct {
	cfg    Config
	shards []*shard
	tasks  sync.WaitGroup // supervisors and conversions
	ctx    context.Context
	stop   context.CancelFunc

	mu      sync.Mutex // guards streams
	streams map[id.Stream]*Stream
}

// New returns a media plane that Run starts.
func New(cfg Config) *SFU {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Changed == nil {
		cfg.Changed = func(*Stream) {}
	}
	s := &SFU{cfg: cfg, streams: map[id.Stream]*Stream{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for i, conn := range cfg.Port.Conns() {
		s.shards = append(s.shards, newShard(i, conn))
	}
	return s
}

// Run sends until ctx ends; then streams end, and everything started has stopped when it returns.
func (s *SFU) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.cfg.Port.Run(ctx) })
	for _, sh := range s.shards {
		g.Go(func() error { sh.run(ctx); return nil })
	}
	g.Go(func() error { s.watch(ctx); return nil })
	<-ctx.Done()
	s.stop()
	s.tasks.Wait()
	return g.Wait()
}

// watch looks after streams whose frames stopped without an error.
func (s *SFU) watch(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, st := range s.Streams() {
				st.checkStall(now)
				st.checkFlow(now)
				if st.deserted(now) {
					s.cfg.Log.Info("stream removed: nobody publishes or watches it", "stream", st.Name)
					s.Remove(st.Name)
				}
			}
		}
	}
}

// Stream finds a stream.
func (s *SFU) Stream(name id.Stream) (*Stream, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.streams[name]
	return st, ok
}

// Streams lists all streams in no order.
func (s *SFU) Streams() []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Stream, 0, len(s.streams))
	for _, st := range s.streams {
		all = append(all, st)
	}
	return all
}

// Declare makes the stream be as the spec says: created, or changed in place. Viewers stay.
func (s *SFU) Declare(name id.Stream, spec Spec) *Stream {
	s.mu.Lock()
	st, ok := s.streams[name]
	if !ok {
		st = newStream(s, name)
		s.streams[name] = st
	}
	s.mu.Unlock()
	st.apply(spec)
	s.cfg.Changed(st)
	return st
}

// Ensure finds a stream, or creates it by the spec: what publishers do, who must not change what is declared.
func (s *SFU) Ensure(name id.Stream, spec Spec) *Stream {
	s.mu.Lock()
	st, ok := s.streams[name]
	if !ok {
		st = newStream(s, name)
		st.spec, st.released = spec, st.Created
		s.streams[name] = st
	}
	s.mu.Unlock()
	if !ok {
		s.cfg.Changed(st)
	}
	return st
}

// Remove ends a stream; its viewers are closed with ErrStreamGone.
func (s *SFU) Remove(name id.Stream) {
	s.mu.Lock()
	st, ok := s.streams[name]
	delete(s.streams, name)
	s.mu.Unlock()
	if ok {
		st.end()
		s.cfg.Changed(st)
	}
}

// Shards are the shards' counts, by shard.
func (s *SFU) Shards() []*ShardStats {
	all := make([]*ShardStats, len(s.shards))
	for i, sh := range s.shards {
		all[i] = &sh.stats
	}
	return all
}

// Schemes of the URLs that can be pulled, sorted.
func (s *SFU) Schemes() []string { return slices.Sorted(maps.Keys(s.cfg.Pullers)) }

// Port is the node's media port.
func (s *SFU) Port() *leg.Port { return s.cfg.Port }

func (s *SFU) timeline() *timeline.Timeline { return timeline.New(time.Now(), s.cfg.TimelineStart) }
