package room

import (
	"context"
	"errors"
	"time"

	"watershed/cluster"
	"watershed/sfu/id"
)

// Moderation is what staff does. The caller has seen that By may.
type Moderation struct {
	Room id.Stream
	By   string
	User string        // whom it is done to
	For  time.Duration // of a mute or a removal; zero is until lifted
}

// shortest is for how long somebody who is just put out stays out, so that the client's reconnecting does not undo it.
const shortest = 10 * time.Second

// Mute keeps somebody quiet: nothing that they write is taken, and nothing that they say is heard.
func (h *Hub) Mute(ctx context.Context, d Moderation) error { return h.sanction(ctx, d, cluster.Mute) }

// Remove puts somebody out and keeps them out.
func (h *Hub) Remove(ctx context.Context, d Moderation) error {
	if d.For > 0 {
		d.For = max(d.For, shortest)
	}
	return h.sanction(ctx, d, cluster.Remove)
}

func (h *Hub) sanction(ctx context.Context, d Moderation, do string) error {
	if h.staff(d.Room, d.User) {
		return &Refusal{Code: "forbidden", Text: "this is not done to those who moderate here"}
	}
	s := cluster.Sanction{Room: d.Room, User: d.User, Do: do, By: d.By}
	if d.For > 0 {
		s.Until = time.Now().Add(d.For)
	}
	_, err := h.cfg.Decisions.Sanctions.Put(ctx, s)
	return err
}

// Lift ends a sanction (cluster.Mute or Remove); one that is not there is no error.
func (h *Hub) Lift(ctx context.Context, d Moderation, do string) error {
	err := h.cfg.Decisions.Sanctions.Delete(ctx, cluster.SanctionKey(d.Room, d.User, do))
	if errors.Is(err, cluster.ErrNotFound) {
		return nil
	}
	return err
}

// Unpublish ends what somebody publishes into the room.
func (h *Hub) Unpublish(d Moderation) error {
	found := false
	if r, ok := h.find(d.Room); ok {
		r.do(func() {
			found = r.unpublish(d.User, &Refusal{Code: "removed", Text: "a moderator ended what you publish"})
		})
	}
	if !found {
		return &Refusal{Code: "not-found", Text: "this person publishes nothing here"}
	}
	return nil
}

// Delete puts a tombstone in a message's place.
func (h *Hub) Delete(ctx context.Context, d Moderation, mid string) error {
	_, err := h.cfg.Messages.Say(ctx, cluster.Post{Room: d.Room, Kind: cluster.KindDelete, User: d.By, Target: mid})
	if errors.Is(err, cluster.ErrNoMessage) {
		return &Refusal{Code: "not-found", Text: "there is no such message here, or it is deleted already"}
	}
	return err
}

// Notice says something in the room's own voice.
func (h *Hub) Notice(ctx context.Context, d Moderation, text string) error {
	_, err := h.cfg.Messages.Say(ctx, cluster.Post{Room: d.Room, Kind: cluster.KindNotice, User: d.By, Text: text})
	return err
}

// Change some of a room's rules.
func (h *Hub) Change(ctx context.Context, room id.Stream, change func(*cluster.Rules) error) error {
	_, err := h.cfg.Decisions.Rules.Update(ctx, string(room), func(r *cluster.Rules) error {
		if r.Room == "" {
			*r = cluster.DefaultRules(room)
		}
		return change(r)
	})
	return err
}

func (h *Hub) find(name id.Stream) (*Room, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[name]
	return r, ok
}

// staff reports whether the user sits in the room and moderates there.
func (h *Hub) staff(name id.Stream, user string) (yes bool) {
	if r, ok := h.find(name); ok {
		r.do(func() {
			for m := range r.members {
				yes = yes || m.User == user && m.Can.Moderate
			}
		})
	}
	return yes
}

// enforce looks at the sanctions again: who is out goes, who is muted is told.
func (r *Room) enforce() {
	sanctions := r.hub.cfg.Decisions.Sanctions
	for m := range r.members {
		if s, out := sanctions.Find(cluster.SanctionKey(r.name, m.User, cluster.Remove)); out {
			r.unpublish(m.User, removed(s))
			if r.drop(m) {
				m.Out.Left(m, removed(s))
			}
			continue
		}
		r.tellMute(m, false)
	}
	r.silence()
}

// tellMute tells a member when it has become muted, for another time, or is so no longer. Quiet only notes it.
func (r *Room) tellMute(m *Member, quiet bool) {
	s, muted := r.hub.cfg.Decisions.Sanctions.Find(cluster.SanctionKey(r.name, m.User, cluster.Mute))
	frame := sanctionFrame{T: "sanction", Room: r.name, Do: cluster.Mute, Until: Millis(s.Until)}
	switch {
	case muted && (m.muted == nil || !m.muted.until.Equal(s.Until)):
		m.muted = &mute{s.Until}
	case !muted && m.muted != nil:
		m.muted = nil
		frame = sanctionFrame{T: "sanction", Room: r.name, Do: "unmute"}
	default:
		return
	}
	if !quiet {
		m.Out.Send(encode(frame))
	}
}
