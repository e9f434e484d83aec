package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"watershed/sfu/id"
)

// What a room keeps.
const (
	KeepMessages = 1000
	KeepFor      = 7 * 24 * time.Hour
	DedupeFor    = 10 * time.Minute // within which a client's message id counts once
)

// ErrNoMessage is the answer to a deletion of what is not in the room's history.
var ErrNoMessage = errors.New("there is no such message in the room's history")

// Messages is the state of the group of that name: what people said, in order, once.
type Messages struct {
	halt    *halt
	group   *group
	batcher batcher

	mu       sync.RWMutex // guards what follows; written by Raft's applying goroutine
	epoch    string       // names the history in which offsets count
	clock    int64        // of the last entry, ms
	rooms    map[id.Stream]*history
	seen     map[string]Posted // by dedupe key
	order    []seenAt          // of seen, oldest first
	watchers map[id.Stream]map[chan struct{}]struct{}
}

// history of one room. Messages are never changed, only left out.
type history struct {
	head    uint64 // offset of the newest message ever
	trimmed uint64 // offset of the newest message that was dropped for age or number
	log     []*Message
}

type seenAt struct {
	key string
	at  int64
}

// Posted says where a message is.
type Posted struct {
	Offset   uint64
	MID      string
	At       int64 // ms since 1970
	Repeated bool  // it was there already
}

func newMessages(h *halt) *Messages {
	return &Messages{
		halt: h, batcher: newBatcher(),
		rooms: map[id.Stream]*history{}, seen: map[string]Posted{}, watchers: map[id.Stream]map[chan struct{}]struct{}{},
	}
}

// Epoch names the history: offsets of another epoch mean nothing here.
func (m *Messages) Epoch() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.epoch
}

// Page is a part of a room's history.
type Page struct {
	Epoch    string
	Offset   uint64     // the newest of the room
	Messages []*Message // oldest first; not to be changed
}

// Last reads the newest n messages of a room.
func (m *Messages) Last(room id.Stream, n int) Page {
	m.mu.RLock()
	defer m.mu.RUnlock()
	p := Page{Epoch: m.epoch}
	if h := m.rooms[room]; h != nil {
		log := h.fresh(time.Now())
		p.Offset, p.Messages = h.head, slices.Clone(log[max(0, len(log)-n):])
	}
	return p
}

// Since reads what came after an offset. It is not ok if that is more than limit, if something of it is gone, or if the offset is
// not one of this history.
func (m *Messages) Since(room id.Stream, after uint64, limit int) (p Page, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	p.Epoch = m.epoch
	h := m.rooms[room]
	if h == nil {
		return p, after == 0
	}
	p.Offset = h.head
	i := h.after(after)
	if after > h.head || after < h.trimmed || len(h.log)-i > limit {
		return p, false
	}
	p.Messages = slices.Clone(h.log[i:])
	return p, true
}

// after is the index of the first message behind the offset.
func (h *history) after(offset uint64) int {
	i, found := slices.BinarySearchFunc(h.log, offset, func(m *Message, o uint64) int {
		switch {
		case m.Offset < o:
			return -1
		case m.Offset > o:
			return 1
		}
		return 0
	})
	if found {
		i++
	}
	return i
}

// fresh leaves out what is too old in a room where nobody speaks.
func (h *history) fresh(now time.Time) []*Message {
	oldest := now.Add(-KeepFor).UnixMilli()
	i := 0
	for i < len(h.log) && h.log[i].At < oldest {
		i++
	}
	return h.log[i:]
}

// Seen finds a message that a user has said within DedupeFor, by its client's id.
func (m *Messages) Seen(room id.Stream, user, cid string) (Posted, bool) {
	if cid == "" {
		return Posted{}, false
	}
	p := Post{Room: room, User: user, CID: cid}
	m.mu.RLock()
	defer m.mu.RUnlock()
	was, ok := m.seen[p.dedupeKey()]
	was.Repeated = ok
	return was, ok
}

// Watch returns a channel that is poked after messages of the room were applied, and what ends the watching.
func (m *Messages) Watch(room id.Stream) (poke <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watchers[room] == nil {
		m.watchers[room] = map[chan struct{}]struct{}{}
	}
	m.watchers[room][c] = struct{}{}
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers[room], c)
		if len(m.watchers[room]) == 0 {
			delete(m.watchers, room)
		}
	}
}

// Apply is called by Raft, for one committed entry at a time.
func (m *Messages) Apply(l *raft.Log) any {
	return m.halt.guard(func() (any, error) { return m.apply(l) })
}

func (m *Messages) apply(l *raft.Log) (any, error) {
	cmd, err := decodeCommand(l.Data)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock = max(m.clock, cmd.at.UnixMilli())
	if l.Index%purgeEvery == 0 {
		m.trimLocked()
	}
	switch cmd.kind {
	case kindFound:
		if m.epoch == "" {
			m.epoch = string(cmd.body)
		}
		return nil, nil
	case kindPosts:
		posts, err := decodePosts(cmd.body)
		if err != nil {
			return nil, fmt.Errorf("posts: %w", err)
		}
		return m.postLocked(posts), nil
	}
	return nil, fmt.Errorf("kind %d: %w", cmd.kind, ErrNewer)
}

// outcome of one post.
type outcome struct {
	Posted
	err error
}

func (m *Messages) postLocked(posts []Post) []outcome {
	m.forgetLocked()
	done := make([]outcome, len(posts))
	touched := map[id.Stream]struct{}{}
	for i := range posts {
		done[i].Posted, done[i].err = m.sayLocked(&posts[i])
		touched[posts[i].Room] = struct{}{}
	}
	for room := range touched {
		for c := range m.watchers[room] {
			select {
			case c <- struct{}{}:
			default: // it will look anyway
			}
		}
	}
	return done
}

// dedupeKey of a post. Strings are length-prefixed, so no two posts share one by accident of their letters.
func (p *Post) dedupeKey() string {
	cid := p.CID
	if cid == "" {
		cid = p.mid // proposed twice when a leader was lost
	}
	return string(appendString(appendString(appendString(nil, string(p.Room)), p.User), cid))
}

func (m *Messages) sayLocked(p *Post) (Posted, error) {
	key := p.dedupeKey()
	if was, ok := m.seen[key]; ok {
		was.Repeated = true
		return was, nil
	}
	h := m.rooms[p.Room]
	if h == nil {
		h = &history{}
		m.rooms[p.Room] = h
	}
	msg := &Message{MID: p.mid, CID: p.CID, At: m.clock, Kind: p.Kind, User: p.User, Name: p.Name, Role: p.Role, Text: p.Text}
	if p.Kind == KindDelete {
		if !h.remove(p.Target) {
			return Posted{}, ErrNoMessage
		}
		*msg = Message{MID: p.mid, At: m.clock, Kind: KindDelete, Target: p.Target, By: p.User}
	}
	h.head++
	msg.Offset = h.head
	h.log = append(h.log, msg)
	h.trim(m.clock)
	posted := Posted{Offset: msg.Offset, MID: msg.MID, At: msg.At}
	m.seen[key] = posted
	m.order = append(m.order, seenAt{key, m.clock})
	return posted, nil
}

// remove takes a message out of the history; its tombstone follows.
func (h *history) remove(mid string) bool {
	i := slices.IndexFunc(h.log, func(m *Message) bool { return m.MID == mid && m.Kind != KindDelete })
	if i < 0 {
		return false
	}
	h.log = slices.Delete(h.log, i, i+1)
	return true
}

// trim keeps the room within its bounds.
func (h *history) trim(now int64) {
	oldest := now - KeepFor.Milliseconds()
	drop := max(0, len(h.log)-KeepMessages)
	for drop < len(h.log) && h.log[drop].At < oldest {
		drop++
	}
	if drop > 0 {
		h.trimmed = h.log[drop-1].Offset
		h.log = slices.Delete(h.log, 0, drop)
	}
}

func (m *Messages) trimLocked() {
	for _, h := range m.rooms {
		h.trim(m.clock)
	}
}

// forgetLocked drops client ids that are too old to count.
func (m *Messages) forgetLocked() {
	oldest := m.clock - DedupeFor.Milliseconds()
	n := 0
	for n < len(m.order) && m.order[n].at < oldest {
		delete(m.seen, m.order[n].key)
		n++
	}
	m.order = slices.Delete(m.order, 0, n)
}

// Snapshot is called by Raft between entries. It copies the lists, not the messages.
func (m *Messages) Snapshot() (raft.FSMSnapshot, error) {
	if err := m.halt.reason(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := &Messages{epoch: m.epoch, clock: m.clock, order: slices.Clone(m.order), rooms: map[id.Stream]*history{}, seen: map[string]Posted{}}
	for _, s := range c.order {
		c.seen[s.key] = m.seen[s.key]
	}
	for room, h := range m.rooms {
		c.rooms[room] = &history{head: h.head, trimmed: h.trimmed, log: slices.Clone(h.log)}
	}
	return image(func(w io.Writer) error {
		_, err := w.Write(c.encode())
		return err
	}), nil
}

func (m *Messages) encode() []byte {
	b := []byte{commandVersion}
	b = appendString(b, m.epoch)
	b = binary.AppendUvarint(b, uint64(m.clock))
	b = binary.AppendUvarint(b, uint64(len(m.rooms)))
	for room, h := range m.rooms {
		b = appendString(b, string(room))
		b = binary.AppendUvarint(b, h.head)
		b = binary.AppendUvarint(b, h.trimmed)
		b = binary.AppendUvarint(b, uint64(len(h.log)))
		for _, msg := range h.log {
			b = msg.append(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(m.order)))
	for _, s := range m.order {
		p := m.seen[s.key]
		b = appendString(b, s.key)
		b = binary.AppendUvarint(b, uint64(s.at))
		b = binary.AppendUvarint(b, p.Offset)
		b = appendString(b, p.MID)
		b = binary.AppendUvarint(b, uint64(p.At))
	}
	return b
}

// Restore is called by Raft instead of the entries that the snapshot stands for.
func (m *Messages) Restore(from io.ReadCloser) error {
	defer from.Close()
	b, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("read snapshot of messages: %w", err)
	}
	if len(b) == 0 || b[0] != commandVersion {
		return fmt.Errorf("snapshot of messages: %w", ErrNewer)
	}
	n := newMessages(nil)
	if err := n.decode(b[1:]); err != nil {
		return fmt.Errorf("snapshot of messages: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch, m.clock, m.rooms, m.seen, m.order = n.epoch, n.clock, n.rooms, n.seen, n.order
	return nil
}

func (m *Messages) decode(b []byte) error {
	r := &reader{b: b}
	m.epoch = r.string()
	m.clock = int64(r.number())
	for range r.count(4) {
		room := id.Stream(r.string())
		h := &history{head: r.number(), trimmed: r.number()}
		for range r.count(2 + messageFields) {
			h.log = append(h.log, r.message())
		}
		m.rooms[room] = h
	}
	for range r.count(5) {
		s := seenAt{r.string(), int64(r.number())}
		m.seen[s.key] = Posted{Offset: r.number(), MID: r.string(), At: int64(r.number())}
		m.order = append(m.order, s)
	}
	return r.end()
}

var _ raft.FSM = (*Messages)(nil)
