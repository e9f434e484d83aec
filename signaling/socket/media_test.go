package socket

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/token"
)

// peer makes a PeerConnection and its offer, as a browser that does not trickle.
func peer(t *testing.T, prepare func(*webrtc.PeerConnection)) (*webrtc.PeerConnection, string) {
	t.Helper()
	var e webrtc.SettingEngine
	e.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(e)).NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	t.Cleanup(func() { pc.Close() })
	prepare(pc)
	return pc, offer(t, pc, nil)
}

func offer(t *testing.T, pc *webrtc.PeerConnection, o *webrtc.OfferOptions) string {
	t.Helper()
	gathered := webrtc.GatheringCompletePromise(pc)
	text, err := pc.CreateOffer(o)
	require.NoError(t, err)
	require.NoError(t, pc.SetLocalDescription(text))
	<-gathered
	return pc.LocalDescription().SDP
}

func accept(t *testing.T, pc *webrtc.PeerConnection, sdp any) {
	t.Helper()
	require.NoError(t, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp.(string)}))
}

// speak publishes sound into a room until ctx ends.
func speak(ctx context.Context, t *testing.T, c *client, more object) (answer object) {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "audio", "me")
	require.NoError(t, err)
	pc, sdp := peer(t, func(pc *webrtc.PeerConnection) {
		_, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(t, err)
	})
	ask := object{"t": "publish", "room": "river-1", "sdp": sdp}
	for k, v := range more {
		ask[k] = v
	}
	answer = c.ask(ask)
	if answer["t"] != "publishing" {
		return answer
	}
	accept(t, pc, answer["sdp"])
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				track.WriteSample(media.Sample{Data: []byte{0xfc, 1, 2, 3}, Duration: 20 * time.Millisecond})
			case <-ctx.Done():
				return
			}
		}
	}()
	return answer
}

// listen views with one slot for sound; each packet that comes is poked.
func listen(t *testing.T, c *client) (pc *webrtc.PeerConnection, heard chan struct{}) {
	t.Helper()
	heard = make(chan struct{}, 1)
	pc, sdp := peer(t, func(pc *webrtc.PeerConnection) {
		_, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		require.NoError(t, err)
		pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			for {
				if _, _, err := tr.ReadRTP(); err != nil {
					return
				}
				select {
				case heard <- struct{}{}:
				default:
				}
			}
		})
	})
	answer := c.ask(object{"t": "view", "sdp": sdp})
	require.Equal(t, "viewing", answer["t"], "%v", answer)
	require.Equal(t, []any{object{"mid": "0", "kind": "audio"}}, answer["slots"])
	accept(t, pc, answer["sdp"])
	return pc, heard
}

func hears(t *testing.T, heard chan struct{}) {
	t.Helper()
	for range 3 { // what was under way does not count
		select {
		case <-heard:
		case <-time.After(20 * time.Second):
			t.Fatal("nothing is heard")
		}
	}
}

// TestPublishAndView: people publish into a room, others watch over the same socket; the connection outlives what it watches.
func TestPublishAndView(t *testing.T) {
	n := newNode(t, t.TempDir())
	li := n.enter(n.mint("li", token.Publisher), "river-1")
	bo := n.enter(n.mint("bo", token.Viewer), "river-1")
	mod := n.enter(n.mint("mod", token.Moderator), "river-1")
	refused(t, speak(t.Context(), t, bo, nil), "forbidden")

	answer := speak(t.Context(), t, li, nil)
	require.Equal(t, "river-1+li", answer["stream"])
	added := bo.until("a stream", func(o object) bool { return o["t"] == "streams" && o["added"] != nil })["added"].([]any)[0].(object)
	require.Equal(t, object{"stream": "river-1+li", "user": "li", "name": "LI", "source": "camera", "audio": true, "video": false}, added)
	bo.until("a publisher", func(o object) bool {
		joined, _ := o["joined"].([]any)
		return o["t"] == "people" && len(joined) == 1 && joined[0].(object)["user"] == "li"
	})

	pc, heard := listen(t, bo)
	bind := func(stream any) object {
		return bo.ask(object{"t": "bind", "slots": []object{{"mid": "0", "stream": stream}}})["slots"].([]any)[0].(object)
	}
	require.Equal(t, "not-found", bind("river-1+nobody")["code"])
	outside, _ := n.hello(nil)
	refused(t, outside.ask(object{"t": "publish", "room": "river-1", "sdp": "x"}), "not-in-room")
	require.Equal(t, object{"mid": "0", "stream": "river-1+li", "ok": true}, bind("river-1+li"))
	hears(t, heard)
	slot := bo.until("a live slot", func(o object) bool { return o["t"] == "slot" && o["layer"] == "main" })
	require.Equal(t, "live", slot["state"])

	// ICE restarts on the same connection.
	again := bo.ask(object{"t": "view", "sdp": offer(t, pc, &webrtc.OfferOptions{ICERestart: true})})
	require.Equal(t, "viewing", again["t"])
	accept(t, pc, again["sdp"])
	hears(t, heard)

	require.Equal(t, "muted", li.ask(object{"t": "mute", "audio": true})["t"])
	changed := bo.until("muted", func(o object) bool { return o["t"] == "streams" && o["changed"] != nil })
	require.Equal(t, object{"audio": true, "video": false}, changed["changed"].([]any)[0].(object)["muted"])

	// The same person's other window is refused, or takes over; the slot follows when it is bound again.
	li2 := n.enter(n.mint("li", token.Publisher), "river-1")
	refused(t, speak(t.Context(), t, li2, nil), "busy")
	require.Equal(t, "publishing", speak(t.Context(), t, li2, object{"takeover": true})["t"])
	require.Equal(t, "busy", li.wait("unpublished")["code"])
	bo.until("gone", func(o object) bool { return o["t"] == "slot" && o["reason"] == "gone" })
	require.Equal(t, true, bind("river-1+li")["ok"])
	hears(t, heard)
	require.Equal(t, "river-1+li-screen", speak(t.Context(), t, li2, object{"source": "screen"})["stream"], "camera and screen side by side")

	require.Equal(t, "moderated", mod.ask(object{"t": "moderate", "room": "river-1", "do": "unpublish", "user": "li"})["t"])
	require.Equal(t, "removed", li2.wait("unpublished")["code"])
	require.Equal(t, "removed", li2.wait("unpublished")["code"])
	bo.until("gone", func(o object) bool { return o["t"] == "slot" && o["reason"] == "gone" })
	require.Eventually(t, func() bool { _, ok := n.sfu.Stream("river-1+li"); return !ok }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, webrtc.PeerConnectionStateConnected, pc.ConnectionState(), "the viewer outlives the stream")

	// Leaving the room ends what one publishes there, and the socket's end ends its viewer.
	require.Equal(t, "publishing", speak(t.Context(), t, li, nil)["t"])
	li.ask(object{"t": "leave", "room": "river-1"})
	require.Equal(t, "left", li.wait("unpublished")["code"])
	bind("river-1")
	st, _ := n.sfu.Stream("river-1")
	require.Equal(t, 1, st.Status().Viewers["webrtc"])
	bo.ws.CloseNow()
	require.Eventually(t, func() bool { return len(st.Status().Viewers) == 0 && n.sockets.Sockets() == 4 }, 10*time.Second, 5*time.Millisecond)
}

// TestNobodyIsCountedTwice: presence is who sits here and who watches by whatever protocol, each person once when it can be told.
func TestNobodyIsCountedTwice(t *testing.T) {
	n := newNode(t, t.TempDir())
	a := n.enter("", "river-1")
	count := func(want float64) {
		t.Helper()
		a.until("another count", func(o object) bool { return o["t"] == "presence" && o["count"] == want })
	}
	st, _ := n.sfu.Stream("river-1")
	defer st.Hold("webrtc")()
	defer st.Hold("hls")()
	count(3) // two viewers without a socket
	a.send(object{"t": "playing", "room": "river-1", "via": "llhls"})
	count(2) // one of them is a
	a.send(object{"t": "playing", "room": "river-1", "via": ""})
	count(3)
	_, _ = listen(t, a)
	a.ask(object{"t": "bind", "slots": []object{{"mid": "0", "stream": "river-1"}}})
	require.Equal(t, 2, st.Status().Viewers["webrtc"])
	b := n.enter("", "river-1")
	require.EqualValues(t, 4, b.ask(object{"t": "join", "room": "river-1"})["count"], "a, b, and two others")
	got, ok := n.sockets.Rooms().Count("river-1")
	require.True(t, ok)
	require.Equal(t, 4, got)
}

// TestLateWordOfPlaying: a page's player is counted before its socket has joined and said so. In the end everybody has heard the right count.
func TestLateWordOfPlaying(t *testing.T) {
	n := newNode(t, t.TempDir())
	st, _ := n.sfu.Stream("river-1")
	counts := func(c *client, want float64) {
		t.Helper()
		c.until(fmt.Sprint("a count of ", want), func(o object) bool { return o["t"] == "presence" && o["count"] == want })
	}
	defer st.Hold("webrtc")()
	a := n.enter("", "river-1")
	a.send(object{"t": "playing", "room": "river-1", "via": "webrtc"})
	counts(a, 1)
	defer st.Hold("webrtc")()
	counts(a, 2) // b's player
	b, w := n.hello(object{"rooms": []object{{"room": "river-1"}}})
	require.EqualValues(t, 3, w["rooms"].([]any)[0].(object)["count"], "player and socket may be two people")
	b.send(object{"t": "playing", "room": "river-1", "via": "webrtc"})
	counts(b, 2)
	got, _ := n.sockets.Rooms().Count("river-1")
	require.Equal(t, 2, got)
}

// TestWatch: events of streams.
func TestWatch(t *testing.T) {
	n := newNode(t, t.TempDir())
	guest, _ := n.hello(nil)
	operator, _ := n.hello(object{"token": n.mint("op", token.Operator)})
	names := func(answer object) (all []any) {
		for _, s := range answer["streams"].([]any) {
			all = append(all, s.(object)["name"])
		}
		return all
	}
	require.ElementsMatch(t, []any{"river-1", "river-2"}, names(guest.ask(object{"t": "watch", "streams": []string{"*"}})))
	require.ElementsMatch(t, []any{"private-1"}, names(operator.ask(object{"t": "watch", "streams": []string{"private*"}})))
	n.sfu.Declare("private-2", sfu.Spec{})
	operator.until("the new stream", func(o object) bool { return o["t"] == "stream" && o["stream"].(object)["name"] == "private-2" })
	n.sfu.Remove("private-2")
	operator.until("its end", func(o object) bool { return o["t"] == "stream-gone" && o["name"] == "private-2" })
	n.sfu.Remove("river-2")
	guest.until("the end of a public one", func(o object) bool { return o["t"] == "stream-gone" && o["name"] == "river-2" })
	for _, o := range guest.seen {
		if s, ok := o["stream"].(object); ok {
			require.NotContains(t, s["name"], "private")
		}
	}
}

// TestEventsSurvive: a stream that cannot be described keeps nobody from hearing of the others.
func TestEventsSurvive(t *testing.T) {
	n := newNode(t, t.TempDir())
	cfg := n.sockets.cfg
	cfg.Describe = func(p *access.Principal, st *sfu.Stream) any {
		if st.Name == "river-3" {
			panic("river-3 cannot be described")
		}
		return describe(p, st)
	}
	s := New(cfg)
	srv := httptest.NewServer(s)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	defer func() { stop(); <-ended; srv.Close() }()
	n.url = "ws" + strings.TrimPrefix(srv.URL, "http") + "/ws"
	c, _ := n.hello(nil)
	c.ask(object{"t": "watch", "streams": []string{"*"}})
	for _, name := range []id.Stream{"river-3", "river-4"} {
		n.sfu.Declare(name, sfu.Spec{Public: true})
	}
	c.until("the stream after it", func(o object) bool { return o["t"] == "stream" && o["stream"].(object)["name"] == "river-4" })
	n.sfu.Remove("river-3")
	c.until("its end", func(o object) bool { return o["t"] == "stream-gone" && o["name"] == "river-3" })
}

// TestLeaveThatEndsWhileBinding: a stream that becomes private just while it is bound stays in no slot.
func TestLeaveThatEndsWhileBinding(t *testing.T) {
	n := newNode(t, t.TempDir())
	c := n.enter("", "river-2")
	listen(t, c)
	var v *viewer
	n.sockets.mu.Lock()
	for open := range n.sockets.open {
		v = open.currentViewer()
	}
	n.sockets.mu.Unlock()
	river := "river-1"
	for range 2000 {
		n.sfu.Declare("river-1", sfu.Spec{Public: true})
		private := make(chan struct{})
		go func() {
			n.sfu.Declare("river-1", sfu.Spec{})
			n.access.Recheck()
			close(private)
		}()
		v.bind(bindSlot{Mid: "0", Stream: &river})
		<-private
		require.Eventually(t, func() bool { return !v.watches("river-1") }, 10*time.Second, 100*time.Microsecond)
	}
}

// TestPutOutOfARoomIsPutOutOfItsPictures: who is removed from a room no longer sees or hears those in it, guests neither.
func TestPutOutOfARoomIsPutOutOfItsPictures(t *testing.T) {
	n := newNode(t, t.TempDir())
	li, mod := n.enter(n.mint("li", token.Publisher), "river-1"), n.enter(n.mint("mod", token.Moderator), "river-1")
	require.Equal(t, "publishing", speak(t.Context(), t, li, nil)["t"])
	guest, welcome := n.hello(object{"rooms": []object{{"room": "river-1"}}})
	_, heard := listen(t, guest)
	bind := object{"t": "bind", "slots": []object{{"mid": "0", "stream": "river-1+li"}}}
	require.Equal(t, true, guest.ask(bind)["slots"].([]any)[0].(object)["ok"])
	hears(t, heard)

	out := object{"t": "moderate", "room": "river-1", "do": "remove", "user": welcome["you"].(object)["user"]}
	require.Equal(t, "moderated", mod.ask(out)["t"])
	require.Equal(t, "removed", guest.wait("left")["code"])
	guest.until("an empty slot", func(o object) bool { return o["t"] == "slot" && o["reason"] == "gone" })
	require.Empty(t, n.sockets.Viewers("river-1+li"))
	require.Equal(t, "removed", guest.ask(bind)["slots"].([]any)[0].(object)["code"])
}
