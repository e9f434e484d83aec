package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"watershed/sfu/id"
)

// Records are what all nodes must know at once about credentials: the decisions of package cluster, joined in cmd.
type Records interface {
	// Revoked reports whether a credential (Principal.Handle) was ended before its time.
	Revoked(handle string) bool
	Revoke(ctx context.Context, r Revocation) error

	Key(id string) (Key, bool)
	Keys(stream id.Stream) []Key
	PutKey(ctx context.Context, k Key) error
	DeleteKey(ctx context.Context, id string) error

	// PathKeys are the ids of keys that path tokens may have, newest first. Without any, the first is FirstPathKey.
	PathKeys() []PathKey
	PutPathKey(ctx context.Context, k PathKey) error
	DeletePathKey(ctx context.Context, id string) error

	// Watch calls changed after every change of these, and of what Config.Removed tells, until ctx ends, and once at the beginning.
	Watch(ctx context.Context, changed func())
}

// Revocation ends a token.
type Revocation struct {
	Handle string
	Until  time.Time // when the token would end by itself; zero if not known
	By     string
}

// Key lets its bearer publish one stream. The secret itself is nowhere.
type Key struct {
	ID      string    `json:"id"`
	Stream  id.Stream `json:"stream"`
	Hash    string    `json:"-"`
	Name    string    `json:"name,omitempty"`
	By      string    `json:"by,omitempty"`
	Created time.Time `json:"created"`
	Until   time.Time `json:"until,omitzero"` // zero: until deleted
}

// PathKey is a key of path tokens; its secret is derived from the installation's (token.PathKey).
type PathKey struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
}

// FirstPathKey is the key of an installation that never changed it.
const FirstPathKey = "k1"

// keyBytes make a stream key of 16 characters: 80 random bits cannot be guessed, so a plain hash hides them, and 16 characters can be typed
// into a camera.
const keyBytes = 10

// newKey makes a stream key, and the record to keep.
func newKey(stream id.Stream, now time.Time) (secret string, k Key) {
	secret = id.Random(keyBytes)
	h := hashKey(secret)
	return secret, Key{ID: h[:12], Stream: stream, Hash: h, Created: now}
}

// hashKey is what is kept of a stream key. Its beginning is the key's id, so that finding one needs no search.
func hashKey(secret string) string {
	h := sha256.Sum256([]byte("watershed stream key " + secret))
	return hex.EncodeToString(h[:])
}
