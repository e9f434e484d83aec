package rest

import (
	"context"
	"errors"
	"time"

	"watershed/sfu"
	"watershed/sfu/id"
)

// Stored is a stream that the API made.
type Stored struct {
	Name    id.Stream
	Title   string
	By      string // who wrote it last
	Spec    sfu.Spec
	Version uint64 // grows with each change; 0 is not stored yet
	Created time.Time
}

// Errors of a Streams or Rooms.
var (
	ErrConflict = errors.New("somebody else changed it meanwhile")
	ErrNotFound = errors.New("there is no such record")
	ErrNoLeader = errors.New("the cluster cannot decide now")
)

// Streams are the records of streams, the same on all nodes: decisions of package cluster, joined in cmd.
type Streams interface {
	Find(name id.Stream) (Stored, bool)
	All() []Stored
	// Put writes a record whose version is still what it says, or fails with ErrConflict.
	Put(ctx context.Context, s Stored) (Stored, error)
	Delete(ctx context.Context, name id.Stream, version uint64) error // likewise
	Watch(ctx context.Context, changed func())                        // calls it once, then after every change, until ctx ends
}

// Rooms are the rules of rooms, and who is there.
type Rooms interface {
	All() []id.Stream // with rules of their own, or with people on this node
	Rules(room id.Stream) (r RoomRules, own bool)
	SetRules(ctx context.Context, room id.Stream, r RoomRules) (RoomRules, error)
	Count(room id.Stream) int // people, here
}

// Viewers are the sessions of this node.
type Viewers interface {
	Viewers(stream id.Stream) []Viewer
	Kick(stream id.Stream, viewer string, reason error) bool
}
