package room

import (
	"maps"
	"slices"
	"time"
)

// Levels are in dB above silence, 127 is the loudest there can be (RFC 6464). Speech before a microphone is at 85 to 110, a quiet room below 70.
const (
	speakersEvery = 400 * time.Millisecond // a syllable or two; sooner would be restless
	speakersMax   = 5                      // of whom is told; more voices at once nobody tells apart

	speakBegins = 82
	speakEnds   = 75                      // lower than where it begins: nobody comes and goes with a breath
	speakPause  = 1500 * time.Millisecond // between two sentences
	speakLouder = 6                       // dB by which one must exceed the one before to take the place: twice the amplitude
)

// speakers are who speaks now, the loudest first.
type speakers struct {
	order []*speaking
	told  []string
}

type speaking struct {
	user  string
	level int
	heard time.Time // last time loud enough
}

// rank orders those who publish sound by what is heard of them now; true if that is news. Who is not in levels does not speak.
func (s *speakers) rank(levels map[string]int, now time.Time) bool {
	s.order = slices.DeleteFunc(s.order, func(p *speaking) bool {
		level, there := levels[p.user]
		p.level = level
		if level >= speakEnds {
			p.heard = now
		}
		return !there || now.Sub(p.heard) > speakPause
	})
	for _, user := range slices.Sorted(maps.Keys(levels)) {
		known := slices.ContainsFunc(s.order, func(p *speaking) bool { return p.user == user })
		if level := levels[user]; !known && level >= speakBegins {
			s.order = append(s.order, &speaking{user, level, now})
		}
	}
	for i := range s.order {
		for ; i > 0 && s.order[i].level >= s.order[i-1].level+speakLouder; i-- {
			s.order[i], s.order[i-1] = s.order[i-1], s.order[i]
		}
	}
	before := s.told
	s.told = []string{}
	for _, p := range s.order[:min(len(s.order), speakersMax)] {
		s.told = append(s.told, p.user)
	}
	return !slices.Equal(before, s.told)
}

// listen ranks the speakers from now on, while somebody publishes.
func (r *Room) listen() {
	if r.listening == nil {
		r.listening = time.After(speakersEvery)
	}
}

// hear is one round of listening.
func (r *Room) hear() {
	r.listening = nil
	if len(r.published) > 0 {
		r.listen()
	}
	levels := map[string]int{}
	for _, p := range r.published {
		if p.live && p.info.Audio && !p.muted().Audio {
			levels[p.member.User] = max(levels[p.member.User], p.voice.Level())
		}
	}
	if r.speakers.rank(levels, time.Now()) {
		r.broadcast(speakersFrame{"speakers", r.name, r.speakers.told})
	}
}
