package socket

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"watershed/sfu"
	"watershed/sfu/answer"
	"watershed/sfu/id"
	"watershed/sfu/leg"
	"watershed/signaling/access"
)

// viewer is the socket's one PeerConnection to watch with.
type viewer struct {
	conn   *conn
	sfu    *sfu.Viewer
	offer  *answer.Offer
	answer string // in force
	stop   chan struct{}
	once   sync.Once

	binding sync.Mutex // held while a slot gets another stream, and never by the room's goroutine: a leave that ends meanwhile finds it done

	mu    sync.Mutex        // guards what follows; nothing is called while it is held
	slots map[string]*bound // by mid
	ended bool
}

// bound is a stream in a slot.
type bound struct {
	stream  *sfu.Stream
	release func()          // the stream is held while it is watched
	held    *access.Session // leave to watch it
	told    slotState
}

func (b *bound) end() {
	b.release()
	b.held.Release()
}

// slotState is what a client hears of a slot.
type slotState struct {
	Mid    string     `json:"mid"`
	Stream id.Stream  `json:"stream"`
	State  sfu.State  `json:"state"`
	Layer  string     `json:"layer"`
	Reason sfu.Reason `json:"reason"`
}

type slotKind struct {
	Mid  string `json:"mid"`
	Kind string `json:"kind"`
}

type viewing struct {
	SDP   string     `json:"sdp"`
	Slots []slotKind `json:"slots"`
}

// Reasons for which we end transports.
var (
	errReplaced    = errors.New("another offer replaced it")
	errUnviewed    = errors.New("the client ended it")
	errSocketEnded = errors.New("the socket ended")
	errLeft        = errors.New("the participant left the room")
)

func (c *conn) view(r *request) error {
	var f struct {
		SDP string `json:"sdp"`
	}
	if err := r.into(&f); err != nil {
		return err
	}
	offer, err := answer.Parse(f.SDP, "")
	if err != nil {
		return faultf("bad-sdp", "%v", err)
	}
	if v := c.currentViewer(); v != nil && v.sameAs(offer) {
		v.restart(offer)
		c.reply(r, "viewing", v.description())
		return nil
	}
	c.dropViewer(errReplaced)
	v := &viewer{conn: c, offer: offer, stop: make(chan struct{}), slots: map[string]*bound{}}
	v.sfu, err = c.server.cfg.SFU.Answer(sfu.ViewerOptions{
		Offer: f.SDP, Outlives: true,
		Closed: func(_ *sfu.Viewer, reason error) { go v.over(reason) }, // the media port must not wait for a room
	})
	if errors.Is(err, leg.ErrFull) {
		return faultf("full", "%v", err)
	}
	if err != nil {
		return faultf("bad-sdp", "%v", err)
	}
	v.answer = v.sfu.Answer
	c.mu.Lock()
	c.viewer = v
	c.mu.Unlock()
	go v.report()
	c.reply(r, "viewing", v.description())
	return nil
}

// sameAs reports whether an offer comes from the same PeerConnection: then it restarts ICE.
func (v *viewer) sameAs(o *answer.Offer) bool {
	return o.Fingerprint == v.offer.Fingerprint && slices.EqualFunc(o.Medias, v.offer.Medias, func(a, b answer.Media) bool { return a.Mid == b.Mid && a.Kind == b.Kind })
}

func (v *viewer) restart(o *answer.Offer) {
	oldUfrag, oldPassword := v.sfu.Credentials()
	ufrag, password := v.sfu.RestartICE(o.Ufrag, o.Password)
	v.answer = strings.NewReplacer("a=ice-ufrag:"+oldUfrag+"\r", "a=ice-ufrag:"+ufrag+"\r", "a=ice-pwd:"+oldPassword+"\r", "a=ice-pwd:"+password+"\r").Replace(v.answer)
	v.offer = o
}

func (v *viewer) description() viewing {
	d := viewing{SDP: v.answer, Slots: []slotKind{}}
	for _, sl := range v.sfu.Slots {
		d.Slots = append(d.Slots, slotKind{sl.Mid, sl.Kind.String()})
	}
	return d
}

func (c *conn) currentViewer() *viewer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.viewer
}

// dropViewer ends the viewer, if there is one.
func (c *conn) dropViewer(reason error) bool {
	v := c.currentViewer()
	if v == nil {
		return false
	}
	v.over(reason)
	return true
}

// over ends the viewer, whoever noticed first; a client that did not ask for it is told.
func (v *viewer) over(reason error) {
	defer v.conn.survive()
	v.once.Do(func() {
		c := v.conn
		c.mu.Lock()
		if c.viewer == v {
			c.viewer = nil
		}
		c.mu.Unlock()
		close(v.stop)
		v.mu.Lock()
		slots := v.slots
		v.slots, v.ended = nil, true
		v.mu.Unlock()
		for _, b := range slots {
			b.end()
			c.noteBound(b.stream.Name)
		}
		go v.sfu.Close(reason) // it calls back here, or is calling
		if reason != nil && reason != errReplaced && reason != errUnviewed {
			c.tell("unviewed", endedFields{Code: "lost", Text: reason.Error()})
		}
	})
}

type endedFields struct {
	Source string    `json:"source,omitempty"`
	Stream id.Stream `json:"stream,omitempty"`
	Code   string    `json:"code,omitempty"`
	Text   string    `json:"text,omitempty"`
}

func (c *conn) unview(r *request) error {
	c.dropViewer(errUnviewed)
	c.reply(r, "unviewed", nil)
	return nil
}

type bindSlot struct {
	Mid    string  `json:"mid"`
	Stream *string `json:"stream"`
	Layer  string  `json:"layer"`
}

type boundSlot struct {
	Mid    string    `json:"mid"`
	Stream id.Stream `json:"stream,omitempty"`
	OK     bool      `json:"ok"`
	Code   string    `json:"code,omitempty"`
	Text   string    `json:"text,omitempty"`
}

func (c *conn) bind(r *request) error {
	var f struct {
		Slots []bindSlot `json:"slots"`
	}
	if err := r.into(&f); err != nil {
		return err
	}
	v := c.currentViewer()
	if v == nil {
		return faultf("not-found", "there is nothing to bind: send view first")
	}
	if len(f.Slots) > len(v.sfu.Slots) {
		return bad("slots", "there are %d slots", len(v.sfu.Slots))
	}
	done := make([]boundSlot, len(f.Slots))
	for i, s := range f.Slots {
		done[i] = boundSlot{Mid: s.Mid, OK: true}
		var err error
		if done[i].Stream, err = v.bind(s); err != nil {
			p, known := explain(err)
			if !known {
				c.log.Error("bind failed", "err", err)
			}
			done[i] = boundSlot{Mid: s.Mid, Code: p.Code, Text: p.Text}
		}
	}
	c.reply(r, "bound", struct {
		Slots []boundSlot `json:"slots"`
	}{done})
	return nil
}

// bind one slot.
func (v *viewer) bind(s bindSlot) (id.Stream, error) {
	sl := v.sfu.SlotByMid(s.Mid)
	if sl == nil {
		return "", faultf("not-found", "there is no slot %.40q", s.Mid)
	}
	v.binding.Lock()
	defer v.binding.Unlock()
	if s.Stream == nil {
		sl.Bind(nil, "")
		v.put(s.Mid, nil)
		return "", nil
	}
	name, err := id.ParseStream(*s.Stream)
	if err != nil {
		return "", faultf("not-found", "%v", err)
	}
	if room, _, ephemeral := name.Room(); ephemeral {
		if err := v.conn.server.rooms.Removed(id.MakeStream(name.Tenant(), room), v.conn.user); err != nil {
			return "", err
		}
	}
	a, who := v.conn.server.cfg.Access, v.conn.who
	st, err := a.Stream(who, access.Watch, name)
	if err != nil {
		return "", err
	}
	b := &bound{stream: st, release: st.Hold("webrtc")}
	b.held = a.Hold(who, access.Watch, name, func(error) {
		defer v.conn.survive()
		v.unbind(s.Mid, b)
	})
	sl.Bind(st, s.Layer)
	v.put(s.Mid, b)
	return name, nil
}

// put a stream into a slot's place, and end what was there.
func (v *viewer) put(mid string, b *bound) {
	v.mu.Lock()
	old := v.slots[mid]
	ended := v.ended
	switch {
	case ended:
		old = b
	case b == nil:
		delete(v.slots, mid)
	default:
		v.slots[mid] = b
	}
	v.mu.Unlock()
	if b != nil && !ended {
		v.conn.noteBound(b.stream.Name)
	}
	if old != nil {
		old.end()
		v.conn.noteBound(old.stream.Name)
	}
}

// unbind empties a slot whose stream may no longer be watched, or is gone.
func (v *viewer) unbind(mid string, b *bound) {
	v.binding.Lock()
	defer v.binding.Unlock()
	v.mu.Lock()
	mine := v.slots[mid] == b
	v.mu.Unlock()
	if !mine {
		return
	}
	v.sfu.SlotByMid(mid).Bind(nil, "")
	v.put(mid, nil)
	v.conn.tell("slot", slotState{Mid: mid, Stream: b.stream.Name, State: sfu.Offline, Reason: reasonGone})
}

// unbindRoom empties the slots that carry what is published into a room: its moderator has put this one out.
func (v *viewer) unbindRoom(name id.Stream) {
	defer v.conn.survive()
	v.mu.Lock()
	slots := maps.Clone(v.slots)
	v.mu.Unlock()
	for mid, b := range slots {
		if room, _, ephemeral := b.stream.Name.Room(); ephemeral && id.MakeStream(b.stream.Name.Tenant(), room) == name {
			v.unbind(mid, b)
		}
	}
}

// reasonGone is told of slots whose stream was removed, or may no longer be watched.
const reasonGone sfu.Reason = "gone"

// watches reports whether a slot carries the stream.
func (v *viewer) watches(name id.Stream) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, b := range v.slots {
		if b.stream.Name == name {
			return true
		}
	}
	return false
}

// noteBound tells the room of a stream whether this socket watches it, so that nobody is counted twice.
func (c *conn) noteBound(name id.Stream) {
	if p := c.place(name); p != nil {
		v := c.currentViewer()
		p.member.Bound(v != nil && v.watches(name))
	}
}

// reportEvery is how often slots are looked at; a person takes longer to notice.
const reportEvery = 300 * time.Millisecond

// report tells the client what its slots carry, when that changes.
func (v *viewer) report() {
	defer v.conn.survive()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			v.reportSlots()
		case <-v.stop:
			return
		}
	}
}

func (v *viewer) reportSlots() {
	for _, sl := range v.sfu.Slots {
		v.mu.Lock()
		b := v.slots[sl.Mid]
		v.mu.Unlock()
		if b == nil {
			continue
		}
		if now, ok := v.conn.server.cfg.SFU.Stream(b.stream.Name); !ok || now != b.stream {
			v.unbind(sl.Mid, b)
			continue
		}
		status := b.stream.Status()
		s := slotState{Mid: sl.Mid, Stream: b.stream.Name, State: status.State, Reason: status.Reason}
		if l := sl.Layer(); l != nil {
			s.Layer = l.Label
		}
		if s != b.told { // only this goroutine uses told
			b.told = s
			v.conn.tell("slot", s)
		}
	}
}
