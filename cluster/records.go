package cluster

import (
	"maps"
	"slices"
	"time"

	"watershed/sfu"
	"watershed/sfu/id"
)

// Stream is a stream that the API created, or that a publisher's token may create.
type Stream struct {
	Meta
	Name   id.Stream `json:"name"` // the key
	Title  string    `json:"title,omitempty"`
	Origin string    `json:"origin"` // api or push
	By     string    `json:"by,omitempty"`
	Spec   sfu.Spec  `json:"spec"` // inputs may hold credentials: whoever writes them seals them (package seal)
}

func (s *Stream) key() string        { return string(s.Name) }
func (s *Stream) expires() time.Time { return time.Time{} }
func (s *Stream) clone() Stream {
	c := *s
	c.Spec.Inputs = slices.Clone(s.Spec.Inputs)
	c.Spec.Ladder = slices.Clone(s.Spec.Ladder)
	return c
}

// Rules of a room.
type Rules struct {
	Meta
	Room    id.Stream `json:"room"`    // the key: every stream has the room of its own name
	Chat    bool      `json:"chat"`    // off: only staff talks
	Guests  bool      `json:"guests"`  // people without a token may talk
	Slow    int       `json:"slow"`    // seconds between one person's messages
	Publish string    `json:"publish"` // PublishToken or PublishGuests
}

// Who may publish into a room.
const (
	PublishToken  = "token"  // role publisher and above
	PublishGuests = "guests" // everybody in the room
)

// DefaultRules are those of rooms that have none of their own.
func DefaultRules(room id.Stream) Rules {
	return Rules{Room: room, Chat: true, Guests: true, Publish: PublishToken}
}

func (r *Rules) key() string        { return string(r.Room) }
func (r *Rules) expires() time.Time { return time.Time{} }
func (r *Rules) clone() Rules       { return *r }

// Sanction keeps one person quiet in, or out of, one room.
type Sanction struct {
	Meta
	Room  id.Stream `json:"room"`
	User  string    `json:"user"`
	Do    string    `json:"do"`    // Mute or Remove
	Until time.Time `json:"until"` // zero: until lifted
	By    string    `json:"by"`
}

// What sanctions do.
const (
	Mute   = "mute"
	Remove = "remove"
)

// SanctionKey of a person in a room.
func SanctionKey(room id.Stream, user, do string) string { return string(room) + " " + do + " " + user }

func (s *Sanction) key() string        { return SanctionKey(s.Room, s.User, s.Do) }
func (s *Sanction) expires() time.Time { return s.Until }
func (s *Sanction) clone() Sanction    { return *s }

// Revocation ends a token before its time.
type Revocation struct {
	Meta
	ID    string    `json:"id"`    // jti, the key
	Until time.Time `json:"until"` // the token's own end, after which nobody need remember; zero: for ever
	By    string    `json:"by,omitempty"`
}

func (r *Revocation) key() string        { return r.ID }
func (r *Revocation) expires() time.Time { return r.Until }
func (r *Revocation) clone() Revocation  { return *r }

// Key lets its bearer publish one stream.
type Key struct {
	Meta
	ID     string    `json:"id"` // the key of the table; not secret
	Stream id.Stream `json:"stream"`
	Hash   string    `json:"hash"` // of the stream key; whoever checks keys says how it is made
	Name   string    `json:"name,omitempty"`
	By     string    `json:"by,omitempty"`
	Until  time.Time `json:"until"` // zero: until deleted
}

func (k *Key) key() string        { return k.ID }
func (k *Key) expires() time.Time { return k.Until }
func (k *Key) clone() Key         { return *k }

// SigningKey says what is known in public of a key that signs tokens; the secret is elsewhere.
type SigningKey struct {
	Meta
	ID        string    `json:"id"`  // kid, the key of the table
	Use       string    `json:"use"` // jwt or path
	Algorithm string    `json:"algorithm"`
	From      time.Time `json:"from"`  // signs from here on
	Until     time.Time `json:"until"` // verified until then; zero: until deleted
}

func (k *SigningKey) key() string        { return k.ID }
func (k *SigningKey) expires() time.Time { return k.Until }
func (k *SigningKey) clone() SigningKey  { return *k }

// Member is a node's line in the address book.
type Member struct {
	Meta
	ID        string            `json:"id"`        // of the node, the key
	Addresses map[string]string `json:"addresses"` // by what is reached there; "raft" for the groups
	Version   string            `json:"version"`
}

func (m *Member) key() string        { return m.ID }
func (m *Member) expires() time.Time { return time.Time{} }
func (m *Member) clone() Member {
	c := *m
	c.Addresses = maps.Clone(m.Addresses)
	return c
}
