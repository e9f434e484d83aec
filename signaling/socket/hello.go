package socket

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"watershed/signaling/chat"
	"watershed/signaling/problem"
	"watershed/signaling/room"
	"watershed/signaling/token"
	"watershed/signaling/turn"
)

type helloFields struct {
	Token string       `json:"token"`
	Name  string       `json:"name"`
	Guest string       `json:"guest"`
	Rooms []joinFields `json:"rooms"`
}

type you struct {
	User   string `json:"user"`
	Name   string `json:"name"`
	Role   string `json:"role"`
	Tenant string `json:"tenant"`
	Guest  bool   `json:"guest"`
}

type welcome struct {
	Session   string           `json:"session"`
	Node      string           `json:"node"`
	Version   string           `json:"version"`
	Now       int64            `json:"now"`
	Heartbeat int64            `json:"heartbeat"`
	You       you              `json:"you"`
	Guest     string           `json:"guest,omitempty"`
	ICE       []turn.ICEServer `json:"ice,omitempty"`
	Rooms     []room.Joined    `json:"rooms"`
}

// greet takes the first frame and answers it; false ends the socket.
func (c *conn) greet() bool {
	late := time.AfterFunc(c.server.helloWithin, func() { c.end(closeNoHello, "hello within 5 s, please") })
	raw, err := c.next()
	late.Stop() // how long the answer takes is not the client's fault
	if errors.Is(err, errTooLarge) {
		c.end(closeNoHello, "the first frame is a hello of at most 64 kB")
	}
	if err != nil {
		return false
	}
	r, err := parse(raw)
	if errors.Is(err, errNotJSON) {
		c.end(int(websocket.StatusInvalidFramePayloadData), err.Error())
		return false
	}
	var h helloFields
	if err == nil && (r.T != "hello" || len(raw) > maxFrame) {
		err = faultf("bad-request", "the first frame is a hello of at most %d kB", maxFrame>>10)
	}
	if err == nil {
		err = r.into(&h)
	}
	if err == nil && len(h.Rooms) > maxRooms {
		err = bad("rooms", "one socket can be in %d rooms", maxRooms)
	}
	if err != nil {
		c.fail(r, err)
		c.end(closeNoHello, "the first frame must be hello")
		return false
	}
	return c.identify(r, h) && c.welcome(r, h)
}

// identify finds who it is.
func (c *conn) identify(r request, h helloFields) bool {
	who, err := c.server.cfg.Access.Hello(c.request, h.Token)
	if err != nil {
		c.fail(r, err)
		c.end(closeOf(err), "the token is not valid")
		return false
	}
	c.who, c.guest = who, who.Guest()
	held := c.server.cfg.Access.Hold(who, "", "", func(reason error) {
		c.tell("error", faultf("unauthorized", "%v", reason))
		c.end(closeUnauthorized, "the token has ended")
	})
	c.mu.Lock()
	c.held = held
	c.mu.Unlock()
	if c.guest {
		return true
	}
	c.user = who.User()
	if c.name = chat.Name(who.Name); c.name == "" {
		c.name = chat.Name(who.Subject)
	}
	return true
}

func closeOf(err error) int {
	var p *problem.Problem
	if errors.As(err, &p) && p.Status == http.StatusTooManyRequests {
		return closeFlood
	}
	return closeUnauthorized
}

// role as clients see it: a guest watches like anybody else.
func (c *conn) role() string {
	if c.who.Role == token.Anonymous {
		return token.Viewer.String()
	}
	return c.who.Role.String()
}

// welcome answers hello, joins its rooms, and says of those that it cannot join why.
func (c *conn) welcome(r request, h helloFields) bool {
	w := welcome{
		Session: c.id, Node: c.server.cfg.Node, Version: c.server.cfg.Version,
		Heartbeat: heartbeat.Milliseconds(), ICE: c.server.cfg.TURN.ICEServers(c.request.Host), Rooms: []room.Joined{},
	}
	if c.guest {
		g := c.server.guests.recall(h.Guest, h.Name)
		c.user, c.name, w.Guest = g.user, g.name, g.key
	}
	w.You = you{User: c.user, Name: c.name, Role: c.role(), Tenant: c.who.Tenant, Guest: c.guest}
	c.queue.hold() // what rooms say meanwhile comes after the welcome
	type refused struct {
		name string
		err  error
	}
	var out []refused
	var mu sync.Mutex // the rooms answer on goroutines of their own
	for _, j := range lastOf(h.Rooms) {
		if err := c.enter(j, func(joined room.Joined) {
			mu.Lock()
			defer mu.Unlock()
			w.Rooms = append(w.Rooms, joined)
		}); err != nil {
			out = append(out, refused{j.Room, err})
		}
	}
	w.Now = time.Now().UnixMilli()
	mu.Lock()
	b := frame("welcome", r.ID, w)
	mu.Unlock()
	c.queue.release(b)
	for _, o := range out {
		c.tellLeft(o.name, o.err)
	}
	return true
}

// lastOf leaves out rooms that are named again later: each is entered once, for its history may have a megabyte.
func lastOf(rooms []joinFields) []joinFields {
	name := func(j joinFields) string {
		if n, err := parseRoom(j.Room); err == nil {
			return string(n)
		}
		return j.Room
	}
	var last []joinFields
	for i, j := range rooms {
		if !slices.ContainsFunc(rooms[i+1:], func(k joinFields) bool { return name(k) == name(j) }) {
			last = append(last, j)
		}
	}
	return last
}
