package socket

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"watershed/cluster"
	"watershed/sfu"
	"watershed/signaling/access"
	"watershed/signaling/token"
)

var discard = slog.New(slog.DiscardHandler)

func TestTwoPeopleTalk(t *testing.T) {
	n := newNode(t, t.TempDir())
	a, w := n.hello(object{"name": " Li\u202e ", "rooms": []object{{"room": "river-1"}}})
	you := w["you"].(object)
	require.Equal(t, "Li", you["name"])
	require.Equal(t, true, you["guest"])
	require.Equal(t, "viewer", you["role"])
	joined := w["rooms"].([]any)[0].(object)
	require.Equal(t, object{"chat": true, "publish": false, "moderate": false}, joined["can"])
	require.Equal(t, false, joined["resumed"])

	b := n.enter(n.mint("bo", token.Viewer), "river-1")
	a.until("two", func(o object) bool { return o["t"] == "presence" && o["count"] == 2.0 })
	said := a.say("river-1", "c1", "你好")
	require.Equal(t, "said", said["t"])
	for _, c := range []*client{a, b} {
		m := c.wait("messages")
		require.Equal(t, said["offset"], m["offset"])
		require.Equal(t, []string{"你好"}, texts(m))
		msg := m["messages"].([]any)[0].(object)
		require.Equal(t, said["mid"], msg["mid"])
		require.Equal(t, "c1", msg["cid"])
		require.Equal(t, you["user"], msg["user"])
	}
	again := a.say("river-1", "c1", "你好")
	require.Equal(t, said["offset"], again["offset"], "the same cid is the same message")

	late := n.enter("", "river-1")
	require.Equal(t, "left", a.ask(object{"t": "leave", "room": "river-1"})["t"])
	refused(t, a.say("river-1", "c2", "x"), "not-in-room")
	b.until("two again", func(o object) bool { return o["t"] == "presence" && o["count"] == 2.0 })
	late.ws.CloseNow()
	b.until("alone", func(o object) bool { return o["t"] == "presence" && o["count"] == 1.0 })
}

func TestGuestsKeepTheirName(t *testing.T) {
	n := newNode(t, t.TempDir())
	_, first := n.hello(object{"name": "Li"})
	_, second := n.hello(object{"guest": first["guest"]})
	require.Equal(t, first["you"], second["you"])
	_, third := n.hello(object{"guest": first["guest"].(string) + "x"})
	require.NotEqual(t, first["you"].(object)["user"], third["you"].(object)["user"])
}

// TestResume: whoever comes back with epoch and offset gets what was missed, once; also from the node's next process.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	a, b := n.enter(n.mint("a", token.Moderator), "river-1"), n.enter(n.mint("b", token.Viewer), "river-1")
	a.say("river-1", "1", "one")
	b.wait("messages")
	joined := b.ask(object{"t": "join", "room": "river-1"})
	require.Equal(t, []string{"one"}, texts(joined))
	b.ws.CloseNow()
	a.say("river-1", "2", "two")
	resume := []object{{"room": "river-1", "epoch": joined["epoch"], "offset": joined["offset"]}}
	_, w := n.hello(object{"rooms": resume})
	got := w["rooms"].([]any)[0].(object)
	require.Equal(t, true, got["resumed"])
	require.Equal(t, []string{"two"}, texts(got))

	n.stop()
	require.Equal(t, "go-away", a.wait("go-away")["t"])
	require.Equal(t, int(websocket.StatusGoingAway), a.closed())

	n = newNode(t, dir)
	a = n.enter(n.mint("a", token.Moderator), "river-1")
	require.Equal(t, "said", a.say("river-1", "3", "three")["t"])
	_, w = n.hello(object{"rooms": resume})
	got = w["rooms"].([]any)[0].(object)
	require.Equal(t, true, got["resumed"])
	require.Equal(t, joined["epoch"], got["epoch"])
	require.Equal(t, []string{"two", "three"}, texts(got))

	for name, from := range map[string]object{
		"another epoch": {"room": "river-1", "epoch": "other", "offset": joined["offset"]},
		"the future":    {"room": "river-1", "epoch": joined["epoch"], "offset": 1000},
		"no epoch":      {"room": "river-1", "offset": 1},
	} {
		_, w = n.hello(object{"rooms": []object{from}})
		got = w["rooms"].([]any)[0].(object)
		require.Equal(t, false, got["resumed"], name)
		require.Equal(t, []string{"one", "two", "three"}, texts(got), name)
	}
}

// TestOrder: thirty people talk at once, some send again and come back in between, and everybody sees each message once, in one order.
func TestOrder(t *testing.T) {
	n := newNode(t, t.TempDir())
	const senders, each = 30, 8
	witness := n.enter("", "river-1")
	var all sync.WaitGroup
	for s := range senders {
		jwt := n.mint(fmt.Sprint("s", s), token.Moderator) // whom no limit stops
		all.Go(func() {
			c := n.enter(jwt, "river-1")
			last := 0.0
			for i := range each {
				said := c.say("river-1", fmt.Sprint(i), fmt.Sprint(s, " ", i))
				if i%3 == 0 {
					c.ws.CloseNow()
					c = n.enter(jwt, "river-1")
					again := c.say("river-1", fmt.Sprint(i), "again")
					require.Equal(t, said["offset"], again["offset"])
				}
				require.Greater(t, said["offset"].(float64), last)
				last = said["offset"].(float64)
			}
		})
	}
	got := 0
	for got < senders*each {
		m := witness.wait("messages")
		for _, o := range m["messages"].([]any) {
			got++
			require.EqualValues(t, got, o.(object)["offset"])
		}
	}
	all.Wait()
}

func TestModeration(t *testing.T) {
	n := newNode(t, t.TempDir())
	mod := n.enter(n.mint("mod", token.Moderator), "river-1")
	bo := n.enter(n.mint("bo", token.Viewer), "river-1")
	require.Equal(t, "mod", bo.ask(object{"t": "join", "room": "river-1"})["people"].([]any)[0].(object)["user"])
	said := bo.say("river-1", "1", "rude")
	do := func(o object) object {
		o["t"], o["room"] = "moderate", "river-1"
		return mod.ask(o)
	}
	require.Equal(t, "moderated", do(object{"do": "delete", "target": said["mid"]})["t"])
	refused(t, do(object{"do": "delete", "target": said["mid"]}), "not-found")
	bo.until("tombstone", func(o object) bool {
		if o["t"] != "messages" {
			return false
		}
		m := o["messages"].([]any)
		last := m[len(m)-1].(object)
		return last["kind"] == "delete" && last["target"] == said["mid"] && last["by"] == "mod"
	})
	late := n.enter("", "river-1")
	history := late.ask(object{"t": "join", "room": "river-1"})
	require.Equal(t, []string{""}, texts(history), "in history a deleted message is only its tombstone")

	require.Equal(t, "moderated", do(object{"do": "mute", "user": "bo", "for": 60000})["t"])
	require.Equal(t, "mute", bo.wait("sanction")["do"])
	answer := bo.say("river-1", "2", "x")
	refused(t, answer, "muted")
	require.Greater(t, answer["until"].(float64), float64(time.Now().UnixMilli()))
	require.Equal(t, "moderated", do(object{"do": "unmute", "user": "bo"})["t"])
	require.Equal(t, "unmute", bo.wait("sanction")["do"])
	require.Equal(t, "said", bo.say("river-1", "2", "x")["t"])

	require.Equal(t, "moderated", do(object{"do": "rules", "rules": object{"slow": 5, "guests": false}})["t"])
	require.Equal(t, object{"chat": true, "guests": false, "slow": 5.0, "publish": "token"}, bo.wait("rules")["rules"])
	answer = bo.say("river-1", "3", "x")
	refused(t, answer, "slow")
	require.InDelta(t, 5000, answer["retry"], 5000)
	refused(t, late.say("river-1", "1", "x"), "forbidden")
	refused(t, do(object{"do": "rules", "rules": object{"slow": -1}}), "bad-request")
	refused(t, do(object{"do": "sing"}), "bad-request")
	refused(t, do(object{"do": "mute", "user": "mod"}), "forbidden")

	require.Equal(t, "moderated", do(object{"do": "remove", "user": "bo", "for": 60000})["t"])
	left := bo.wait("left")
	require.Equal(t, "removed", left["code"])
	refused(t, bo.ask(object{"t": "join", "room": "river-1"}), "removed")
	require.Equal(t, "moderated", do(object{"do": "readmit", "user": "bo"})["t"])
	require.Equal(t, "joined", bo.ask(object{"t": "join", "room": "river-1"})["t"])
	require.Equal(t, "moderated", do(object{"do": "notice", "text": "be kind"})["t"])
	bo.until("notice", func(o object) bool { return o["t"] == "messages" && strings.Contains(fmt.Sprint(o), "be kind") })
}

func TestTokenEnds(t *testing.T) {
	n := newNode(t, t.TempDir())
	soon := n.mint("so", token.Viewer, func(c *token.Claims) { c.Expires = time.Now().Add(1500 * time.Millisecond) })
	expires, revoked := n.enter(soon, "private-1"), n.enter(n.mint("re", token.Viewer), "private-1")
	require.NoError(t, n.records.Revoke(t.Context(), access.Revocation{Handle: "default/jti-re"}))
	refused(t, revoked.wait("error"), "unauthorized")
	require.Equal(t, closeUnauthorized, revoked.closed())
	require.Equal(t, closeUnauthorized, expires.closed())
}

// TestNoLongerPublic: who was let in because the stream was public is put out when it is not.
func TestNoLongerPublic(t *testing.T) {
	n := newNode(t, t.TempDir())
	guest, member := n.enter("", "river-1"), n.enter(n.mint("bo", token.Viewer), "river-1")
	n.sfu.Declare("river-1", sfu.Spec{})
	n.access.Recheck()
	require.Equal(t, "unauthorized", guest.wait("left")["code"])
	require.Equal(t, "said", member.say("river-1", "1", "x")["t"])
}

// TestShutdown: every socket is told to go away, what was said before is written, and nobody new comes in.
func TestShutdown(t *testing.T) {
	n := newNode(t, t.TempDir())
	var all sync.WaitGroup
	for i := range 20 {
		c := n.enter("", "river-1")
		said := c.say("river-1", "1", fmt.Sprint(i))
		require.Equal(t, "said", said["t"])
		all.Go(func() {
			away := c.wait("go-away")
			require.Positive(t, away["after"])
			require.Positive(t, away["jitter"])
			require.Equal(t, int(websocket.StatusGoingAway), c.closed())
		})
	}
	deaf := n.enter("", "river-1") // answers no close: it is cut off
	n.drain()
	all.Wait()
	require.Equal(t, 0, n.sockets.Sockets())
	require.Equal(t, http.StatusServiceUnavailable, status(n.url, nil))
	require.Empty(t, n.sockets.Rooms().Names())
	_ = deaf
}

// TestSanctionsAtDelivery: what a muted person got into the log all the same, from a node that did not know yet, is shown to nobody.
func TestSanctionsAtDelivery(t *testing.T) {
	n := newNode(t, t.TempDir())
	c := n.enter("", "river-1")
	put := func(user, text string) {
		_, err := n.cluster.Messages.Say(t.Context(), cluster.Post{Room: "river-1", User: user, Text: text})
		require.NoError(t, err)
	}
	put("bo", "before")
	require.Equal(t, []string{"before"}, texts(c.wait("messages")))
	s, err := n.cluster.Decisions.Sanctions.Put(t.Context(), cluster.Sanction{Room: "river-1", User: "bo", Do: cluster.Mute})
	require.NoError(t, err)
	for time.Now().UnixMilli() <= s.Modified.UnixMilli() { // the log counts in milliseconds
		runtime.Gosched()
	}
	put("bo", "after")
	put("li", "hello")
	require.Equal(t, []string{"hello"}, texts(c.wait("messages")))
	require.Equal(t, []string{"before", "hello"}, texts(c.ask(object{"t": "join", "room": "river-1"})))
}

// TestTenants: a user's id in another tenant is another user, and its rooms are not there for others.
func TestTenants(t *testing.T) {
	n := newNode(t, t.TempDir())
	acme := func(c *token.Claims) { c.Tenant = "acme" }
	n.sfu.Declare("acme~gate", sfu.Spec{})
	c, w := n.hello(object{"token": n.mint("li", token.Viewer, acme), "rooms": []object{{"room": "acme~gate"}, {"room": "private-1"}, {"room": "river-1"}}})
	require.Equal(t, "acme~li", w["you"].(object)["user"])
	require.Len(t, w["rooms"], 2, "its own, and a public one")
	require.Equal(t, "not-found", c.wait("left")["code"])
	other, _ := n.hello(object{"token": n.mint("bo", token.Operator)})
	refused(t, other.ask(object{"t": "join", "room": "acme~gate"}), "not-found")
	refused(t, other.ask(object{"t": "moderate", "room": "acme~gate", "do": "mute", "user": "acme~li"}), "not-found")
}

// FuzzFrame handles whatever comes as the server does.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		`{"t":"ping","id":1}`, `{"t":"join","id":"a","room":"river-2","epoch":"e","offset":3}`, `{"t":"leave","room":"river-1"}`,
		`{"t":"say","room":"river-1","cid":"c","text":"x"}`, `{"t":"playing","room":"river-1","via":"hls"}`, `{"t":"watch","streams":["*"]}`,
		`{"t":"moderate","room":"river-1","do":"rules","rules":{"slow":3,"chat":false,"guests":true,"publish":"guests"}}`,
		`{"t":"moderate","room":"river-1","do":"mute","user":"u","for":5}`, `{"t":"moderate","room":"river-1","do":"delete","target":"m"}`,
		`{"t":"view","sdp":"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"}`, `{"t":"bind","slots":[{"mid":"0","stream":"river-1","layer":"low"}]}`,
		`{"t":"publish","room":"river-1","sdp":"v=0\r\n","source":"screen","takeover":true}`, `{"t":"unpublish"}`, `{"t":"mute","audio":true}`,
		`{"t":"candidate","pc":"view","candidate":"","mid":"0"}`, `{"t":"unview","id":null}`, `[]`, `{"t":{}}`, `{"id":{"a":1}}`,
	} {
		f.Add(s)
	}
	n := newNode(f, f.TempDir())
	jwt := n.mint("mod", token.Moderator)
	f.Fuzz(func(t *testing.T, text string) {
		c := newConn(n.sockets, httptest.NewRequest("GET", "/ws", nil))
		defer c.leaveEverything()
		hello := request{T: "hello"}
		require.True(t, c.identify(hello, helloFields{Token: jwt}))
		require.True(t, c.welcome(hello, helloFields{Rooms: []joinFields{{Room: "river-1"}}}))
		c.handle([]byte(text))
		frames, _ := c.queue.take()
		for _, b := range frames {
			require.True(t, json.Valid(b), "%s", b)
		}
	})
}

func TestMetrics(t *testing.T) {
	n := newNode(t, t.TempDir())
	c := n.enter("", "river-1")
	c.say("river-1", "1", "x")
	c.say("river-1", "2", "")
	reg := prometheus.NewRegistry()
	reg.MustRegister(n.sockets)
	got := map[string]float64{}
	gather := func() map[string]float64 {
		all, err := reg.Gather()
		require.NoError(t, err)
		for _, f := range all {
			for _, m := range f.Metric {
				name := f.GetName()
				for _, l := range m.Label {
					name += " " + l.GetValue()
				}
				got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		return got
	}
	require.Equal(t, map[string]float64{
		"watershed_sockets": 1, "watershed_rooms": 1, "watershed_chat_messages_total said": 1, "watershed_chat_messages_total empty": 1,
	}, gather())
	c.raw("no JSON")
	require.Equal(t, 1007, c.closed())
	require.Eventually(t, func() bool { return gather()["watershed_sockets"] == 0 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 1, got["watershed_socket_closes_total 1007"])
}

// TestCrowdOfStaff: where everybody moderates, nobody is told of each.
func TestCrowdOfStaff(t *testing.T) {
	n := newNode(t, t.TempDir())
	const staff = 120
	first := n.enter(n.mint("first", token.Moderator), "river-1")
	for i := range staff {
		n.enter(n.mint(fmt.Sprint("m", i), token.Moderator), "river-1")
	}
	joined := first.ask(object{"t": "join", "room": "river-1"})
	require.EqualValues(t, staff+1, joined["count"])
	require.LessOrEqual(t, len(joined["people"].([]any)), 100)
	told := 0
	for _, o := range first.seen {
		if o["t"] == "people" {
			told++
		}
	}
	require.LessOrEqual(t, told, 102)
}

// TestOneSocketsPanic: an error of ours in one socket ends that one, and what it had begun.
func TestOneSocketsPanic(t *testing.T) {
	n := newNode(t, t.TempDir())
	describe := n.sockets.cfg.Describe
	n.sockets.cfg.Describe = func(p *access.Principal, st *sfu.Stream) any {
		if p.Subject == "victim" {
			panic("an error of ours")
		}
		return describe(p, st)
	}
	other, victim := n.enter("", "river-1"), n.enter(n.mint("victim", token.Viewer), "river-1")
	victim.send(object{"t": "watch", "streams": []string{"*"}})
	require.Equal(t, int(websocket.StatusInternalError), victim.closed())
	require.Equal(t, "said", other.say("river-1", "1", "x")["t"])
	require.Eventually(t, func() bool { count, _ := n.sockets.Rooms().Count("river-1"); return count == 1 }, 10*time.Second, 5*time.Millisecond)
}
