package socket

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"watershed/cluster"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/whip"
	"watershed/signaling/access"
	"watershed/signaling/problem"
	"watershed/signaling/room"
	"watershed/signaling/turn"
)

// Protocol is the subprotocol's name.
const Protocol = "watershed.v1"

// Config of the sockets of a node.
type Config struct {
	SFU        *sfu.SFU
	Publishers *whip.Server
	Access     *access.Access
	Admit      ingest.Admit // to declared streams
	Decisions  *cluster.Decisions
	Messages   *cluster.Messages
	Secret     []byte // signs the keys by which guests are known again; the same on all nodes. Empty: made for this process
	Node       string
	Version    string
	Max        int          // sockets; 0 is 50,000
	TURN       *turn.Server // nil: no relay

	// Describe is a stream as REST shows it to somebody. It may differ between those who may see the stream's source and those who may not, and not
	// otherwise. Nil: name and state.
	Describe func(p *access.Principal, st *sfu.Stream) any

	Log *slog.Logger
}

// Server accepts sockets.
type Server struct {
	cfg     Config
	rooms   *room.Hub
	guests  guests
	events  *events
	conns   sync.WaitGroup
	metrics metrics

	helloWithin, silence time.Duration // of clients; tests give slow machines more

	mu       sync.Mutex // guards what follows
	open     map[*conn]struct{}
	stopping bool
}

// New returns a server that Run completes.
func New(cfg Config) *Server {
	if cfg.Max == 0 {
		cfg.Max = 50_000
	}
	if len(cfg.Secret) == 0 {
		cfg.Secret = make([]byte, 32)
		rand.Read(cfg.Secret) // never fails since Go 1.24
	}
	if cfg.Describe == nil {
		cfg.Describe = describe
	}
	s := &Server{cfg: cfg, guests: newGuests(cfg.Secret), metrics: newMetrics(), helloWithin: helloWithin, silence: silence, open: map[*conn]struct{}{}}
	s.rooms = room.NewHub(room.Config{Decisions: cfg.Decisions, Messages: cfg.Messages, Streams: cfg.SFU.Stream, Log: cfg.Log})
	s.events = newEvents(s)
	return s
}

// Rooms that are open on this node.
func (s *Server) Rooms() *room.Hub { return s.rooms }

// Sockets counts those that are open.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// StreamChanged tells those who watch streams; it never waits.
func (s *Server) StreamChanged(st *sfu.Stream) { s.events.note(st) }

// ServeHTTP upgrades GET /ws and serves the socket until it ends.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if offered := r.Header.Values("Sec-WebSocket-Protocol"); len(offered) > 0 && !offers(offered, Protocol) {
		problem.New(http.StatusBadRequest, "Unknown subprotocol", "offer the WebSocket subprotocol "+Protocol).Write(w)
		return
	}
	switch {
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		w.Header().Set("Upgrade", "websocket")
		problem.New(http.StatusUpgradeRequired, "Not a WebSocket", "open this address as a WebSocket with the subprotocol "+Protocol).Write(w)
		return
	case !s.cfg.Access.OriginAllowed(r):
		problem.New(http.StatusForbidden, "Foreign page", "pages of this origin may not open sockets here; http.origins of the configuration lists those that may").Write(w)
		return
	}
	c := newConn(s, r)
	if !s.admit(c) {
		p := problem.New(http.StatusServiceUnavailable, "No room for sockets", "this node is full or stopping: try another, or again later")
		p.RetryAfter = 5 * time.Second
		p.Write(w)
		return
	}
	defer s.forget(c)
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Protocol}, InsecureSkipVerify: true}) // of the origin, which Access has seen
	if err != nil {
		return // Accept has answered
	}
	ws.SetReadLimit(maxDrain)
	c.serve(ws)
}

func offers(headers []string, protocol string) bool {
	return slices.ContainsFunc(headers, func(h string) bool {
		for p := range strings.SplitSeq(h, ",") {
			if strings.TrimSpace(p) == protocol {
				return true
			}
		}
		return false
	})
}

func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || len(s.open) >= s.cfg.Max {
		return false
	}
	s.open[c] = struct{}{}
	s.conns.Add(1)
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	s.conns.Done()
}

// goAwayFrame spreads those who must leave over four seconds: a node that starts again in the meantime is not run over.
var goAwayFrame = []byte(`{"t":"go-away","after":500,"jitter":3500}`)

// Run serves events of streams until ctx ends; then every socket is told to go away and closed. Nothing is left when it returns, which takes
// at most about closeWithin.
func (s *Server) Run(ctx context.Context) error {
	s.events.run(ctx)
	s.mu.Lock()
	s.stopping = true
	all := make([]*conn, 0, len(s.open))
	for c := range s.open {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.Send(goAwayFrame)
		c.end(int(websocket.StatusGoingAway), "the node is stopping")
	}
	s.conns.Wait()
	s.rooms.Wait()
	return nil
}

// describe is what of a stream anybody may know who may watch it.
func describe(_ *access.Principal, st *sfu.Stream) any {
	v := st.Status()
	return struct {
		Name    id.Stream      `json:"name"`
		Tenant  string         `json:"tenant"`
		Public  bool           `json:"public"`
		State   sfu.State      `json:"state"`
		Reason  sfu.Reason     `json:"reason"`
		Since   int64          `json:"since"`
		Created int64          `json:"created"`
		Viewers map[string]int `json:"viewers"`
	}{st.Name, st.Name.Tenant(), v.Spec.Public, v.State, v.Reason, v.Since.UnixMilli(), st.Created.UnixMilli(), v.Viewers}
}
