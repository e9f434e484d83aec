package room

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"watershed/cluster"
	"watershed/sfu"
	"watershed/sfu/id"
)

// Config of the rooms of a node.
type Config struct {
	Decisions *cluster.Decisions
	Messages  *cluster.Messages
	Streams   func(id.Stream) (*sfu.Stream, bool) // those of the node, for presence
	Log       *slog.Logger
}

// Hub has the rooms in which somebody sits.
type Hub struct {
	cfg   Config
	tasks sync.WaitGroup

	mu    sync.Mutex // guards rooms and their refs
	rooms map[id.Stream]*Room
}

// NewHub returns a hub without rooms.
func NewHub(cfg Config) *Hub {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Hub{cfg: cfg, rooms: map[id.Stream]*Room{}}
}

// enter finds a room or opens it, and keeps it alive until release.
func (h *Hub) enter(name id.Stream) *Room {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[name]
	if !ok {
		r = newRoom(h, name)
		h.rooms[name] = r
		h.tasks.Go(r.run)
	}
	r.refs++
	return r
}

func (h *Hub) release(r *Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.refs--; r.refs == 0 {
		if h.rooms[r.name] == r {
			delete(h.rooms, r.name)
		}
		close(r.empty)
	}
}

// forget a room that has failed: who joins now gets another.
func (h *Hub) forget(r *Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rooms[r.name] == r {
		delete(h.rooms, r.name)
	}
}

// Names of the rooms that are open.
func (h *Hub) Names() []id.Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.rooms))
}

// Count of people as presence tells it; not ok if no socket sits in the room.
func (h *Hub) Count(name id.Stream) (n int, ok bool) {
	r, ok := h.find(name)
	ok = ok && r.do(func() { n = r.count() })
	return n, ok
}

// Rules of a room: its own or the default.
func (h *Hub) Rules(name id.Stream) cluster.Rules {
	if r, ok := h.cfg.Decisions.Rules.Find(string(name)); ok {
		return r
	}
	return cluster.DefaultRules(name)
}

// Wait until the last room is closed, which is when the last member has left.
func (h *Hub) Wait() { h.tasks.Wait() }
