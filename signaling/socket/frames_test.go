package socket

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"watershed/cluster"
	"watershed/signaling/token"
)

func TestMalformedFrames(t *testing.T) {
	n := newNode(t, t.TempDir())
	big := strings.Repeat("x", 70<<10)
	for name, f := range map[string]struct{ text, code, field string }{
		"no type":         {`{"id":1}`, "bad-request", "t"},
		"type a number":   {`{"t":1,"id":1}`, "bad-request", "t"},
		"id an object":    {`{"t":"ping","id":{}}`, "bad-request", "id"},
		"id too long":     {`{"t":"ping","id":"` + strings.Repeat("x", 65) + `"}`, "bad-request", "id"},
		"unknown type":    {`{"t":"dance","id":1}`, "unknown-type", ""},
		"hello again":     {`{"t":"hello","id":1}`, "bad-request", ""},
		"room a number":   {`{"t":"join","id":1,"room":7}`, "bad-request", "room"},
		"room a path":     {`{"t":"join","id":1,"room":"../etc"}`, "bad-request", "room"},
		"room a stream":   {`{"t":"join","id":1,"room":"river-1+u"}`, "bad-request", "room"},
		"room missing":    {`{"t":"join","id":1}`, "bad-request", "room"},
		"offset negative": {`{"t":"join","id":1,"room":"river-1","offset":-1}`, "bad-request", "offset"},
		"no such room":    {`{"t":"join","id":1,"room":"nowhere"}`, "unauthorized", ""},
		"private room":    {`{"t":"join","id":1,"room":"private-1"}`, "unauthorized", ""},
		"another's room":  {`{"t":"join","id":1,"room":"acme~river-1"}`, "unauthorized", ""},
		"text a list":     {`{"t":"say","id":1,"room":"river-1","text":[]}`, "bad-request", "text"},
		"text too long":   {`{"t":"say","id":1,"room":"river-1","text":"` + strings.Repeat("x", 501) + `"}`, "too-long", ""},
		"text empty":      {`{"t":"say","id":1,"room":"river-1","text":" \u200b"}`, "empty", ""},
		"cid too long":    {`{"t":"say","id":1,"room":"river-1","text":"x","cid":"` + strings.Repeat("x", 65) + `"}`, "bad-request", "cid"},
		"frame too large": {`{"t":"say","id":1,"room":"river-1","text":"` + big + `"}`, "too-large", ""},
		"1 MB of chat":    {`{"t":"say","id":1,"room":"river-1","text":"` + strings.Repeat("x", 1<<20) + `"}`, "too-large", ""},
		"moderate":        {`{"t":"moderate","id":1,"room":"river-1","do":"mute","user":"x"}`, "unauthorized", ""},
		"no offer":        {`{"t":"view","id":1}`, "bad-sdp", ""},
		"bad offer":       {`{"t":"view","id":1,"sdp":"v=0\r\nnonsense"}`, "bad-sdp", ""},
		"bind no view":    {`{"t":"bind","id":1,"slots":[]}`, "not-found", ""},
		"publish nowhere": {`{"t":"publish","id":1,"sdp":"v=0"}`, "bad-request", "stream"},
		"publish guest":   {`{"t":"publish","id":1,"room":"river-1","sdp":"v=0"}`, "unauthorized", ""},
		"publish source":  {`{"t":"publish","id":1,"room":"river-1","source":"radio"}`, "bad-request", "source"},
		"mute nothing":    {`{"t":"mute","id":1,"audio":true}`, "not-found", ""},
		"candidate":       {`{"t":"candidate","id":1,"pc":"other"}`, "bad-request", "pc"},
		"playing":         {`{"t":"playing","id":1,"room":"river-1","via":"pigeon"}`, "bad-request", "via"},
		"many patterns":   {`{"t":"watch","id":1,"streams":[` + strings.Repeat(`"*",`, 100) + `"*"]}`, "bad-request", "streams"},
		"long pattern":    {`{"t":"watch","id":1,"streams":["` + strings.Repeat("*a", 10_000) + `"]}`, "bad-request", "streams"},
	} {
		t.Run(name, func(t *testing.T) {
			c := n.enter("", "river-1")
			c.t = t
			c.raw(f.text)
			answer := c.wait("error")
			refused(t, answer, f.code)
			if f.field != "" {
				require.Equal(t, f.field, answer["field"])
			}
			require.Equal(t, "pong", c.ask(object{"t": "ping"})["t"], "the socket goes on")
		})
	}
}

func TestCloses(t *testing.T) {
	n := newNode(t, t.TempDir())
	for name, f := range map[string]struct {
		text string
		code int
	}{
		"not JSON":      {`hello`, 1007},
		"a list":        {`[]`, 1007},
		"bad UTF-8":     {"{\"t\":\"hello\",\"name\":\"\xff\"}", 1007},
		"not hello":     {`{"t":"ping"}`, 4400},
		"hello of 1 MB": {`{"t":"hello","name":"` + strings.Repeat("x", 1<<20) + `"}`, 4400},
		"wrong field":   {`{"t":"hello","rooms":{}}`, 4400},
		"bad token":     {`{"t":"hello","token":"a.b.c"}`, 4401},
		"expired token": {`{"t":"hello","token":"` + n.mintAt(time.Now().Add(-2*time.Hour), "x", token.Viewer) + `"}`, 4401},
	} {
		t.Run(name, func(t *testing.T) {
			c := n.dial()
			c.ws.Write(t.Context(), websocket.MessageText, []byte(f.text))
			require.Equal(t, f.code, c.closed())
		})
	}
	c := n.dial()
	require.NoError(t, c.ws.Write(t.Context(), websocket.MessageBinary, []byte(`{"t":"hello"}`)))
	require.Equal(t, 1003, c.closed())
	c, _ = n.hello(nil)
	c.ws.Write(t.Context(), websocket.MessageText, bytes.Repeat([]byte("x"), 5<<20)) // is cut off while it is written
	require.Equal(t, 1009, c.closed(), "beyond measure")
	require.Eventually(t, func() bool { return n.sockets.Sockets() == 0 }, 10*time.Second, 5*time.Millisecond)
}

func TestUpgrade(t *testing.T) {
	n := newNode(t, t.TempDir())
	own := "http" + strings.TrimSuffix(strings.TrimPrefix(n.url, "ws"), "/ws")
	for name, f := range map[string]struct {
		header http.Header
		want   int
	}{
		"no origin":      {http.Header{}, 101},
		"own origin":     {http.Header{"Origin": {own}}, 101},
		"foreign origin": {http.Header{"Origin": {"https://evil.example"}}, 403},
		"no protocol":    {http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, 400},
		"among others":   {http.Header{"Sec-Websocket-Protocol": {"mqtt, watershed.v1"}}, 101},
	} {
		require.Equal(t, f.want, status(n.url, f.header), name)
	}
	r, err := http.Get(own + "/ws")
	require.NoError(t, err)
	r.Body.Close()
	require.Equal(t, http.StatusUpgradeRequired, r.StatusCode)
	require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"))
}

// TestHelloNamesARoomOften: a hello cannot ask for a room's history a thousand times.
func TestHelloNamesARoomOften(t *testing.T) {
	n := newNode(t, t.TempDir())
	_, w := n.hello(object{"rooms": []object{{"room": "river-1"}, {"room": "river-2"}, {"room": "default~river-1"}}})
	require.Len(t, w["rooms"], 2)

	c := n.dial()
	c.send(object{"t": "hello", "rooms": slices.Repeat([]object{{"room": "river-1"}}, maxRooms+1)})
	require.Equal(t, "rooms", c.wait("error")["field"])
	require.Equal(t, closeNoHello, c.closed())
}

func TestLimits(t *testing.T) {
	n := newNode(t, t.TempDir())
	c := n.enter("", "river-1")
	const atOnce = 20 // a machine on which all of them pass needs 15 s for it
	for i := range atOnce {
		c.send(object{"t": "say", "id": fmt.Sprint("a", i), "room": "river-1", "cid": fmt.Sprint(i), "text": "x"})
	}
	var late []object
	for i := range atOnce {
		answer := c.until("an answer", func(o object) bool { return o["id"] == fmt.Sprint("a", i) })
		if i < 5 {
			require.Equal(t, "said", answer["t"])
		} else if answer["t"] == "error" {
			late = append(late, answer)
		}
	}
	require.NotEmpty(t, late)
	refused(t, late[0], "rate")
	require.Greater(t, late[0]["retry"].(float64), 0.0)
	require.Equal(t, "said", c.say("river-1", "0", "x")["t"], "what was said before counts for no limit")

	flood := n.enter("", "river-1")
	for range 200 {
		if flood.ws.Write(t.Context(), websocket.MessageText, []byte(`{"t":"ping","id":1}`)) != nil {
			break
		}
	}
	refused(t, flood.wait("error"), "rate")
	require.Equal(t, closeFlood, flood.closed())

	large := n.enter("", "river-1") // each frame is read to its end: that is what it costs
	frame := []byte(`{"t":"say","text":"` + strings.Repeat("x", maxOffer) + `"}`)
	for range 200 {
		if large.ws.Write(t.Context(), websocket.MessageText, frame) != nil {
			break
		}
	}
	refused(t, large.wait("error"), "too-large")
	require.Equal(t, closeFlood, large.closed())
}

// TestSlowConsumer: who does not read is closed, and nobody waits for it.
func TestSlowConsumer(t *testing.T) {
	n := newNode(t, t.TempDir())
	slow := n.enter("", "river-1")
	reader := n.enter("", "river-1")
	last := make(chan float64, 1)
	go func() {
		offset := 0.0
		for {
			o, err := reader.read()
			if err != nil {
				t.Error("the one who reads is closed too:", err)
				return
			}
			if o["t"] == "messages" {
				offset = o["offset"].(float64)
			}
			if o["t"] == "pong" {
				last <- offset
				return
			}
		}
	}()
	text := strings.Repeat("x", 8<<10) // straight into the log, past every limit
	for n.sockets.Sockets() == 2 {
		_, err := n.cluster.Messages.Say(t.Context(), cluster.Post{Room: "river-1", User: "u", Text: text})
		require.NoError(t, err)
	}
	reader.send(object{"t": "ping"})
	require.Positive(t, <-last)
	require.NotEqual(t, 0, slow.closed())
}

// TestSilence: who says no hello is not waited for for ever, and who goes silent later is neither.
func TestSilence(t *testing.T) {
	n := newNode(t, t.TempDir())
	patience := func(hello, silence time.Duration) {
		require.Eventually(t, func() bool { return n.sockets.Sockets() == 0 }, 30*time.Second, time.Millisecond)
		n.sockets.mu.Lock() // which new sockets take, too
		defer n.sockets.mu.Unlock()
		n.sockets.helloWithin, n.sockets.silence = hello, silence
	}
	patience(10*time.Millisecond, time.Minute)
	require.Equal(t, closeNoHello, n.dial().closed())
	patience(time.Minute, 10*time.Millisecond)
	c, _ := n.hello(nil)
	require.Equal(t, closeSlow, c.closed())
}
