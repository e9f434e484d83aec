package room

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"watershed/cluster"
	"watershed/signaling/chat"
)

// Limits of talking. Staff has none.
const (
	personRate, personBurst = 1, 5   // messages a second of one person: faster than anybody types
	roomRate, roomBurst     = 20, 40 // of one room: more cannot be read
	commitWithin            = 5 * time.Second
	SlowMax                 = 3600 // seconds that Rules.Slow may have
)

// floor is who may speak when.
type floor struct {
	mu     sync.Mutex // guards what follows
	room   chat.Bucket
	people map[string]*speaker
}

type speaker struct {
	bucket chat.Bucket
	last   time.Time // said something that was let through
}

func newFloor() floor {
	return floor{room: chat.Bucket{Rate: roomRate, Burst: roomBurst}, people: map[string]*speaker{}}
}

// take lets somebody speak now, or says why not.
func (f *floor) take(user string, slow time.Duration, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.people[user]
	if s == nil {
		f.forget(now)
		s = &speaker{bucket: chat.Bucket{Rate: personRate, Burst: personBurst}}
		f.people[user] = s
	}
	if wait := slow - now.Sub(s.last); !s.last.IsZero() && wait > 0 {
		return &Refusal{Code: "slow", Text: fmt.Sprintf("wait %d s between messages here", int(slow/time.Second)), Retry: wait}
	}
	if wait, ok := s.bucket.Take(now); !ok {
		return &Refusal{Code: "rate", Text: "you say too much at once", Retry: wait}
	}
	if wait, ok := f.room.Take(now); !ok {
		return &Refusal{Code: "rate", Text: "too many speak in this room just now", Retry: wait}
	}
	s.last = now
	return nil
}

// forget those for whom no limit counts any more, now and then.
func (f *floor) forget(now time.Time) {
	if len(f.people) < 1000 || len(f.people)%1000 != 0 {
		return
	}
	for user, s := range f.people {
		if s.bucket.Idle(now) && now.Sub(s.last) > SlowMax*time.Second {
			delete(f.people, user)
		}
	}
}

// Say puts a member's message into the room's history and returns when it is committed. Refusals are errors of type *Refusal.
func (m *Member) Say(ctx context.Context, cid, text string) (cluster.Posted, error) {
	h := m.room.hub
	if done, ok := h.cfg.Messages.Seen(m.room.name, m.User, cid); ok {
		return done, nil // said before the connection broke: no limit counts it twice
	}
	text, err := chat.Text(text)
	switch {
	case errors.Is(err, chat.ErrTooLong):
		return cluster.Posted{}, &Refusal{Code: "too-long", Text: err.Error()}
	case err != nil:
		return cluster.Posted{}, &Refusal{Code: "empty", Text: err.Error()}
	}
	if err := m.maySay(time.Now()); err != nil {
		return cluster.Posted{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	done, err := h.cfg.Messages.Say(ctx, cluster.Post{Room: m.room.name, CID: cid, User: m.User, Name: m.Name, Role: m.Role, Text: text})
	if errors.Is(err, cluster.ErrBusy) {
		return done, &Refusal{Code: "busy", Text: "the message could not be written in time: send it again with the same cid", Retry: time.Second}
	}
	return done, err
}

// maySay asks sanctions, rules and limits, in this order.
func (m *Member) maySay(now time.Time) error {
	h, name := m.room.hub, m.room.name
	if s, ok := h.cfg.Decisions.Sanctions.Find(cluster.SanctionKey(name, m.User, cluster.Mute)); ok {
		f := &Refusal{Code: "muted", Text: "a moderator has muted you in this room", Until: s.Until}
		if !s.Until.IsZero() {
			f.Retry = s.Until.Sub(now)
		}
		return f
	}
	if err := h.Removed(name, m.User); err != nil {
		return err
	}
	if m.Can.Moderate {
		return nil
	}
	rules := h.Rules(name)
	switch {
	case !rules.Chat:
		return &Refusal{Code: "chat-off", Text: "the chat of this room is switched off"}
	case m.Guest && !rules.Guests:
		return &Refusal{Code: "forbidden", Text: "guests may only read here; come with a token to talk"}
	}
	return m.room.floor.take(m.User, time.Duration(rules.Slow)*time.Second, now)
}
