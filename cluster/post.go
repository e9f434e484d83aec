package cluster

import (
	"encoding/binary"
	"errors"
	"math"

	"watershed/sfu/id"
)

// Kinds of messages; a plain text has none.
const (
	KindDelete = "delete" // a tombstone for Target
	KindNotice = "notice" // the room's own voice
)

// Post is what somebody wants to say in a room.
type Post struct {
	Room   id.Stream
	Kind   string
	CID    string // the client's own id of it: the same one again within DedupeFor is the same message. "" is never the same
	User   string
	Name   string
	Role   string
	Text   string
	Target string // of KindDelete: the message's MID

	mid string
}

// Message is what was said. Its JSON is what clients get.
type Message struct {
	Offset uint64 `json:"offset"` // place in its room; grows, not always by one
	MID    string `json:"mid"`    // its own id, nowhere given again
	CID    string `json:"cid,omitempty"`
	At     int64  `json:"at"` // ms since 1970, by the leader's clock, never before the message before
	Kind   string `json:"kind,omitempty"`
	User   string `json:"user,omitempty"`
	Name   string `json:"name,omitempty"`
	Role   string `json:"role,omitempty"`
	Text   string `json:"text,omitempty"`
	Target string `json:"target,omitempty"`
	By     string `json:"by,omitempty"` // of a tombstone
}

var errCut = errors.New("cut short or not well formed")

// The encoding of entries and snapshots: numbers are uvarints, strings and lists have their length before them.

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader reads the encoding; after the first error everything is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errCut
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errCut
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// count reads the length of a list whose elements have at least min bytes, so that a wrong number cannot make us allocate much.
func (r *reader) count(min int) int {
	n := r.number()
	if n > uint64(len(r.b)/min) || n > math.MaxInt32 {
		r.b, r.err = nil, errCut
		return 0
	}
	return int(n)
}

// end is the error of the whole, which must be used up.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		return errCut
	}
	return r.err
}

const postFields = 9

func (p *Post) fields() [postFields]*string {
	return [...]*string{(*string)(&p.Room), &p.Kind, &p.CID, &p.User, &p.Name, &p.Role, &p.Text, &p.Target, &p.mid}
}

func encodePosts(posts []*Post) []byte {
	b := binary.AppendUvarint(nil, uint64(len(posts)))
	for _, p := range posts {
		for _, f := range p.fields() {
			b = appendString(b, *f)
		}
	}
	return b
}

func decodePosts(b []byte) ([]Post, error) {
	r := &reader{b: b}
	posts := make([]Post, r.count(postFields))
	for i := range posts {
		for _, f := range posts[i].fields() {
			*f = r.string()
		}
	}
	return posts, r.end()
}

const messageFields = 9

func (m *Message) fields() [messageFields]*string {
	return [...]*string{&m.MID, &m.CID, &m.Kind, &m.User, &m.Name, &m.Role, &m.Text, &m.Target, &m.By}
}

func (m *Message) append(b []byte) []byte {
	b = binary.AppendUvarint(b, m.Offset)
	b = binary.AppendUvarint(b, uint64(m.At))
	for _, f := range m.fields() {
		b = appendString(b, *f)
	}
	return b
}

func (r *reader) message() *Message {
	m := &Message{Offset: r.number(), At: int64(r.number())}
	for _, f := range m.fields() {
		*f = r.string()
	}
	return m
}
