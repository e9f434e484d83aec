package room

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"watershed/cluster"
	"watershed/sfu/id"
)

// Publication is what a member publishes, or is about to.
type Publication struct {
	member *Member
	stream id.Stream
	end    func(error) // ends it; called on a goroutine of its own
	taken  atomic.Bool // another has the name now
	live   bool
	info   Published
	voice  Voice
	off    Muted // what the member has switched off
	silent bool  // a moderator has muted the member
}

// Voice is the sound of what is published. Its methods never wait.
type Voice interface {
	Level() int      // in dB above silence, to 127
	Silence(on bool) // lets nobody hear it
}

// PublishersMax is how many people may publish into a room, each with as many sources as they like: more than can be seen and heard at once, and
// what one node forwards to all of them without effort.
const PublishersMax = 25

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
		if r.full(m.User) {
			err = &Refusal{Code: "full", Text: fmt.Sprintf("%d people publish in this room, which is as many as it takes: you can watch, and publish when one of them ends", PublishersMax)}
			return
		}
		r.published[stream] = p
		if old != nil && old.live {
			r.broadcast(streamsFrame{T: "streams", Room: r.name, Removed: []id.Stream{stream}})
		}
		if old != nil {
			old.taken.Store(true)
		}
		made()
	})
	switch {
	case !there:
		return nil, &Refusal{Code: "not-in-room", Text: "join the room first"}
	case err != nil:
		return nil, err
	case old != nil:
		old.end(ErrTakenOver)
	}
	return p, nil
}

// ErrTakenOver is why a publication ends whose name another claim has taken.
var ErrTakenOver = &Refusal{Code: "busy", Text: "you published this from elsewhere"}

// full reports whether so many others publish that the user cannot.
func (r *Room) full(user string) bool {
	others := map[string]struct{}{}
	for _, p := range r.published {
		if p.member.User != user {
			others[p.member.User] = struct{}{}
		}
	}
	return len(others) >= PublishersMax
}

// Taken reports whether the name is another publication's; then the stream may end before the publication hears of it.
func (p *Publication) Taken() bool { return p.taken.Load() }

// Live tells the room about it.
func (p *Publication) Live(source string, audio, video bool, voice Voice) {
	r := p.member.room
	r.do(func() {
		if _, in := r.members[p.member]; !in || r.published[p.stream] != p {
			return
		}
		p.live, p.voice = true, voice
		p.info = Published{Stream: p.stream, User: p.member.User, Name: p.member.Name, Source: source, Audio: audio, Video: video}
		if p.silent = r.isMuted(p.member.User); p.silent {
			p.mute()
		}
		r.listen()
		r.broadcast(streamsFrame{T: "streams", Room: r.name, Added: []Published{p.info}})
		r.show(p.member)
	})
}

// Mute tells the room what the member has switched off.
func (p *Publication) Mute(m Muted) {
	r := p.member.room
	r.do(func() {
		if r.published[p.stream] == p && p.live {
			p.off = m
			p.mute()
			r.broadcast(streamsFrame{T: "streams", Room: r.name, Changed: []Published{p.info}})
		}
	})
}

// muted is what of it the others do not get.
func (p *Publication) muted() Muted {
	return Muted{Audio: p.off.Audio || p.silent, Video: p.off.Video}
}

// mute notes what is muted, and lets its sound be heard or not.
func (p *Publication) mute() {
	m := p.muted()
	p.info.Muted = &m
	p.voice.Silence(m.Audio)
}

func (r *Room) isMuted(user string) bool {
	_, muted := r.hub.cfg.Decisions.Sanctions.Find(cluster.SanctionKey(r.name, user, cluster.Mute))
	return muted
}

// silence those whom moderators have muted, and nobody else any longer.
func (r *Room) silence() {
	for _, p := range r.published {
		if muted := r.isMuted(p.member.User); p.live && muted != p.silent {
			p.silent = muted
			p.mute()
			r.broadcast(streamsFrame{T: "streams", Room: r.name, Changed: []Published{p.info}})
		}
	}
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
