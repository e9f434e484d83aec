package socket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"sync"

	"watershed/cluster"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/whip"
	"watershed/sfu/media"
	"watershed/signaling/access"
	"watershed/signaling/room"
)

// Sources of what participants publish.
const (
	sourceCamera = "camera"
	sourceScreen = "screen"
)

// publisher is one PeerConnection that publishes: one of a socket for each source.
type publisher struct {
	conn        *conn
	source      string
	fingerprint string
	room        id.Stream         // "" for a declared stream
	claim       *room.Publication // in the room
	stream      *sfu.Stream

	mu      sync.Mutex // guards what follows
	session *whip.Session
	ended   error // why, once it is to end
}

type publishFields struct {
	Room     string `json:"room"`
	Stream   string `json:"stream"`
	SDP      string `json:"sdp"`
	Source   string `json:"source"`
	Takeover bool   `json:"takeover"`
}

type publishing struct {
	Stream id.Stream `json:"stream"`
	Source string    `json:"source"`
	SDP    string    `json:"sdp"`
}

func (c *conn) publish(r *request) error {
	var f publishFields
	if err := r.into(&f); err != nil {
		return err
	}
	switch f.Source {
	case "":
		f.Source = sourceCamera
	case sourceCamera, sourceScreen:
	default:
		return bad("source", "source is camera or screen")
	}
	fingerprint := fingerprintOf(f.SDP)
	if p := c.publisher(f.Source); p != nil {
		if fingerprint != "" && p.fingerprint == fingerprint {
			return p.restart(r, f.SDP)
		}
		p.close(errReplaced)
	}
	p := &publisher{conn: c, source: f.Source, fingerprint: fingerprint}
	permit, err := c.permit(p, &f)
	if err != nil {
		return err
	}
	return p.begin(r, permit, f.SDP)
}

// permit finds the stream to publish, and takes its name if it is a room's.
func (c *conn) permit(p *publisher, f *publishFields) (*ingest.Permit, error) {
	if f.Room == "" {
		name, err := id.ParseStream(f.Stream)
		if err != nil {
			return nil, bad("stream", "name a room or a stream to publish into")
		}
		w := ingest.Publish{Stream: name, Protocol: "whip", Addr: c.request.RemoteAddr, Takeover: f.Takeover}
		return c.server.cfg.Admit(access.With(c.ctx, c.who), w)
	}
	place, err := c.inRoom(f.Room)
	if err != nil {
		return nil, err
	}
	if err := c.maySpeak(place.name); err != nil {
		return nil, err
	}
	name := participant(place.name, c.user, p.source)
	var st *sfu.Stream
	p.claim, err = place.member.Claim(name, f.Takeover, p.kicked, func() {
		c.server.cfg.SFU.Remove(name) // what another publication left: this one is another stream
		st = c.server.cfg.SFU.Ensure(name, sfu.Spec{Ephemeral: true})
	})
	if err != nil {
		return nil, err
	}
	p.room = place.name
	return &ingest.Permit{Stream: st, Takeover: true, Hold: func(end func(error)) func() {
		return c.server.cfg.Access.Hold(c.who, access.Join, place.name, end).Release
	}}, nil
}

// maySpeak decides on publishing into a room: by token, or by the room's rules.
func (c *conn) maySpeak(name id.Stream) error {
	a := c.server.cfg.Access
	if c.server.rooms.Rules(name).Publish == cluster.PublishGuests {
		return a.May(c.who, access.Join, name)
	}
	return a.May(c.who, access.Speak, name)
}

var plain = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,47}$`)

// participant is the stream of somebody in a room. Users whose id is no name get one from its hash.
func participant(in id.Stream, user, source string) id.Stream {
	if !plain.MatchString(user) {
		h := sha256.Sum256([]byte(user))
		user = "u-" + hex.EncodeToString(h[:8])
	}
	if source == sourceScreen {
		user += "-screen"
	}
	return id.MakeStream(in.Tenant(), in.Name()+"+"+user)
}

// begin answers the offer and tells the room.
func (p *publisher) begin(r *request, permit *ingest.Permit, offer string) error {
	c := p.conn
	p.stream = permit.Stream
	c.mu.Lock()
	c.publishers[p.source] = p
	c.mu.Unlock()
	s, err := c.server.cfg.Publishers.Answer(context.WithoutCancel(c.ctx), whip.Options{
		Permit: permit, Offer: offer, Name: "socket from " + c.request.RemoteAddr,
		Closed: func(_ *whip.Session, reason error) { p.over(reason) },
	})
	if err != nil {
		p.forget()
		return err
	}
	p.mu.Lock()
	p.session = s
	ended := p.ended
	p.mu.Unlock()
	if ended != nil {
		s.Close(ended)
		return ended
	}
	c.log.Info("publisher came", "stream", p.stream.Name, "protocol", "socket", "from", c.request.RemoteAddr)
	c.reply(r, "publishing", publishing{p.stream.Name, p.source, s.Answer})
	if p.claim != nil {
		p.claim.Live(p.source, p.stream.Track(media.Audio) != nil, p.stream.Track(media.Video) != nil, s)
	}
	return nil
}

// restart takes the same PeerConnection's new ICE credentials.
func (p *publisher) restart(r *request, offer string) error {
	ufrag, password := attribute(offer, "ice-ufrag"), attribute(offer, "ice-pwd")
	p.mu.Lock()
	s := p.session
	p.mu.Unlock()
	if s == nil || ufrag == "" || password == "" {
		return faultf("bad-sdp", "the offer has no ice-ufrag and ice-pwd")
	}
	if _, _, err := s.RestartICE(ufrag, password); err != nil {
		return faultf("bad-sdp", "%v", err)
	}
	p.conn.reply(r, "publishing", publishing{p.stream.Name, p.source, s.Answer})
	return nil
}

func fingerprintOf(sdp string) string { return strings.ToUpper(attribute(sdp, "fingerprint")) }

// attribute is the first value of an SDP attribute: with a bundle all m-lines have the same.
func attribute(sdp, key string) string {
	_, after, _ := strings.Cut(sdp, "\na="+key+":")
	value, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(value)
}

// close ends the publisher; what it began has ended when it returns.
func (p *publisher) close(reason error) {
	p.mu.Lock()
	if p.ended == nil {
		p.ended = reason
	}
	s := p.session
	p.mu.Unlock()
	if s != nil {
		s.Close(reason)
	}
}

// kicked is called by the room, on a goroutine of its own.
func (p *publisher) kicked(reason error) {
	defer p.conn.survive()
	p.close(reason)
}

// over is called once by a session that has ended.
func (p *publisher) over(reason error) {
	defer p.conn.survive()
	p.forget()
	if errors.Is(reason, sfu.ErrStreamGone) && p.claim != nil && p.claim.Taken() {
		reason = room.ErrTakenOver
	}
	c := p.conn
	c.log.Info("publisher left", "stream", p.stream.Name, "protocol", "socket", "reason", reason)
	if errors.Is(reason, errReplaced) || errors.Is(reason, errUnpublished) || errors.Is(reason, errSocketEnded) {
		return
	}
	f := endedFields{Source: p.source, Stream: p.stream.Name, Code: "lost", Text: reason.Error()}
	var r *room.Refusal
	switch {
	case errors.As(reason, &r):
		f.Code = r.Code
	case errors.Is(reason, errLeft):
		f.Code = "left"
	}
	c.tell("unpublished", f)
}

var errUnpublished = errors.New("the client ended it")

// forget gives up the place in the socket and the name in the room.
func (p *publisher) forget() {
	c := p.conn
	c.mu.Lock()
	if c.publishers[p.source] == p {
		delete(c.publishers, p.source)
	}
	c.mu.Unlock()
	if p.claim != nil {
		p.claim.Ended(p.remove)
	}
}

// remove the stream, unless another has its name: of a room that came after one that failed.
func (p *publisher) remove() {
	streams := p.conn.server.cfg.SFU
	if st, ok := streams.Stream(p.stream.Name); ok && st == p.stream {
		streams.Remove(p.stream.Name)
	}
}

func (c *conn) publisher(source string) *publisher {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.publishers[source]
}

// allPublishers of a source, "" for any.
func (c *conn) allPublishers(source string) []*publisher {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*publisher
	for s, p := range c.publishers {
		if source == "" || s == source {
			all = append(all, p)
		}
	}
	return all
}

type sourceFields struct {
	Source string `json:"source"`
	Audio  bool   `json:"audio"`
	Video  bool   `json:"video"`
}

func (c *conn) unpublish(r *request) error {
	var f sourceFields
	if err := r.into(&f); err != nil {
		return err
	}
	for _, p := range c.allPublishers(f.Source) {
		p.close(errUnpublished)
	}
	c.reply(r, "unpublished", nil)
	return nil
}

func (c *conn) mute(r *request) error {
	var f sourceFields
	if err := r.into(&f); err != nil {
		return err
	}
	all := c.allPublishers(f.Source)
	if len(all) == 0 {
		return faultf("not-found", "you publish nothing")
	}
	for _, p := range all {
		p.mute(room.Muted{Audio: f.Audio, Video: f.Video})
	}
	c.reply(r, "muted", room.Muted{Audio: f.Audio, Video: f.Video})
	return nil
}

// mute a participant's stream in its room, or the sound of a declared one.
func (p *publisher) mute(m room.Muted) {
	if p.claim != nil {
		p.claim.Mute(m)
		return
	}
	p.mu.Lock()
	s := p.session
	p.mu.Unlock()
	if s != nil {
		s.Silence(m.Audio)
	}
}

// candidate is taken and not needed: the peer's checks tell its addresses, as we are ICE-lite or learn them as peer-reflexive.
func (c *conn) candidate(r *request) error {
	var f struct {
		PC        string `json:"pc"`
		Candidate string `json:"candidate"`
		Mid       string `json:"mid"`
	}
	if err := r.into(&f); err != nil {
		return err
	}
	if f.PC != "publish" && f.PC != "view" {
		return bad("pc", "pc is publish or view")
	}
	return nil
}
