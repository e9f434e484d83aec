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
	both := map[string]int{}
	for m := range r.members {
		if m.bound {
			both["webrtc"]++
		}
		if m.playing != "" && !(m.bound && m.playing == "webrtc") {
			both[m.playing]++
		}
	}
	for protocol, viewers := range st.Status().Viewers {
		n += max(0, viewers-both[protocol])
	}
	return n
}

// Protocols by which a client may say that it watches, and the name under which the stream counts them.
var protocols = map[string]string{"": "", "webrtc": "webrtc", "llhls": "hls", "hls": "hls", "dash": "dash", "flv": "flv"}

// Playing notes by which protocol the member's client watches the room's stream beside this socket; "" is none. It is false for an unknown one.
func (m *Member) Playing(via string) bool {
	counted, ok := protocols[via]
	if ok {
		m.room.do(func() { m.playing = counted })
	}
	return ok
}

// Bound notes whether the member watches the room's stream over its socket.
func (m *Member) Bound(yes bool) { m.room.do(func() { m.bound = yes }) }

// show tells of a member who moderates or publishes, once for a user.
func (r *Room) show(m *Member) {
	if m.shown || !m.Can.Moderate && !r.publishes(m.User) {
		return
	}
	known := r.known(m.User)
	m.shown = true
	if !known {
		r.broadcast(peopleFrame{T: "people", Room: r.name, Joined: []Person{m.person()}})
	}
}

// hide tells that a member who was shown is gone, if no other socket of the user is there.
func (r *Room) hide(m *Member) {
	if !m.shown {
		return
	}
	m.shown = false
	if !r.known(m.User) {
		r.broadcast(peopleFrame{T: "people", Room: r.name, Left: []string{m.User}})
	}
}

func (r *Room) known(user string) bool {
	for m := range r.members {
		if m.shown && m.User == user {
			return true
		}
	}
	return false
}

// people who publish or moderate, by name.
func (r *Room) people() []Person {
	all := []Person{}
	for m := range r.members {
		if m.shown && !slices.ContainsFunc(all, func(p Person) bool { return p.User == m.User }) {
			all = append(all, m.person())
		}
	}
	slices.SortFunc(all, func(a, b Person) int { return strings.Compare(a.Name+a.User, b.Name+b.User) })
	return all[:min(len(all), peopleMax)]
}
