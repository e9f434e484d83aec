package socket

import (
	"math"
	"strings"
	"time"

	"github.com/coder/websocket"

	"watershed/cluster"
	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/chat"
	"watershed/signaling/room"
)

// maxRooms of one socket: a moderator's wall.
const maxRooms = 32

// place is a room in which the socket sits.
type place struct {
	name   id.Stream
	member *room.Member
	held   *access.Session // leave to be there
}

type joinFields struct {
	Room   string  `json:"room"`
	Epoch  string  `json:"epoch"`
	Offset *uint64 `json:"offset"`
}

func parseRoom(s string) (id.Stream, error) {
	name, err := id.ParseStream(s)
	if err != nil || strings.Contains(s, "+") {
		return "", bad("room", "room %.80q is no name: use 1 to 63 of a-z 0-9 . _ -", s)
	}
	return name, nil
}

func (c *conn) join(r *request) error {
	var f joinFields
	if err := r.into(&f); err != nil {
		return err
	}
	return c.enter(f, func(j room.Joined) { c.reply(r, "joined", j) })
}

// enter a room; answer is called before the room sends anything.
func (c *conn) enter(f joinFields, answer func(room.Joined)) error {
	name, err := parseRoom(f.Room)
	if err != nil {
		return err
	}
	a := c.server.cfg.Access
	if err := a.May(c.who, access.Join, name); err != nil {
		return err
	}
	c.dropPlace(name) // who joins again wants all of it again
	p := &place{name: name, member: &room.Member{User: c.user, Name: c.name, Role: c.role(), Guest: c.guest, Can: c.can(name), Out: c}}
	if err := c.addPlace(p); err != nil {
		return err
	}
	var from *room.Resume
	if f.Offset != nil {
		from = &room.Resume{Epoch: f.Epoch, Offset: *f.Offset}
	}
	if err := c.server.rooms.Join(name, p.member, from, answer); err != nil {
		c.removePlace(p)
		return err
	}
	held := a.Hold(c.who, access.Join, name, func(reason error) {
		defer c.survive()
		if c.dropPlace(name) {
			c.tellLeft(string(name), reason)
		}
	})
	if !c.keep(p, held) {
		held.Release()
	}
	c.noteBound(name)
	return nil
}

func (c *conn) addPlace(p *place) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rooms) >= maxRooms {
		return faultf("busy", "one socket can be in %d rooms", maxRooms)
	}
	c.rooms[p.name] = p
	return nil
}

// keep the leave to be in the room, if it has not been left meanwhile.
func (c *conn) keep(p *place, held *access.Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rooms[p.name] != p {
		return false
	}
	p.held = held
	return true
}

// removePlace forgets the place; false if that was done before.
func (c *conn) removePlace(p *place) bool {
	c.mu.Lock()
	mine := c.rooms[p.name] == p
	if mine {
		delete(c.rooms, p.name)
	}
	held := p.held
	c.mu.Unlock()
	if mine && held != nil {
		held.Release()
	}
	return mine
}

func (c *conn) place(name id.Stream) *place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rooms[name]
}

func (c *conn) places() []*place {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*place, 0, len(c.rooms))
	for _, p := range c.rooms {
		all = append(all, p)
	}
	return all
}

// dropPlace leaves a room and ends what the socket publishes there; false if it is not in it.
func (c *conn) dropPlace(name id.Stream) bool {
	p := c.place(name)
	if p == nil || !c.removePlace(p) {
		return false
	}
	for _, pub := range c.allPublishers("") {
		if pub.room == name {
			pub.close(errLeft)
		}
	}
	p.member.Leave()
	return true
}

// Left is called by the room's goroutine when it has put the member out.
func (c *conn) Left(m *room.Member, reason *room.Refusal) {
	for _, p := range c.places() {
		if p.member == m && c.removePlace(p) {
			c.tellLeft(string(p.name), reason)
			if v := c.currentViewer(); v != nil {
				go v.unbindRoom(p.name) // which waits for bindings, and they for rooms
			}
		}
	}
}

// Broken is called by the room's goroutine when it fails.
func (c *conn) Broken() { c.end(int(websocket.StatusInternalError), "a room had to be closed") }

func (c *conn) tellLeft(name string, reason error) {
	f, _ := explain(reason)
	c.tell("left", struct {
		Room  string `json:"room"`
		Code  string `json:"code"`
		Text  string `json:"text"`
		Until int64  `json:"until,omitempty"`
	}{name, f.Code, f.Text, f.Until})
}

func (c *conn) leave(r *request) error {
	var f joinFields
	if err := r.into(&f); err != nil {
		return err
	}
	name, err := parseRoom(f.Room)
	if err != nil {
		return err
	}
	c.dropPlace(name)
	c.reply(r, "left", roomField{name})
	return nil
}

type roomField struct {
	Room id.Stream `json:"room"`
}

// can says what this person may do in a room, by token and by the room's rules as they are now.
func (c *conn) can(name id.Stream) room.Can {
	a, rules := c.server.cfg.Access, c.server.rooms.Rules(name)
	can := room.Can{Moderate: a.May(c.who, access.Moderate, name) == nil}
	can.Chat = can.Moderate || rules.Chat && (rules.Guests || !c.guest)
	can.Publish = c.maySpeak(name) == nil
	return can
}

// inRoom finds where the socket sits.
func (c *conn) inRoom(s string) (*place, error) {
	name, err := parseRoom(s)
	if err != nil {
		return nil, err
	}
	if p := c.place(name); p != nil {
		return p, nil
	}
	return nil, faultf("not-in-room", "join room %s first", name)
}

type saidFields struct {
	Room   id.Stream `json:"room"`
	CID    string    `json:"cid,omitempty"`
	MID    string    `json:"mid"`
	Offset uint64    `json:"offset"`
	At     int64     `json:"at"`
}

func (c *conn) say(r *request) error {
	err := c.sayIt(r)
	c.server.metrics.answered(err)
	return err
}

func (c *conn) sayIt(r *request) error {
	var f struct {
		Room string `json:"room"`
		CID  string `json:"cid"`
		Text string `json:"text"`
	}
	if err := r.into(&f); err != nil {
		return err
	}
	p, err := c.inRoom(f.Room)
	if err != nil {
		return err
	}
	if len(f.CID) > maxID {
		return bad("cid", "cid has at most %d bytes", maxID)
	}
	if !c.guest && c.server.cfg.Access.May(c.who, access.Say, p.name) != nil && !c.server.rooms.Rules(p.name).Guests {
		return faultf("forbidden", "your token does not let you write here")
	}
	done, err := p.member.Say(c.ctx, f.CID, f.Text)
	if err != nil {
		return err
	}
	c.reply(r, "said", saidFields{p.name, f.CID, done.MID, done.Offset, done.At})
	return nil
}

// playing notes that the client watches the room's stream by another way than this socket.
func (c *conn) playing(r *request) error {
	var f struct {
		Room string `json:"room"`
		Via  string `json:"via"`
	}
	if err := r.into(&f); err != nil {
		return err
	}
	p, err := c.inRoom(f.Room)
	if err != nil {
		return err
	}
	if !p.member.Playing(f.Via) {
		return bad("via", "via is webrtc, llhls, hls, dash or flv")
	}
	return nil
}

type moderateFields struct {
	Room   string      `json:"room"`
	Do     string      `json:"do"`
	User   string      `json:"user"`
	Target string      `json:"target"`
	Text   string      `json:"text"`
	For    int64       `json:"for"` // ms
	Rules  *rulesPatch `json:"rules"`
}

// rulesPatch has the fields to change.
type rulesPatch struct {
	Chat    *bool   `json:"chat"`
	Guests  *bool   `json:"guests"`
	Slow    *int    `json:"slow"`
	Publish *string `json:"publish"`
}

func (c *conn) moderate(r *request) error {
	var f moderateFields
	if err := r.into(&f); err != nil {
		return err
	}
	name, err := parseRoom(f.Room)
	if err != nil {
		return err
	}
	action := access.Moderate
	if f.Do == "rules" {
		action = access.Rules
	}
	if err := c.server.cfg.Access.May(c.who, action, name); err != nil {
		return err
	}
	if f.For < 0 || f.For > math.MaxInt64/int64(time.Millisecond) {
		return bad("for", "for is a time in ms, not less than 0")
	}
	if err := c.decide(name, &f); err != nil {
		return err
	}
	c.log.Info("moderated", "room", name, "do", f.Do, "by", c.user, "user", f.User, "target", f.Target)
	c.reply(r, "moderated", roomField{name})
	return nil
}

// decide does what a moderator asks.
func (c *conn) decide(name id.Stream, f *moderateFields) error {
	h := c.server.rooms
	d := room.Moderation{Room: name, By: c.user, User: f.User, For: time.Duration(f.For) * time.Millisecond}
	switch f.Do {
	case "mute", "unmute", "remove", "readmit", "unpublish":
		if f.User == "" || len(f.User) > 256 {
			return bad("user", "user is whom it is done to")
		}
	}
	switch f.Do {
	case "delete":
		return h.Delete(c.ctx, d, f.Target)
	case "mute":
		return h.Mute(c.ctx, d)
	case "unmute":
		return h.Lift(c.ctx, d, cluster.Mute)
	case "remove":
		return h.Remove(c.ctx, d)
	case "readmit":
		return h.Lift(c.ctx, d, cluster.Remove)
	case "unpublish":
		return h.Unpublish(d)
	case "notice":
		text, err := chat.Text(f.Text)
		if err != nil {
			return bad("text", "%v", err)
		}
		return h.Notice(c.ctx, d, text)
	case "rules":
		if f.Rules == nil {
			return bad("rules", "rules has the fields to change")
		}
		err := h.Change(c.ctx, name, f.Rules.apply)
		c.server.cfg.Access.Recheck() // guests may have lost the right to be there
		return err
	}
	return bad("do", "do is delete, mute, unmute, remove, readmit, unpublish, notice or rules")
}

func (p *rulesPatch) apply(r *cluster.Rules) error {
	if p.Slow != nil && (*p.Slow < 0 || *p.Slow > room.SlowMax) {
		return bad("rules.slow", "slow is 0 to %d seconds", room.SlowMax)
	}
	if p.Publish != nil && *p.Publish != cluster.PublishToken && *p.Publish != cluster.PublishGuests {
		return bad("rules.publish", "publish is token or guests")
	}
	set(&r.Chat, p.Chat)
	set(&r.Guests, p.Guests)
	set(&r.Slow, p.Slow)
	set(&r.Publish, p.Publish)
	return nil
}

func set[T any](field *T, to *T) {
	if to != nil {
		*field = *to
	}
}
