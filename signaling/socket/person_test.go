package socket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	rtpcodecs "github.com/pion/rtp/codecs"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"watershed/sfu/ingest/ingesttest"
	light "watershed/sfu/peer"
)

// person is a participant as a page makes one: publishes over one connection for each source, watches over another that is negotiated once, and
// binds its slots as others come and go. Frames are read by a goroutine of its own.
type person struct {
	t     *testing.T
	user  string
	mark  byte // in everything that the person publishes
	level atomic.Int32
	ws    *websocket.Conn
	stop  context.CancelFunc
	tasks sync.WaitGroup

	joined  object        // set by arrive
	unheard chan struct{} // closed when the socket has ended
	lost    error         // why it has

	mu       sync.Mutex // guards what follows
	next     int
	sent     map[string]int // frames by type
	answers  map[string]chan object
	streams  map[string]object // of others, by name
	slots    []*testSlot
	speakers []any
	told     map[string]int // frames unasked, by type and code
	muted    bool           // as a moderator did
	conns    map[string]*webrtc.PeerConnection
}

// testSlot is one m-line, and whose marks came in it since it was bound.
type testSlot struct {
	mid, kind, stream string
	heard             map[byte]int
	silence           int
}

var (
	certificateOnce = sync.OnceValues(light.NewCertificate) // shared: making one is slow
	quietly         = []byte{0xf8, 0xff, 0xfe}              // a packet of Opus silence
)

// arrive joins the room; the person stays until it goes, or the test ends.
func (n *node) arrive(t *testing.T, user, jwt string, mark byte) *person {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &person{
		t: t, user: user, mark: mark, stop: stop, ws: n.dial().ws,
		sent: map[string]int{}, answers: map[string]chan object{}, streams: map[string]object{}, told: map[string]int{}, conns: map[string]*webrtc.PeerConnection{},
		unheard: make(chan struct{}),
	}
	p.level.Store(127)
	welcome := make(chan object, 1)
	p.answers["welcome"] = welcome
	p.tasks.Go(func() { p.read(ctx) })
	p.tasks.Go(func() { p.stay(ctx) })
	t.Cleanup(p.goes)
	p.send(object{"t": "hello", "token": jwt, "rooms": []object{{"room": "river-1"}}})
	w := p.await(welcome)
	require.Len(t, w["rooms"], 1)
	p.joined = w["rooms"].([]any)[0].(object)
	return p
}

// goes leaves without a word.
func (p *person) goes() {
	p.stop()
	p.ws.CloseNow()
	p.mu.Lock()
	conns := slices.Collect(maps.Values(p.conns))
	p.mu.Unlock()
	for _, pc := range conns {
		pc.Close()
	}
	p.tasks.Wait()
}

func (p *person) send(o object) {
	b, err := json.Marshal(o)
	if err == nil {
		p.mu.Lock()
		p.sent[o["t"].(string)]++
		p.mu.Unlock()
		p.ws.Write(context.Background(), websocket.MessageText, b) // whoever waits for an answer notices
	}
}

// request sends a frame whose answer comes by the channel.
func (p *person) request(o object) chan object {
	answer := make(chan object, 1)
	p.mu.Lock()
	p.next++
	id := fmt.Sprint(p.next)
	p.answers[id] = answer
	p.mu.Unlock()
	o["id"] = id
	p.send(o)
	return answer
}

func (p *person) await(answer chan object) object {
	p.t.Helper()
	select {
	case o := <-answer:
		return o
	case <-p.unheard:
		p.t.Fatalf("%s gets no answer: %v", p.user, p.lost)
	case <-time.After(30 * time.Second):
		p.t.Fatalf("%s gets no answer\n%s", p.user, allStacks())
	}
	return nil
}

func (p *person) ask(o object) object {
	p.t.Helper()
	return p.await(p.request(o))
}

func (p *person) read(ctx context.Context) {
	defer close(p.unheard)
	for {
		_, b, err := p.ws.Read(ctx)
		if err != nil {
			p.lost = err
			return
		}
		var o object
		if json.Unmarshal(b, &o) == nil {
			p.take(o)
		}
	}
}

// stay tells the server now and then that the person is there.
func (p *person) stay(ctx context.Context) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			p.send(object{"t": "ping"})
		case <-ctx.Done():
			return
		}
	}
}

func (p *person) take(o object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, _ := o["id"].(string)
	if o["t"] == "welcome" {
		key = "welcome"
		p.note(o["rooms"].([]any)[0].(object)["streams"].([]any))
	}
	if answer := p.answers[key]; answer != nil {
		delete(p.answers, key)
		answer <- o
		return
	}
	code, _ := o["code"].(string)
	p.told[fmt.Sprint(o["t"], " ", code)]++
	switch o["t"] {
	case "streams":
		added, _ := o["added"].([]any)
		changed, _ := o["changed"].([]any)
		p.note(append(added, changed...))
		removed, _ := o["removed"].([]any)
		for _, s := range removed {
			delete(p.streams, s.(string))
		}
		p.bind()
	case "speakers":
		p.speakers = o["users"].([]any)
	case "sanction":
		p.muted = o["do"] == "mute"
	}
}

func (p *person) note(streams []any) {
	for _, s := range streams {
		if s := s.(object); s["user"] != p.user {
			p.streams[s["stream"].(string)] = s
		}
	}
}

// bind puts streams into slots: who has one keeps it.
func (p *person) bind() {
	var changes []object
	for _, sl := range p.slots {
		if _, there := p.streams[sl.stream]; sl.stream != "" && !there {
			sl.stream, sl.heard = "", map[byte]int{}
			changes = append(changes, object{"mid": sl.mid, "stream": nil})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.streams)) {
		for _, kind := range []string{"video", "audio"} {
			if p.streams[name][kind] != true || slices.ContainsFunc(p.slots, func(sl *testSlot) bool { return sl.kind == kind && sl.stream == name }) {
				continue
			}
			i := slices.IndexFunc(p.slots, func(sl *testSlot) bool { return sl.kind == kind && sl.stream == "" })
			if i < 0 {
				continue
			}
			p.slots[i].stream, p.slots[i].heard = name, map[byte]int{}
			changes = append(changes, object{"mid": p.slots[i].mid, "stream": name})
		}
	}
	if len(changes) > 0 {
		p.sent["bind"]++
		b, _ := json.Marshal(object{"t": "bind", "slots": changes})
		p.ws.Write(context.Background(), websocket.MessageText, b) // here, for the last must be the one that stays
	}
}

// watch the others, with so many slots for pictures and as many for voices.
func (p *person) watch(slots int) {
	p.t.Helper()
	certificate, err := certificateOnce()
	require.NoError(p.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	receiver, err := light.Dial(ctx, light.Config{
		Video: slots, Audio: slots, Certificate: certificate, Verify: 1, OnPacket: p.got,
		Exchange: func(_ context.Context, offer string) (string, error) {
			answer := p.ask(object{"t": "view", "sdp": offer})
			sdp, ok := answer["sdp"].(string)
			if !ok {
				return "", fmt.Errorf("%v", answer)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, s := range answer["slots"].([]any) {
				p.slots = append(p.slots, &testSlot{mid: s.(object)["mid"].(string), kind: s.(object)["kind"].(string)})
			}
			p.bind()
			return sdp, nil
		},
	})
	require.NoError(p.t, err)
	run, end := context.WithCancel(context.Background())
	before := p.stop
	p.stop = func() { before(); end() }
	p.tasks.Go(func() { receiver.Run(run) })
}

// got is called by the peer for each packet.
func (p *person) got(pkt light.Packet) {
	var r rtp.Packet
	if pkt.RTX || r.Unmarshal(pkt.Plain) != nil || len(r.Payload) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.slots, func(sl *testSlot) bool { return sl.mid == pkt.Track.Mid })
	if i < 0 || p.slots[i].stream == "" {
		return
	}
	switch sl := p.slots[i]; {
	case bytes.Equal(r.Payload, quietly):
		sl.silence++
	case sl.kind == "audio":
		sl.heard[r.Payload[1]]++
	default:
		if _, after, ok := bytes.Cut(r.Payload, pictureOf); ok && len(after) > 0 {
			sl.heard[after[0]]++
		}
	}
}

// pictureOf stands before the mark in a picture.
var pictureOf = []byte{0x65, 0x88, '#'}

// publish shows and speaks, or says why it cannot; slowly, for there are many.
func (p *person) publish(source string, more object) error {
	p.t.Helper()
	m := &webrtc.MediaEngine{}
	require.NoError(p.t, m.RegisterDefaultCodecs())
	require.NoError(p.t, m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.AudioLevelURI}, webrtc.RTPCodecTypeAudio))
	var e webrtc.SettingEngine
	e.SetIncludeLoopbackCandidate(true)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(e), webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(&interceptor.Registry{})).NewPeerConnection(webrtc.Configuration{})
	require.NoError(p.t, err)
	p.t.Cleanup(func() { pc.Close() })
	video, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000}, "video", source)
	require.NoError(p.t, err)
	audio, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "audio", source)
	require.NoError(p.t, err)
	tracks := []*webrtc.TrackLocalStaticRTP{video, audio}
	if source == sourceScreen {
		tracks = tracks[:1]
	}
	var senders []*webrtc.RTPSender
	for _, track := range tracks {
		tr, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(p.t, err)
		senders = append(senders, tr.Sender())
	}
	ask := object{"t": "publish", "room": "river-1", "source": source, "sdp": offer(p.t, pc, nil)}
	maps.Copy(ask, more)
	answer := p.ask(ask)
	if answer["t"] != "publishing" {
		pc.Close()
		return errors.New(fmt.Sprint(answer["code"]))
	}
	accept(p.t, pc, answer["sdp"])
	extension := uint8(0)
	for _, x := range senders[len(senders)-1].GetParameters().HeaderExtensions {
		if x.URI == sdp.AudioLevelURI {
			extension = uint8(x.ID)
		}
	}
	if source == sourceCamera {
		require.NotZero(p.t, extension, "the answer takes the audio level")
	}
	p.mu.Lock()
	p.conns[source] = pc
	p.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateClosed {
			stop()
		}
	})
	p.tasks.Go(func() {
		defer stop()
		p.produce(ctx, video, audio, extension)
	})
	return nil
}

// produce four packets of sound and two pictures a second, each a keyframe, all with the person's mark.
func (p *person) produce(ctx context.Context, video, audio *webrtc.TrackLocalStaticRTP, extension uint8) {
	payloader := &rtpcodecs.H264Payloader{}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	seq := uint16(0)
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sound := &rtp.Packet{Payload: []byte{0xfc, p.mark, 1, 2}, Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 12000}}
		if extension != 0 {
			sound.SetExtension(extension, []byte{byte(p.level.Load())})
			audio.WriteRTP(sound)
		}
		if i%2 != 0 {
			continue
		}
		var annexB bytes.Buffer
		for _, nal := range [][]byte{ingesttest.SPS, ingesttest.PPS, append(bytes.Clone(pictureOf), p.mark, 1, 2, 3, 4)} {
			annexB.Write(append([]byte{0, 0, 0, 1}, nal...))
		}
		payloads := payloader.Payload(1100, annexB.Bytes())
		for j, payload := range payloads {
			video.WriteRTP(&rtp.Packet{Payload: payload, Header: rtp.Header{Version: 2, Marker: j == len(payloads)-1, SequenceNumber: seq, Timestamp: uint32(i) * 22500}})
			seq++
		}
	}
}

// missing is whom the person should see and hear in some slot and does not, or does where it should not.
func (p *person) missing(everybody map[string]byte) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, mark := range everybody {
		if p.streams[name] == nil {
			all = append(all, name+" is not known")
			continue
		}
		for _, kind := range []string{"video", "audio"} {
			if p.streams[name][kind] != true {
				continue
			}
			i := slices.IndexFunc(p.slots, func(sl *testSlot) bool { return sl.kind == kind && sl.stream == name })
			if i < 0 || p.slots[i].heard[mark] < 2 {
				all = append(all, fmt.Sprint(name, " by ", kind))
			}
		}
	}
	for name := range p.streams {
		if _, there := everybody[name]; !there {
			all = append(all, name+" is gone")
		}
	}
	return all
}

// has reports something of the person's.
func (p *person) has(what func() bool) func() bool {
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return what()
	}
}
