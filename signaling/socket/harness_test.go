package socket

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"watershed/cluster"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest/whip"
	"watershed/sfu/leg"
	"watershed/signaling/access"
	"watershed/signaling/token"
)

const testSecret = "a secret of tests, long enough"

// node is everything that sockets need, on loopback.
type node struct {
	t       testing.TB
	cluster *cluster.Node
	sfu     *sfu.SFU
	access  *access.Access
	records *access.Memory
	sockets *Server
	url     string
	drain   func() // ends the node's work and leaves HTTP open
	stop    func() // ends everything, once
}

// newNode starts a node on the data of dir; public streams river-1 and river-2, and private-1.
func newNode(t testing.TB, dir string) *node {
	t.Helper()
	n := &node{t: t, records: access.NewMemory()}
	var err error
	n.cluster, err = cluster.Open(cluster.Config{Dir: dir, Node: "n1", Version: "test"})
	require.NoError(t, err)
	ready, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, n.cluster.Ready(ready))
	ctx, stop := context.WithCancel(context.Background())
	port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1})
	require.NoError(t, err)
	n.sfu = sfu.New(sfu.Config{Port: port, Changed: func(st *sfu.Stream) { n.sockets.StreamChanged(st) }})
	publishers, err := whip.New(port, discard)
	require.NoError(t, err)
	verifier, err := token.NewVerifier(ctx, token.VerifierConfig{Secret: []byte(testSecret)})
	require.NoError(t, err)
	n.access = access.New(access.Config{Secret: []byte(testSecret), Verifier: verifier, Records: n.records, Streams: n.sfu.Stream})
	n.sockets = New(Config{
		SFU: n.sfu, Publishers: publishers, Access: n.access, Admit: n.access.Admit(n.sfu.Ensure),
		Decisions: n.cluster.Decisions, Messages: n.cluster.Messages, Secret: []byte(testSecret), Node: "n1", Version: "test", Log: discard,
	})
	n.sockets.helloWithin, n.sockets.silence = time.Minute, 10*time.Minute // thirty clients on a busy machine
	for _, name := range []id.Stream{"river-1", "river-2"} {
		n.sfu.Declare(name, sfu.Spec{Public: true})
	}
	n.sfu.Declare("private-1", sfu.Spec{})
	srv := httptest.NewServer(n.sockets)
	n.url = "ws" + strings.TrimPrefix(srv.URL, "http") + "/ws"
	ended := make(chan struct{}, 3)
	for _, run := range []func(context.Context) error{n.sfu.Run, n.access.Run, n.sockets.Run} {
		go func() { run(ctx); ended <- struct{}{} }()
	}
	n.drain = sync.OnceFunc(func() {
		stop()
		for range cap(ended) {
			<-ended
		}
	})
	n.stop = sync.OnceFunc(func() {
		n.drain()
		srv.Close()
		require.NoError(t, n.cluster.Close())
		leaked(t)
	})
	t.Cleanup(n.stop)
	return n
}

// ours are goroutines that must not outlive a node.
var ours = regexp.MustCompile(`socket\.\(\*(conn|viewer|publisher|events|Server)\)|room\.\(\*Room\)|cluster\.\(|raft\.\(`)

// leaked fails the test if one of them still runs.
func leaked(t testing.TB) {
	t.Helper()
	var still []string
	require.Eventually(t, func() bool {
		still = nil
		for g := range strings.SplitSeq(allStacks(), "\n\n") {
			if ours.MatchString(g) && !strings.Contains(g, "socket.leaked(") {
				still = append(still, g)
			}
		}
		return len(still) == 0
	}, time.Minute, 10*time.Millisecond, "goroutines are left")
	require.Empty(t, still)
}

// allStacks of the process.
func allStacks() string {
	buf := make([]byte, 16<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// mint a token of the default tenant for everything.
func (n *node) mint(sub string, role token.Role, change ...func(*token.Claims)) string {
	return n.mintAt(time.Now(), sub, role, change...)
}

// mintAt makes a token that is good for an hour from then.
func (n *node) mintAt(then time.Time, sub string, role token.Role, change ...func(*token.Claims)) string {
	c := &token.Claims{
		Subject: sub, Name: strings.ToUpper(sub), Tenant: id.DefaultTenant, Role: role,
		Streams: []string{"*"}, Rooms: []string{"*"}, ID: "jti-" + sub, Expires: then.Add(time.Hour),
	}
	for _, f := range change {
		f(c)
	}
	raw, err := token.Mint([]byte(testSecret), c, then)
	require.NoError(n.t, err)
	return raw
}

// object is a frame as a client sees it.
type object = map[string]any

// client speaks the protocol without knowing our types.
type client struct {
	t    testing.TB
	ws   *websocket.Conn
	next int
	seen []object // frames that came while another was waited for
}

func (n *node) dial() *client {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, n.url, &websocket.DialOptions{Subprotocols: []string{Protocol}})
	require.NoError(n.t, err)
	ws.SetReadLimit(16 << 20)
	n.t.Cleanup(func() { ws.CloseNow() })
	return &client{t: n.t, ws: ws}
}

// hello says hello and returns the welcome.
func (n *node) hello(fields object) (*client, object) {
	n.t.Helper()
	c := n.dial()
	h := object{"t": "hello"}
	for k, v := range fields {
		h[k] = v
	}
	c.send(h)
	return c, c.wait("welcome")
}

// enter is a client in a room.
func (n *node) enter(jwt string, rooms ...string) *client {
	n.t.Helper()
	var list []object
	for _, r := range rooms {
		list = append(list, object{"room": r})
	}
	c, w := n.hello(object{"token": jwt, "rooms": list})
	require.Len(n.t, w["rooms"], len(rooms))
	return c
}

func (c *client) raw(text string) {
	c.t.Helper()
	require.NoError(c.t, c.ws.Write(c.t.Context(), websocket.MessageText, []byte(text)))
}

func (c *client) send(o object) {
	c.t.Helper()
	b, err := json.Marshal(o)
	require.NoError(c.t, err)
	c.raw(string(b))
}

func (c *client) read() (object, error) { return c.readIn(c.t.Context()) }

func (c *client) readIn(ctx context.Context) (object, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, b, err := c.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	var o object
	return o, json.Unmarshal(b, &o)
}

// until waits for a frame, among those that came before, too.
func (c *client) until(what string, is func(object) bool) object {
	c.t.Helper()
	for i, o := range c.seen {
		if is(o) {
			c.seen = append(c.seen[:i:i], c.seen[i+1:]...)
			return o
		}
	}
	for {
		o, err := c.read()
		require.NoError(c.t, err, "waiting for %s", what)
		if is(o) {
			return o
		}
		c.seen = append(c.seen, o)
	}
}

func (c *client) wait(t string) object {
	c.t.Helper()
	return c.until(t, func(o object) bool { return o["t"] == t })
}

// ask sends a request and returns its answer.
func (c *client) ask(o object) object {
	c.t.Helper()
	c.next++
	id := fmt.Sprint("r", c.next)
	o["id"] = id
	c.send(o)
	return c.until(fmt.Sprint("the answer to ", o["t"]), func(a object) bool { return a["id"] == id })
}

func (c *client) say(room, cid, text string) object {
	c.t.Helper()
	return c.ask(object{"t": "say", "room": room, "cid": cid, "text": text})
}

// closed waits for the close and returns its code.
func (c *client) closed() int {
	c.t.Helper()
	for {
		if _, err := c.read(); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

func refused(t *testing.T, answer object, code string) {
	t.Helper()
	require.Equal(t, "error", answer["t"], "%v", answer)
	require.Equal(t, code, answer["code"], "%v", answer)
	require.NotEmpty(t, answer["text"])
}

func texts(o object) (all []string) {
	for _, m := range o["messages"].([]any) {
		s, _ := m.(object)["text"].(string)
		all = append(all, s)
	}
	return all
}

func status(url string, header http.Header) int {
	ws, r, err := websocket.Dial(context.Background(), url, &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		ws.CloseNow()
		return http.StatusSwitchingProtocols
	}
	return r.StatusCode
}
