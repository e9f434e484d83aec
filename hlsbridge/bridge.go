package hlsbridge

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"watershed/hlsbridge/archive"
	"watershed/hlsbridge/shield"
	"watershed/sfu"
	"watershed/sfu/id"
)

// Config of a bridge. Durations of zero mean the defaults.
type Config struct {
	SFU *sfu.SFU
	Log *slog.Logger

	Part    time.Duration // ceiling of PART-TARGET: 350 ms
	Segment time.Duration // least length of a segment: 2 s; a second at least, because numbers must not outrun the clock
	Window  time.Duration // of the live playlist: 30 s, and never less than six target durations

	// Access decides whether a request may read a stream; token is that of the path (/t/{token}/hls/...), or "". Its error is what the
	// client gets when it is a *problem.Problem, 401 otherwise. It is called for every request, so it must be quick. nil allows all.
	Access func(r *http.Request, token string, st *sfu.Stream) error

	// Missing is the answer for a stream that is not here, when that should look like one that is somebody else's. nil: not found.
	Missing func(r *http.Request, token, name string) error

	// Hold calls end when what Access allowed is withdrawn, for responses without end; release when that has ended. nil never does.
	Hold func(r *http.Request, token string, st *sfu.Stream, end func(error)) (release func())

	Recordings string        // folder of recordings; "" records nothing
	KeepFor    time.Duration // recordings: a week. This and the next two are for streams that say nothing else
	KeepSize   int64         // of each stream's recording; 0 is as much as the age allows
	DVR        time.Duration // window of dvr.m3u8: two hours

	// Shields are streams that another origin packages: the address of its multivariant playlist. The SFU must know them by name.
	Shields map[id.Stream]string

	// MaxBlocked bounds the requests that wait for one stream's next part; further ones get 503. 0 means 20,000.
	MaxBlocked int

	// Numbers is a folder for what keeps numbers from going back over a restart. "" leaves them to the clock, which is right but for discontinuities.
	Numbers string

	create func(path string) (archive.File, error) // of recordings, for tests: nil is the system's
	again  time.Duration                           // recordAgain, but for tests
	away   time.Duration                           // awayAfter, likewise, as are the next two
	look   time.Duration                           // how often a packager looks whether anybody is there
	linger time.Duration                           // at most, after the last request
}

func (c *Config) defaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Part == 0 {
		c.Part = 350 * time.Millisecond
	}
	if c.Segment == 0 {
		c.Segment = 2 * time.Second
	}
	c.Segment = max(c.Segment, time.Second)
	if c.Window == 0 {
		c.Window = 30 * time.Second
	}
	if c.Access == nil {
		c.Access = func(*http.Request, string, *sfu.Stream) error { return nil }
	}
	if c.Hold == nil {
		c.Hold = func(*http.Request, string, *sfu.Stream, func(error)) func() { return func() {} }
	}
	if c.KeepFor == 0 {
		c.KeepFor = 7 * 24 * time.Hour
	}
	if c.DVR == 0 {
		c.DVR = 2 * time.Hour
	}
	if c.look == 0 {
		c.look, c.linger = time.Second, lingerAlways
	}
	if c.again == 0 {
		c.again = recordAgain
	}
	if c.away == 0 {
		c.away = awayAfter
	}
	if c.MaxBlocked == 0 {
		c.MaxBlocked = 20000
	}
}

// Bridge serves streams as HLS.
type Bridge struct {
	cfg   Config
	ctx   context.Context // of packagers and of requests that wait; ends with Run
	stop  context.CancelFunc
	tasks sync.WaitGroup

	requests requests
	numbers  *numbers

	mu        sync.RWMutex // guards what follows
	packagers map[*sfu.Stream]*packager
	shelves   map[id.Stream]*shelf
	shields   map[id.Stream]*shield.Shield
	closed    bool
}

// New returns a bridge that serves at once. Run must be called so that it ends.
func New(cfg Config) *Bridge {
	cfg.defaults()
	b := &Bridge{cfg: cfg, packagers: map[*sfu.Stream]*packager{}, shelves: map[id.Stream]*shelf{}, numbers: newNumbers(cfg.Numbers, cfg.Log)}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.shields = openShields(cfg.Shields, cfg.Log)
	return b
}

// Run records what is to be recorded until ctx ends; then requests that wait are told to come again, and every packager has stopped when it returns.
func (b *Bridge) Run(ctx context.Context) error {
	if b.cfg.Recordings != "" {
		b.tasks.Go(b.prune)
	}
	b.tasks.Go(func() { b.numbers.run(b.ctx) })
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for ctx.Err() == nil {
		b.startRecordings()
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.tasks.Wait()
	b.numbers.write()
	for _, s := range b.shields {
		s.Close()
	}
	return nil
}

// packager of a stream, started if need be; nil when the bridge has ended.
func (b *Bridge) packager(st *sfu.Stream) *packager {
	b.mu.RLock()
	p := b.packagers[st]
	b.mu.RUnlock()
	if p != nil {
		return p
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.packagers[st]; p != nil || b.closed {
		return p
	}
	p = newPackager(&b.cfg, st, b.numbers)
	b.packagers[st] = p
	b.tasks.Go(func() { b.keep(p) })
	return p
}

// keep runs one packager and forgets it.
func (b *Bridge) keep(p *packager) {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	if b.cfg.Recordings != "" {
		b.tasks.Go(func() { b.record(ctx, p) })
	}
	p.run(ctx)
	cancel() // the recorder ends in its own time: its disk may hang, and the stream goes on
	p.waits.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.packagers, p.stream)
}

// startRecordings has every stream that is to be recorded packaged.
func (b *Bridge) startRecordings() {
	if b.cfg.Recordings == "" {
		return
	}
	for _, st := range b.cfg.SFU.Streams() {
		if st.Status().Spec.Record {
			b.packager(st)
		}
	}
}

// stream by the name in a path.
func (b *Bridge) stream(name string) (*sfu.Stream, bool) {
	full, err := id.ParseStream(name)
	if err != nil {
		return nil, false
	}
	if _, _, ephemeral := full.Room(); ephemeral { // a room's participant is for the room
		return nil, false
	}
	return b.cfg.SFU.Stream(full)
}
