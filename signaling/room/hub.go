package room

import (
	"log/slog"
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
func NewHub(cfg Config) *Hub { return &Hub{cfg: cfg, rooms: map[id.Stream]*Room{}} }

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
		delete(h.rooms, r.name)
		close(r.empty)
	}
}

// Counts of people by room, as presence tells them; rooms in which no socket sits are left out.
func (h *Hub) Counts() map[id.Stream]int {
	h.mu.Lock()
	all := make(map[id.Stream]*Room, len(h.rooms))
	for name, r := range h.rooms {
		all[name] = r
	}
	h.mu.Unlock()
	counts := make(map[id.Stream]int, len(all))
	for name, r := range all {
		r.do(func() { counts[name] = r.count() })
	}
	return counts
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
