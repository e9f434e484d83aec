package rest

import (
	"time"

	"watershed/sfu/id"
	"watershed/signaling/access"
)

// Millis is a moment in ms since 1970.
type Millis int64

func millis(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Stream as everybody sees it who may watch it. Source is for operators.
type Stream struct {
	Name     id.Stream      `json:"name" doc:"name, or tenant~name"`
	Tenant   string         `json:"tenant"`
	Title    string         `json:"title,omitempty"`
	Public   bool           `json:"public" doc:"needs no token"`
	State    string         `json:"state" doc:"idle, starting, live, degraded, stalled or offline"`
	Reason   string         `json:"reason" doc:"code of why it is not simply live"`
	Message  string         `json:"message" doc:"of the last failure; for operators"`
	Since    Millis         `json:"since" doc:"of the state"`
	Created  Millis         `json:"created"`
	Viewers  map[string]int `json:"viewers" doc:"by protocol, on this node"`
	Watching int            `json:"watching" doc:"all viewers together"`
	Demand   bool           `json:"demand" doc:"pulled only while somebody watches"`
	Idle     int            `json:"idle" doc:"seconds after the last viewer, with demand"`
	Ladder   []string       `json:"ladder"`
	Record   bool           `json:"record"`

	Recording        string `json:"recording" doc:"empty, on or failed: it goes on by itself when the reason is gone"`
	RecordingFailure string `json:"recordingFailure,omitempty" doc:"why; for operators"`

	DVR      int     `json:"dvr" doc:"seconds that the live playlist of its recording goes back; 0: the node's own"`
	Keep     int     `json:"keep" doc:"seconds that its recording is kept; 0: the node's own"`
	KeepSize int64   `json:"keepSize" doc:"bytes of its recording at most; 0: the node's own"`
	Origin   string  `json:"origin" doc:"file, api or push: where it was declared"`
	Source   *Source `json:"source" doc:"for operators"`
	Tracks   []Track `json:"tracks"`
	Links    Links   `json:"links"`
}

// Source of a stream.
type Source struct {
	Kind   string   `json:"kind" doc:"pull or push"`
	Inputs []string `json:"inputs" doc:"without credentials"`
	Active int      `json:"active" doc:"index of the input in use, -1 when none"`
	Tries  int      `json:"tries" doc:"attempts since the last success"`
}

// Track of a stream.
type Track struct {
	Kind   string  `json:"kind" doc:"video or audio"`
	Layers []Layer `json:"layers" doc:"best first"`
}

// Layer of a track.
type Layer struct {
	Label     string  `json:"label"`
	Codec     string  `json:"codec"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FPS       float64 `json:"fps"`
	Bitrate   int     `json:"bitrate" doc:"bits a second"`
	Converted bool    `json:"converted" doc:"made here from another layer"`
}

// Links of a stream, relative to the server.
type Links struct {
	WHEP   string `json:"whep"`
	HLS    string `json:"hls"`
	Poster string `json:"poster"`
	Page   string `json:"page"`
}

// StreamList is what a caller may see.
type StreamList struct {
	Streams []Stream `json:"streams"`
	Next    string   `json:"next,omitempty" doc:"ask again with after= this"`
}

// StreamBody declares a stream. In a PATCH what is left out stays.
type StreamBody struct {
	Title  *string   `json:"title,omitempty" doc:"for people, at most 120 characters"`
	Public *bool     `json:"public,omitempty"`
	Source *string   `json:"source,omitempty" doc:"URL to pull; short for the high layer of the first input. Without any input the stream is published to"`
	Sub    *string   `json:"sub,omitempty" doc:"URL of that input's low layer"`
	Inputs *[]Input  `json:"inputs,omitempty" doc:"in order of preference, in the place of source and sub"`
	Backup *[]string `json:"backup,omitempty" doc:"URLs of further inputs"`
	Demand *bool     `json:"demand,omitempty"`
	Idle   *int      `json:"idle,omitempty" doc:"seconds"`
	Ladder *[]string `json:"ladder,omitempty" doc:"such as 720p"`
	Record *bool     `json:"record,omitempty"`

	DVR      *int   `json:"dvr,omitempty" doc:"seconds that the live playlist of its recording goes back, 60 to 86400; 0: the node's own"`
	Keep     *int   `json:"keep,omitempty" doc:"seconds that its recording is kept, at least 60; 0: the node's own"`
	KeepSize *int64 `json:"keepSize,omitempty" doc:"bytes of its recording at most, at least 16777216; 0: the node's own"`
}

// Input is one way to get a stream's media.
type Input struct {
	High string `json:"high" doc:"URL"`
	Low  string `json:"low,omitempty" doc:"URL"`
}

// Viewer is one session.
type Viewer struct {
	ID       string  `json:"id"`
	Protocol string  `json:"protocol" doc:"whep or ws"`
	Since    Millis  `json:"since"`
	Address  string  `json:"address" doc:"for operators"`
	User     string  `json:"user" doc:"of the token; empty for guests"`
	Name     string  `json:"name"`
	Loss     float64 `json:"loss" doc:"fraction, in the viewer's last report"`
	RTT      float64 `json:"rtt" doc:"ms"`
	Bitrate  int     `json:"bitrate" doc:"bits a second of the layers that it gets"`
	Layer    string  `json:"layer" doc:"of the video"`
}

// ViewerList is who watches on this node.
type ViewerList struct {
	Viewers []Viewer `json:"viewers"`
}

// Key is a stream key. The key itself is shown only when it is made.
type Key struct {
	ID      string    `json:"id"`
	Stream  id.Stream `json:"stream"`
	Name    string    `json:"name,omitempty"`
	By      string    `json:"by,omitempty"`
	Created Millis    `json:"created"`
	Until   Millis    `json:"until,omitempty" doc:"0: until deleted"`
	Key     string    `json:"key,omitempty" doc:"the secret, this once"`
}

// KeyList are a stream's keys.
type KeyList struct {
	Keys []Key `json:"keys"`
}

// KeyBody asks for a stream key.
type KeyBody struct {
	Name string `json:"name,omitempty" doc:"for people"`
	TTL  int    `json:"ttl,omitempty" doc:"seconds; 0: until deleted"`
}

// Play is where a player finds a stream.
type Play struct {
	URLs    map[string]string `json:"urls" doc:"by protocol"`
	Expires Millis            `json:"expires,omitempty" doc:"ask again before; 0: never"`
}

// RoomRules of a room.
type RoomRules struct {
	Chat    bool   `json:"chat" doc:"off: only staff talks"`
	Guests  bool   `json:"guests" doc:"people without a token may talk"`
	Slow    int    `json:"slow" doc:"seconds between one person's messages"`
	Publish string `json:"publish" doc:"token or guests: who may publish into the room"`
}

// Room is where people meet.
type Room struct {
	Room  id.Stream `json:"room"`
	Rules RoomRules `json:"rules"`
	Count int       `json:"count" doc:"people, on this node"`
}

// RoomList are the rooms that the caller may be in.
type RoomList struct {
	Rooms []Room `json:"rooms"`
}

// TokenBody asks for a token.
type TokenBody struct {
	Role    string    `json:"role" doc:"viewer, publisher, moderator, operator or admin; below one's own, but for admins"`
	Tenant  string    `json:"tenant,omitempty" doc:"one's own if left out"`
	Streams *[]string `json:"streams,omitempty" doc:"patterns, within one's own"`
	Rooms   *[]string `json:"rooms,omitempty" doc:"patterns, within one's own"`
	Name    string    `json:"name,omitempty"`
	Subject string    `json:"sub,omitempty" doc:"admins only; made up if left out"`
	TTL     int       `json:"ttl,omitempty" doc:"seconds; an hour if left out"`
}

// Token that was made.
type Token struct {
	Token   string   `json:"token" doc:"JWT; shown this once"`
	ID      string   `json:"jti" doc:"to revoke it"`
	Subject string   `json:"sub"`
	Tenant  string   `json:"tenant"`
	Role    string   `json:"role"`
	Streams []string `json:"streams"`
	Rooms   []string `json:"rooms"`
	Name    string   `json:"name,omitempty"`
	Expires Millis   `json:"expires"`
}

// TicketBody is a one-time link's word.
type TicketBody struct {
	Ticket string `json:"ticket"`
}

// PathKey signs path tokens. Its secret is for edge servers.
type PathKey struct {
	ID      string `json:"id" doc:"kid"`
	Created Millis `json:"created"`
	Key     string `json:"key" doc:"base64url; keep it secret"`
	Signs   bool   `json:"signs" doc:"new tokens are made with it"`
}

// PathKeyList are the keys that are good.
type PathKeyList struct {
	Keys []PathKey `json:"keys"`
}

// Node of the cluster.
type Node struct {
	ID        string            `json:"id"`
	Self      bool              `json:"self" doc:"answered this request"`
	Version   string            `json:"version"`
	Addresses map[string]string `json:"addresses"`
	Since     Millis            `json:"since" doc:"known to the cluster"`
	Streams   int               `json:"streams" doc:"of the node that answered"`
	Viewers   int               `json:"viewers" doc:"of the node that answered"`
}

// NodeList is the cluster.
type NodeList struct {
	Nodes []Node `json:"nodes"`
}

// Me is who asks.
type Me struct {
	User    string          `json:"user" doc:"empty for guests"`
	Name    string          `json:"name"`
	Tenant  string          `json:"tenant"`
	Role    string          `json:"role"`
	Guest   bool            `json:"guest"`
	Streams []string        `json:"streams"`
	Rooms   []string        `json:"rooms"`
	Expires Millis          `json:"expires,omitempty"`
	Can     []access.Action `json:"can" doc:"with stream= or room= to that, else anywhere"`
}
