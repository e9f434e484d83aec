package socket

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/token"
)

const (
	eventEvery   = time.Second     // how often one stream is told of at most
	figuresEvery = 5 * time.Second // the same, when nothing but its figures changed: bit rate, pictures a second
)

// events tells sockets that watch streams what changed. Its goroutine is Server.Run's.
type events struct {
	server *Server
	poke   chan struct{} // one slot

	mu       sync.Mutex // guards what follows
	dirty    map[id.Stream]struct{}
	watchers map[*conn][]string // patterns

	told map[id.Stream]*toldStream // run's own
}

// toldStream is what was last told of a stream.
type toldStream struct {
	at      time.Time
	look    string // what is told at once when it changes
	public  bool
	present bool // in this round
}

func newEvents(s *Server) *events {
	return &events{
		server: s, poke: make(chan struct{}, 1),
		dirty: map[id.Stream]struct{}{}, watchers: map[*conn][]string{}, told: map[id.Stream]*toldStream{},
	}
}

// note that a stream changed.
func (e *events) note(st *sfu.Stream) {
	e.mu.Lock()
	e.dirty[st.Name] = struct{}{}
	e.mu.Unlock()
	select {
	case e.poke <- struct{}{}:
	default:
	}
}

func (e *events) unwatch(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.watchers, c)
}

func (e *events) run(ctx context.Context) {
	tick := time.NewTicker(eventEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.poke:
			e.soon()
		case <-tick.C: // viewers come and go without a note
			e.all()
		}
	}
}

// snapshot of who watches, and with take of what changed.
func (e *events) snapshot(take bool) (watchers map[*conn][]string, dirty map[id.Stream]struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	watchers = make(map[*conn][]string, len(e.watchers))
	for c, p := range e.watchers {
		watchers[c] = p
	}
	if take {
		dirty, e.dirty = e.dirty, map[id.Stream]struct{}{}
	}
	return watchers, dirty
}

// soon tells of what changed if nothing was told of it for a while; the rest waits for the next tick.
func (e *events) soon() {
	watchers, dirty := e.snapshot(true)
	for name := range dirty {
		if t := e.told[name]; len(watchers) > 0 && (t == nil || time.Since(t.at) >= eventEvery) {
			if st, ok := e.server.cfg.SFU.Stream(name); ok {
				e.contain(name, func() { e.tell(watchers, st) })
			}
		}
	}
}

// all looks at every stream.
func (e *events) all() {
	watchers, _ := e.snapshot(true)
	if len(watchers) == 0 {
		clear(e.told)
		return
	}
	for _, t := range e.told {
		t.present = false
	}
	for _, st := range e.server.cfg.SFU.Streams() {
		e.contain(st.Name, func() { e.tell(watchers, st) })
	}
	for name, t := range e.told {
		if !t.present {
			delete(e.told, name)
			e.contain(name, func() { e.gone(watchers, name, t.public) })
		}
	}
}

// contain what fails with one stream: the others are told of.
func (e *events) contain(name id.Stream, do func()) {
	defer func() {
		if r := recover(); r != nil {
			e.server.cfg.Log.Error("panic in telling of a stream", "stream", name, "panic", r, "stack", string(debug.Stack()))
		}
	}()
	do()
}

// tell the watchers of a stream if it looks different from what was told.
func (e *events) tell(watchers map[*conn][]string, st *sfu.Stream) {
	if _, _, ephemeral := st.Name.Room(); ephemeral {
		return
	}
	t := e.told[st.Name]
	if t == nil {
		t = &toldStream{}
		e.told[st.Name] = t
	}
	t.present = true
	look := lookOf(st)
	if look == t.look && time.Since(t.at) < figuresEvery {
		return
	}
	t.look, t.at, t.public = look, time.Now(), st.Spec().Public
	var frames [2][]byte // for those who may not and may see its source
	for c, patterns := range watchers {
		i := c.sees(st.Name, patterns)
		if i < 0 {
			continue
		}
		if frames[i] == nil {
			frames[i] = e.encode(c.who, st)
		}
		c.Send(frames[i])
	}
}

// lookOf a stream is everything of it that a page shows in words.
func lookOf(st *sfu.Stream) string {
	s := st.Status()
	var b strings.Builder
	fmt.Fprint(&b, s.State, s.Reason, s.Message, s.Since.UnixNano(), s.Spec, s.Viewers)
	for _, t := range s.Tracks {
		for _, l := range t.Layers() {
			cfg := l.Config()
			fmt.Fprint(&b, t.Kind, l.Label, l.Codec, cfg.Width, cfg.Height)
		}
	}
	return b.String()
}

func (e *events) encode(p *access.Principal, st *sfu.Stream) []byte {
	text, err := json.Marshal(e.server.cfg.Describe(p, st))
	if err != nil {
		e.server.cfg.Log.Error("describe stream", "stream", st.Name, "err", err)
		text = []byte("null")
	}
	return frame("stream", nil, struct {
		Stream json.RawMessage `json:"stream"`
	}{text})
}

// gone tells those who could see the stream.
func (e *events) gone(watchers map[*conn][]string, name id.Stream, public bool) {
	b := frame("stream-gone", nil, struct {
		Name id.Stream `json:"name"`
	}{name})
	for c, patterns := range watchers {
		saw := public || e.server.cfg.Access.May(c.who, access.Watch, name) == nil
		if saw && c.who.Of(name.Tenant()) && token.MatchAny(patterns, name.Name()) {
			c.Send(b)
		}
	}
}

// sees is which view of a stream the socket gets: -1 none, 0 as viewers, 1 with its source.
func (c *conn) sees(name id.Stream, patterns []string) int {
	a := c.server.cfg.Access
	switch {
	case !token.MatchAny(patterns, name.Name()) || !a.Sees(c.who, name):
		return -1
	case a.May(c.who, access.Source, name) == nil:
		return 1
	}
	return 0
}

// maxPatterns of one watch.
const maxPatterns = 100

// watch begins events of streams, or changes of which.
func (c *conn) watch(r *request) error {
	var f struct {
		Streams []string `json:"streams"`
	}
	if err := r.into(&f); err != nil {
		return err
	}
	if len(f.Streams) > maxPatterns {
		return bad("streams", "at most %d patterns", maxPatterns)
	}
	for _, p := range f.Streams { // each is tried on every stream, every second
		if err := token.CheckPattern(p); err != nil {
			return bad("streams", "%v", err)
		}
	}
	e := c.server.events
	e.mu.Lock()
	if len(f.Streams) == 0 {
		delete(e.watchers, c)
	} else {
		e.watchers[c] = f.Streams
	}
	e.mu.Unlock()
	list := []any{}
	for _, st := range c.server.cfg.SFU.Streams() {
		_, _, ephemeral := st.Name.Room()
		if !ephemeral && c.sees(st.Name, f.Streams) >= 0 {
			list = append(list, c.server.cfg.Describe(c.who, st))
		}
	}
	c.reply(r, "watching", struct {
		Streams []any `json:"streams"`
	}{list})
	return nil
}
