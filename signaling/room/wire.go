package room

import (
	"encoding/json"
	"time"

	"watershed/cluster"
	"watershed/sfu/id"
)

// The objects of signaling/PROTOCOL.md that tell of rooms.

// Person is somebody who publishes or moderates.
type Person struct {
	User string `json:"user"`
	Name string `json:"name"`
	Role string `json:"role"`
}

// Published is what a participant publishes.
type Published struct {
	Stream id.Stream `json:"stream"`
	User   string    `json:"user"`
	Name   string    `json:"name"`
	Source string    `json:"source"` // camera or screen
	Audio  bool      `json:"audio"`
	Video  bool      `json:"video"`
	Muted  *Muted    `json:"muted,omitempty"`
}

// Muted says what a participant has switched off.
type Muted struct {
	Audio bool `json:"audio"`
	Video bool `json:"video"`
}

// Rules as clients see them.
type Rules struct {
	Chat    bool   `json:"chat"`
	Guests  bool   `json:"guests"`
	Slow    int    `json:"slow"`
	Publish string `json:"publish"`
}

// RulesOf a room, as clients see them.
func RulesOf(r cluster.Rules) Rules {
	return Rules{Chat: r.Chat, Guests: r.Guests, Slow: r.Slow, Publish: r.Publish}
}

// Can is what one member may do.
type Can struct {
	Chat     bool `json:"chat"`
	Publish  bool `json:"publish"`
	Moderate bool `json:"moderate"`
}

// Joined is what somebody gets who joins.
type Joined struct {
	Room     id.Stream          `json:"room"`
	Epoch    string             `json:"epoch"`
	Offset   uint64             `json:"offset"`
	Resumed  bool               `json:"resumed"`
	Messages []*cluster.Message `json:"messages"`
	Count    int                `json:"count"`
	People   []Person           `json:"people"`
	Streams  []Published        `json:"streams"`
	Speakers []string           `json:"speakers,omitempty"`
	Rules    Rules              `json:"rules"`
	Can      Can                `json:"can"`
}

type messagesFrame struct {
	T        string             `json:"t"`
	Room     id.Stream          `json:"room"`
	Offset   uint64             `json:"offset"`
	Messages []*cluster.Message `json:"messages"`
}

type presenceFrame struct {
	T     string    `json:"t"`
	Room  id.Stream `json:"room"`
	Count int       `json:"count"`
}

type peopleFrame struct {
	T      string    `json:"t"`
	Room   id.Stream `json:"room"`
	Joined []Person  `json:"joined,omitempty"`
	Left   []string  `json:"left,omitempty"`
}

type rulesFrame struct {
	T     string    `json:"t"`
	Room  id.Stream `json:"room"`
	Rules Rules     `json:"rules"`
}

type streamsFrame struct {
	T       string      `json:"t"`
	Room    id.Stream   `json:"room"`
	Added   []Published `json:"added,omitempty"`
	Changed []Published `json:"changed,omitempty"`
	Removed []id.Stream `json:"removed,omitempty"`
}

type speakersFrame struct {
	T     string    `json:"t"`
	Room  id.Stream `json:"room"`
	Users []string  `json:"users"` // the loudest first
}

type sanctionFrame struct {
	T     string    `json:"t"`
	Room  id.Stream `json:"room"`
	Do    string    `json:"do"` // mute or unmute
	Until int64     `json:"until,omitempty"`
}

// encode a frame of ours; they have nothing that JSON could refuse.
func encode(frame any) []byte {
	b, err := json.Marshal(frame)
	if err != nil {
		panic(err)
	}
	return b
}

// Millis is a time as clients get it; 0 for no time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Refusal is why somebody may not do something just now, in the words of the protocol.
type Refusal struct {
	Code  string
	Text  string
	Retry time.Duration // zero: trying again does not help
	Until time.Time
}

func (r *Refusal) Error() string { return r.Text }
