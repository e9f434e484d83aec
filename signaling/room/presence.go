package room

import (
	"slices"
	"strings"
	"time"
)

// tellCount tells the members how many there are, if that is news.
func (r *Room) tellCount() {
	n := r.count()
	if n == r.told {
		return
	}
	r.told, r.toldAt = n, time.Now()
	r.broadcast(presenceFrame{"presence", r.name, n})
}

// count of people in the room and before the stream of its name.
func (r *Room) count() int {
	n := len(r.members)
	st, ok := r.hub.cfg.Streams(r.name)
	if !ok {
		return n
	}
	for protocol, viewers := range st.Status().Viewers {
		n += max(0, viewers-r.both[protocol])
	}
	return n
}

// watches changes how a member watches, and keeps r.both true.
func (r *Room) watches(m *Member, change func()) {
	r.tally(m, -1)
	change()
	r.tally(m, 1)
}

func (r *Room) tally(m *Member, by int) {
	if _, in := r.members[m]; !in {
		return
	}
	if m.bound {
		r.both["webrtc"] += by
	}
	if m.playing != "" && !(m.bound && m.playing == "webrtc") {
		r.both[m.playing] += by
	}
}

// Protocols by which a client may say that it watches, and the name under which the stream counts them.
var protocols = map[string]string{"": "", "webrtc": "webrtc", "llhls": "hls", "hls": "hls", "dash": "dash", "flv": "flv"}

// Playing notes by which protocol the member's client watches the room's stream beside this socket; "" is none. It is false for an unknown one.
func (m *Member) Playing(via string) bool {
	counted, ok := protocols[via]
	if ok {
		m.room.do(func() { m.room.plays(m, counted) })
	}
	return ok
}

// plays corrects the count at once for the member itself, who was one too many until now: a page joins while it plays already.
func (r *Room) plays(m *Member, via string) {
	r.watches(m, func() { m.playing = via })
	r.tellSoon()
	if n := r.count(); n != r.told {
		m.Out.Send(encode(presenceFrame{"presence", r.name, n}))
		r.told = notTold // the others hear it with the next tick
	}
}

// Bound notes whether the member watches the room's stream over its socket.
func (m *Member) Bound(yes bool) {
	m.room.do(func() { m.room.watches(m, func() { m.bound = yes }) })
}

// shown is somebody who moderates or publishes.
type shown struct {
	Person
	sockets int  // by which they are here
	told    bool // the others have heard of them
}

// show tells of a member who moderates or publishes, once for a user and of so many users: where everybody does, nobody need be told of each.
func (r *Room) show(m *Member) {
	if m.shown || !m.Can.Moderate && !r.publishes(m.User) {
		return
	}
	m.shown = true
	s := r.people[m.User]
	if s == nil {
		s = &shown{Person: Person{User: m.User, Name: m.Name, Role: m.Role}, told: r.toldPeople < peopleMax}
		r.people[m.User] = s
		if s.told {
			r.toldPeople++
			r.broadcast(peopleFrame{T: "people", Room: r.name, Joined: []Person{s.Person}})
		}
	}
	s.sockets++
}

// hide tells that a member who was shown is gone, if no other socket of the user is there.
func (r *Room) hide(m *Member) {
	if !m.shown {
		return
	}
	m.shown = false
	s := r.people[m.User]
	if s.sockets--; s.sockets > 0 {
		return
	}
	delete(r.people, m.User)
	if s.told {
		r.toldPeople--
		r.broadcast(peopleFrame{T: "people", Room: r.name, Left: []string{m.User}})
	}
}

// toldOf are staff and publishers that the others have heard of, by name.
func (r *Room) toldOf() []Person {
	all := []Person{}
	for _, s := range r.people {
		if s.told {
			all = append(all, s.Person)
		}
	}
	slices.SortFunc(all, func(a, b Person) int { return strings.Compare(a.Name+a.User, b.Name+b.User) })
	return all
}
