package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/loadtest"
)

// talker is a client of the socket.
type talker struct {
	t  *testing.T
	ws *websocket.Conn
}

// talk opens a socket and joins the room where the last one left it.
func talk(t *testing.T, n *Node, room map[string]any) (c talker, joined map[string]any) {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(n.URL, "http")+"/ws", &websocket.DialOptions{Subprotocols: []string{"watershed.v1"}})
	require.NoError(t, err)
	t.Cleanup(func() { ws.CloseNow() })
	c = talker{t, ws}
	c.send(map[string]any{"t": "hello", "rooms": []any{room}})
	return c, c.wait("welcome")["rooms"].([]any)[0].(map[string]any)
}

func (c talker) send(frame map[string]any) {
	c.t.Helper()
	b, err := json.Marshal(frame)
	require.NoError(c.t, err)
	require.NoError(c.t, c.ws.Write(c.t.Context(), websocket.MessageText, b))
}

func (c talker) wait(kind string) map[string]any {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		_, b, err := c.ws.Read(ctx)
		require.NoError(c.t, err, "waiting for %s", kind)
		var f map[string]any
		require.NoError(c.t, json.Unmarshal(b, &f))
		if f["t"] == kind {
			return f
		}
	}
}

// TestChatSurvives: a node that was killed, and one that was stopped, has the same history of the same epoch when it comes back; who stops it
// is told, and it ends in time.
func TestChatSurvives(t *testing.T) {
	n, _ := newNode(t, func(c *config.Config) { c.Streams = map[string]config.Stream{"quiet": {Public: true}} })
	c, joined := talk(t, n, map[string]any{"room": "quiet"})
	for round := range 3 {
		c.send(map[string]any{"t": "say", "room": "quiet", "cid": fmt.Sprint(round), "text": fmt.Sprint("round ", round)})
		said := c.wait("said")
		require.EqualValues(t, round+1, said["offset"])
		if round == 1 {
			require.NoError(t, n.Stop(5*time.Second))
			require.NotNil(t, c.wait("go-away")["after"])
		} else {
			n.Kill()
		}
		cfg := n.Config
		cfg.HTTP.Listen, cfg.WebRTC.Listen = "127.0.0.1:0", "127.0.0.1:0" // nobody looks for it at the old ones
		again, err := Start(binary, cfg)
		require.NoError(t, err)
		t.Cleanup(again.Kill)
		n = again
		var back map[string]any
		c, back = talk(t, n, map[string]any{"room": "quiet", "epoch": joined["epoch"], "offset": joined["offset"]})
		require.Equal(t, joined["epoch"], back["epoch"])
		require.Equal(t, true, back["resumed"])
		messages := back["messages"].([]any)
		require.Len(t, messages, 1)
		require.Equal(t, fmt.Sprint("round ", round), messages[0].(map[string]any)["text"])
		joined = back
	}
}

// TestChatUnderLoad: a room of people, some of whom talk at once, hears each message once and in order.
func TestChatUnderLoad(t *testing.T) {
	n, _ := newNode(t, func(*config.Config) {})
	load := loadtest.Chat{
		URL: "ws" + strings.TrimPrefix(n.URL, "http") + "/ws", Room: "lobby", People: 60, Speakers: 20, Messages: 60, Join: 100, Duration: 2 * time.Second,
		Progress: io.Discard,
	}
	r, err := load.Run(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Err())
	require.Equal(t, 60, r.People)
	require.Positive(t, r.Said)
	require.Empty(t, r.Refused)
	require.EqualValues(t, 60*r.Said, r.Delivered)
}
