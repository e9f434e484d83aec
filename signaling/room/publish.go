package room

import (
	"slices"
	"strings"

	"watershed/sfu/id"
)

// Publication is what a member publishes, or is about to.
type Publication struct {
	member *Member
	stream id.Stream
	end    func(error) // ends it; called on a goroutine of its own
	live   bool
	info   Published
}

// Claim takes the stream's name for the member, before the offer is answered. If somebody publishes under it already, that is the
// error, or with takeover is ended: the name is the new one's from then on. end must be ready to be called at once; made is called when the name is
// taken, and removed (see Ended) when it is free: never both at once, nor for two publications.
func (m *Member) Claim(stream id.Stream, takeover bool, end func(error), made func()) (*Publication, error) {
	p := &Publication{member: m, stream: stream, end: end}
	var old *Publication
	var err error
	r := m.room
	there := r.do(func() {
		if old = r.published[stream]; old != nil && !takeover {
			err = &Refusal{Code: "busy", Text: "you publish this already, perhaps in another window; send \"takeover\":true to replace it"}
			return
		}
		r.published[stream] = p
		if old != nil && old.live {
			r.broadcast(streamsFrame{T: "streams", Room: r.name, Removed: []id.Stream{stream}})
		}
		made()
	})
	switch {
	case !there:
		return nil, &Refusal{Code: "not-in-room", Text: "join the room first"}
	case err != nil:
		return nil, err
	case old != nil:
		old.end(errTakenOver)
	}
	return p, nil
}

var errTakenOver = &Refusal{Code: "busy", Text: "you published this from elsewhere"}

// Live tells the room about it.
func (p *Publication) Live(source string, audio, video bool) {
	r := p.member.room
	r.do(func() {
		if _, in := r.members[p.member]; !in || r.published[p.stream] != p {
			return
		}
		p.live = true
		p.info = Published{Stream: p.stream, User: p.member.User, Name: p.member.Name, Source: source, Audio: audio, Video: video}
		r.broadcast(streamsFrame{T: "streams", Room: r.name, Added: []Published{p.info}})
		r.show(p.member)
	})
}

// Mute tells the room what the member has switched off.
func (p *Publication) Mute(m Muted) {
	r := p.member.room
	r.do(func() {
		if r.published[p.stream] == p && p.live {
			p.info.Muted = &m
			r.broadcast(streamsFrame{T: "streams", Room: r.name, Changed: []Published{p.info}})
		}
	})
}

// Ended gives the name back. removed is called if nobody has taken it meanwhile.
func (p *Publication) Ended(removed func()) {
	r := p.member.room
	there := r.do(func() {
		if r.published[p.stream] != p {
			return
		}
		delete(r.published, p.stream)
		removed()
		if p.live {
			r.broadcast(streamsFrame{T: "streams", Room: r.name, Removed: []id.Stream{p.stream}})
		}
		if !p.member.Can.Moderate && !r.publishes(p.member.User) {
			r.hide(p.member)
		}
	})
	if !there {
		removed()
	}
}

// unpublish ends what a user publishes here; false if that is nothing.
func (r *Room) unpublish(user string, reason error) (found bool) {
	for _, p := range r.published {
		if p.member.User == user {
			found = true
			go p.end(reason)
		}
	}
	return found
}

func (r *Room) publishes(user string) bool {
	for _, p := range r.published {
		if p.live && p.member.User == user {
			return true
		}
	}
	return false
}

func (r *Room) streams() []Published {
	all := []Published{}
	for _, p := range r.published {
		if p.live {
			all = append(all, p.info)
		}
	}
	slices.SortFunc(all, func(a, b Published) int { return strings.Compare(string(a.Stream), string(b.Stream)) })
	return all
}
