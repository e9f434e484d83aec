package room

import (
	"runtime/debug"
	"slices"
	"time"

	"watershed/cluster"
	"watershed/sfu/id"
)

const (
	flushEvery    = 100 * time.Millisecond // messages go out at once when none went for so long, else together
	presenceEvery = 2 * time.Second
	historyOnJoin = 50
	resumeMax     = 300 // missed messages; more is not a resume
	notTold       = -1  // the count that all have heard, when they have heard different ones
	peopleMax     = 100 // who publish or moderate, of whom the others are told
)

// Outlet is a member's socket. Its methods are called by the room's goroutine and never wait.
type Outlet interface {
	Send(frame []byte)
	// Left says that the room has put the member out.
	Left(m *Member, reason *Refusal)
	// Broken says that the room has ended by an error of ours: who comes back finds a new one with the same history.
	Broken()
}

// Member is one socket in one room.
type Member struct {
	User  string
	Name  string
	Role  string
	Guest bool
	Can   Can // by token and rules when joining; Moderate makes staff
	Out   Outlet

	room    *Room
	playing string // protocol by which the client says that it watches the room's stream
	bound   bool   // watches it over the socket
	muted   *mute  // as last told
	shown   bool   // others know of this one
}

type mute struct{ until time.Time }

// Room is one room on this node. Its fields belong to run, but for those that say otherwise.
type Room struct {
	hub     *Hub
	name    id.Stream
	refs    int           // members and those about to join; guarded by hub.mu
	empty   chan struct{} // closed when refs came to 0
	ended   chan struct{} // closed when run has returned
	actions chan func()
	floor   floor // has a lock of its own

	members    map[*Member]struct{}
	people     map[string]*shown // by user
	toldPeople int               // of people
	both       map[string]int    // members who are among the stream's viewers, by protocol
	published  map[id.Stream]*Publication
	sent       uint64 // offset up to which members have everything
	flushed    time.Time
	told       int // count as last told
	toldAt     time.Time
	rules      Rules
	speakers   speakers
	listening  <-chan time.Time // the next look at them; nil while nobody publishes
}

func newRoom(h *Hub, name id.Stream) *Room {
	return &Room{
		hub: h, name: name, empty: make(chan struct{}), ended: make(chan struct{}), actions: make(chan func()), floor: newFloor(),
		members: map[*Member]struct{}{}, people: map[string]*shown{}, both: map[string]int{}, published: map[id.Stream]*Publication{},
	}
}

// do runs something on the room's goroutine and waits for it; false if the room has closed, or broke by it.
func (r *Room) do(action func()) (done bool) {
	ended := make(chan struct{})
	select {
	case r.actions <- func() { defer close(ended); action(); done = true }:
		<-ended
		return done
	case <-r.ended:
		return false
	}
}

func (r *Room) run() {
	defer close(r.ended)
	defer r.survive()
	d := r.hub.cfg.Decisions
	poke, stop := r.hub.cfg.Messages.Watch(r.name)
	defer stop()
	r.sent = r.hub.cfg.Messages.Last(r.name, 0).Offset
	rules, sanctions := d.Rules.Changed(), d.Sanctions.Changed()
	r.rules = RulesOf(r.hub.Rules(r.name))
	tick := time.NewTicker(presenceEvery)
	defer tick.Stop()
	var flush <-chan time.Time
	for {
		select {
		case action := <-r.actions:
			action()
		case <-poke:
			if flush == nil {
				flush = time.After(flushEvery - min(flushEvery, time.Since(r.flushed)))
			}
		case <-flush:
			flush = nil
			r.flush()
		case <-tick.C:
			r.tellCount()
			r.silence() // a mute ends by itself, without a decision
		case <-r.listening:
			r.hear()
		case <-rules:
			rules = d.Rules.Changed()
			r.tellRules()
		case <-sanctions:
			sanctions = d.Sanctions.Changed()
			r.enforce()
		case <-r.empty:
			return
		}
	}
}

// survive ends the room, not the node, when something of ours failed in it: what it holds may no longer be true. Its members come back to a new
// one, and what they publish ends with their sockets.
func (r *Room) survive() {
	failure := recover()
	if failure == nil {
		return
	}
	r.hub.cfg.Log.Error("panic in a room", "room", r.name, "panic", failure, "stack", string(debug.Stack()))
	r.hub.forget(r)
	for m := range r.members {
		r.farewell(m)
	}
}

// farewell tells one member, whose own failure keeps it from none of the others.
func (r *Room) farewell(m *Member) {
	defer func() {
		if failure := recover(); failure != nil {
			r.hub.cfg.Log.Error("panic in telling of a panic", "room", r.name, "panic", failure)
		}
	}()
	m.Out.Broken()
}

// broadcast sends one frame, encoded once, to all members.
func (r *Room) broadcast(frame any) {
	if len(r.members) == 0 {
		return
	}
	b := encode(frame)
	for m := range r.members {
		m.Out.Send(b)
	}
}

// flush tells the members what was said since.
func (r *Room) flush() {
	messages := r.hub.cfg.Messages
	page, ok := messages.Since(r.name, r.sent, cluster.KeepMessages)
	if !ok { // more was said in a moment than is kept
		page = messages.Last(r.name, cluster.KeepMessages)
	}
	if page.Offset == r.sent {
		return
	}
	r.sent, r.flushed = page.Offset, time.Now()
	if shown := r.allowed(page.Messages); len(shown) > 0 {
		r.broadcast(messagesFrame{T: "messages", Room: r.name, Offset: r.sent, Messages: shown})
	}
}

// allowed leaves out what was said by people after they were muted or removed: proposed before the sanction was known, committed after it.
func (r *Room) allowed(messages []*cluster.Message) []*cluster.Message {
	return slices.DeleteFunc(messages, func(m *cluster.Message) bool {
		return m.Kind == "" && (r.after(m, cluster.Mute) || r.after(m, cluster.Remove))
	})
}

// after reports whether a message came after such a sanction of its author.
func (r *Room) after(m *cluster.Message, do string) bool {
	s, ok := r.hub.cfg.Decisions.Sanctions.Find(cluster.SanctionKey(r.name, m.User, do))
	return ok && m.At > s.Modified.UnixMilli()
}

// Resume is where a member's history ends.
type Resume struct {
	Epoch  string
	Offset uint64
}

// Join lets somebody in and calls answer with what there is, on the room's goroutine, before the room sends the member anything.
func (h *Hub) Join(name id.Stream, m *Member, from *Resume, answer func(Joined)) error {
	if err := h.Removed(name, m.User); err != nil {
		return err
	}
	m.room = h.enter(name)
	if !m.room.do(func() { m.room.admit(m, from, answer) }) {
		return &Refusal{Code: "internal", Text: "the room had to be closed; join it again", Retry: time.Second}
	}
	return nil
}

// Removed is the refusal of somebody whom a moderator has put out of the room; nil for others.
func (h *Hub) Removed(name id.Stream, user string) error {
	if s, out := h.cfg.Decisions.Sanctions.Find(cluster.SanctionKey(name, user, cluster.Remove)); out {
		return removed(s)
	}
	return nil
}

func removed(s cluster.Sanction) *Refusal {
	f := &Refusal{Code: "removed", Text: "a moderator has put you out of this room", Until: s.Until}
	if !s.Until.IsZero() {
		f.Retry = time.Until(s.Until)
	}
	return f
}

func (r *Room) admit(m *Member, from *Resume, answer func(Joined)) {
	r.flush()
	r.members[m] = struct{}{}
	r.tally(m, 1)
	j := Joined{Room: r.name, Rules: r.rules, Can: m.Can, People: r.toldOf(), Streams: r.streams(), Speakers: r.speakers.told}
	r.history(&j, from)
	j.Count = r.count()
	if r.told != j.Count {
		r.told = notTold
	}
	if len(r.members) == 1 {
		r.told = j.Count // by this answer
	}
	r.tellMute(m, true)
	answer(j)
	if m.muted != nil {
		m.Out.Send(encode(sanctionFrame{T: "sanction", Room: r.name, Do: cluster.Mute, Until: Millis(m.muted.until)}))
	}
	r.tellSoon()
	r.show(m)
}

// history up to what the room has sent; what came since then comes with the next flush.
func (r *Room) history(j *Joined, from *Resume) {
	messages := r.hub.cfg.Messages
	var page cluster.Page
	if from != nil {
		page, j.Resumed = messages.Since(r.name, from.Offset, resumeMax)
		j.Resumed = j.Resumed && from.Epoch == page.Epoch && from.Offset <= r.sent
	}
	if !j.Resumed {
		page = messages.Last(r.name, historyOnJoin)
	}
	j.Epoch, j.Offset = page.Epoch, r.sent
	j.Messages = slices.DeleteFunc(r.allowed(page.Messages), func(m *cluster.Message) bool { return m.Offset > r.sent })
	if j.Messages == nil {
		j.Messages = []*cluster.Message{}
	}
}

// Leave takes the member out; a second time does nothing.
func (m *Member) Leave() {
	r := m.room
	r.do(func() { r.drop(m) })
}

// drop removes a member; what it published ends by its socket.
func (r *Room) drop(m *Member) bool {
	if _, ok := r.members[m]; !ok {
		return false
	}
	r.tally(m, -1)
	delete(r.members, m)
	r.hide(m)
	r.tellSoon()
	r.hub.release(r)
	return true
}

// tellSoon tells the new count now if the last telling is long ago, else at the next tick.
func (r *Room) tellSoon() {
	if time.Since(r.toldAt) >= presenceEvery {
		r.tellCount()
	}
}

// tellRules tells the members when the room's rules are others.
func (r *Room) tellRules() {
	now := RulesOf(r.hub.Rules(r.name))
	if now == r.rules {
		return
	}
	r.rules = now
	r.broadcast(rulesFrame{"rules", r.name, now})
}
