package socket

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/signaling/token"
)

// line is one request, and who may send it.
type line struct {
	t       string
	frame   object // ROOM is the room's or stream's name
	in      bool   // only who sits in the room: the others hear not-in-room
	public  token.Role
	private token.Role
	slots   bool // the answer is in slots[0]
	silent  bool // success is not answered
}

const anyone = token.Anonymous

// requests are all of the protocol's. One that is not here fails the test.
func requests(view, publish string) []line {
	return []line{
		{t: "hello"}, // anybody, but it was said already
		{t: "ping"},
		{t: "leave", frame: object{"room": "ROOM"}},
		{t: "view", frame: object{"sdp": view}},
		{t: "unview"},
		{t: "unpublish"},
		{t: "mute", frame: object{"audio": true}},
		{t: "candidate", frame: object{"pc": "view", "candidate": ""}, silent: true},
		{t: "watch", frame: object{"streams": []string{"*"}}},

		{t: "join", frame: object{"room": "ROOM"}, public: anyone, private: token.Viewer},
		{t: "say", frame: object{"room": "ROOM", "text": "x"}, in: true, public: anyone, private: token.Viewer},
		{t: "playing", frame: object{"room": "ROOM", "via": "hls"}, in: true, silent: true, public: anyone, private: token.Viewer},
		{t: "bind", frame: object{"slots": []object{{"mid": "0", "stream": "ROOM"}}}, public: anyone, private: token.Viewer, slots: true},
		{t: "publish", frame: object{"room": "ROOM", "sdp": publish}, in: true, public: token.Publisher, private: token.Publisher},
		{t: "publish", frame: object{"stream": "ROOM", "sdp": publish}, public: token.Publisher, private: token.Publisher},
		{t: "moderate", frame: object{"room": "ROOM", "do": "notice", "text": "x"}, public: token.Moderator, private: token.Moderator},
		{t: "moderate", frame: object{"room": "ROOM", "do": "rules", "rules": object{"slow": 0}}, public: token.Moderator, private: token.Moderator},
		{t: "moderate", frame: object{"room": "ROOM", "do": "mute", "user": "nobody"}, public: token.Moderator, private: token.Moderator},
	}
}

// someone is who opens a socket.
type someone struct {
	name   string
	jwt    string
	role   token.Role
	covers bool // the token is for these rooms and streams
	other  bool // of another tenant
}

func (n *node) everybody() []someone {
	list := []someone{{name: "guest", covers: true}}
	for role := token.Viewer; role <= token.Admin; role++ {
		sub := role.String()
		list = append(list,
			someone{name: sub, jwt: n.mint(sub, role), role: role, covers: true},
			someone{name: sub + " of other rooms", jwt: n.mint(sub+"-x", role, func(c *token.Claims) { c.Streams, c.Rooms = []string{"x*"}, []string{"x*"} }), role: role},
			someone{name: sub + " of another tenant", jwt: n.mint(sub+"-o", role, func(c *token.Claims) { c.Tenant = "other" }), role: role, covers: true, other: true},
		)
	}
	return list
}

// named reports whether the request is about a room or stream.
func (l *line) named() bool { return strings.Contains(fmt.Sprint(l.frame), "ROOM") }

// want is the code that the caller should hear, "" if it may.
func (l *line) want(p someone, public bool) string {
	if l.public == anyone && (l.private == anyone || public) {
		return ""
	}
	join := line{frame: object{}, public: anyone, private: token.Viewer}
	if l.in && join.want(p, public) != "" {
		return "not-in-room"
	}
	switch {
	case p.role == token.Anonymous:
		return "unauthorized"
	case p.other:
		return "not-found"
	case p.role < l.private, !p.covers:
		return "forbidden"
	}
	return ""
}

func TestEveryRequest(t *testing.T) {
	n := newNode(t, t.TempDir())
	view, publish := offerOf(t, webrtc.RTPTransceiverDirectionRecvonly), offerOf(t, webrtc.RTPTransceiverDirectionSendonly)
	lines := requests(view, publish)
	for _, known := range handled(t) {
		require.True(t, slices.ContainsFunc(lines, func(l line) bool { return l.t == known }), "request %s is not in this test's table: say there who may send it", known)
	}
	for _, room := range []string{"private-1", "river-1"} {
		for _, p := range n.everybody() {
			c, _ := n.hello(object{"token": p.jwt})
			require.Equal(t, "viewing", c.ask(object{"t": "view", "sdp": view})["t"])
			for i, l := range lines {
				if l.in {
					c.ask(object{"t": "join", "room": room})
				}
				var answer object
				if l.silent {
					answer = c.askSilent(filled(l, room))
				} else {
					answer = c.ask(filled(l, room))
				}
				require.Equal(t, l.want(p, room == "river-1"), refusalIn(answer, l), "%s (line %d) in %s as %s: %v", l.t, i, room, p.name, answer)
				if l.t == "publish" {
					c.ask(object{"t": "unpublish"})
				}
				if l.t == "unview" {
					c.ask(object{"t": "view", "sdp": view})
				}
			}
			require.NoError(t, c.ws.CloseNow())
		}
	}
}

// askSilent sends a request that is answered only when it fails, and returns that answer.
func (c *client) askSilent(o object) (answer object) {
	c.t.Helper()
	o["id"] = "silent"
	c.send(o)
	c.ask(object{"t": "ping"})
	for i, a := range c.seen {
		if a["id"] == "silent" {
			c.seen = slices.Delete(c.seen, i, i+1)
			return a
		}
	}
	return nil
}

// filled is the line's frame for a room.
func filled(l line, room string) object {
	o := object{"t": l.t}
	for k, v := range l.frame {
		switch v := v.(type) {
		case string:
			o[k] = strings.ReplaceAll(v, "ROOM", room)
		case []object:
			o[k] = []object{{"mid": v[0]["mid"], "stream": room}}
		default:
			o[k] = v
		}
	}
	return o
}

// refusalIn an answer is its code if that is about permission.
func refusalIn(answer object, l line) string {
	code, _ := answer["code"].(string)
	if l.slots && answer["t"] == "bound" {
		code, _ = answer["slots"].([]any)[0].(object)["code"].(string)
	}
	if !l.named() || !slices.Contains([]string{"unauthorized", "forbidden", "not-found", "not-in-room"}, code) {
		return ""
	}
	return code
}

// handled are the requests that the socket knows, read from its source: a table in the code would be one more thing to keep.
func handled(t *testing.T) (types []string) {
	f, err := parser.ParseFile(gotoken.NewFileSet(), "conn.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(f, func(n ast.Node) bool {
		fn, ok := n.(*ast.FuncDecl)
		if ok && fn.Name.Name != "handlerOf" {
			return false
		}
		if c, ok := n.(*ast.CaseClause); ok {
			for _, e := range c.List {
				s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
				require.NoError(t, err)
				types = append(types, s)
			}
		}
		return true
	})
	require.Contains(t, types, "moderate")
	return types
}

// offerOf is what a browser sends.
func offerOf(t *testing.T, direction webrtc.RTPTransceiverDirection) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	defer pc.Close()
	if direction == webrtc.RTPTransceiverDirectionRecvonly {
		_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: direction})
	} else {
		var track *webrtc.TrackLocalStaticRTP
		track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "v", "s")
		require.NoError(t, err)
		_, err = pc.AddTrack(track)
	}
	require.NoError(t, err)
	o, err := pc.CreateOffer(nil)
	require.NoError(t, err)
	require.NoError(t, pc.SetLocalDescription(o))
	return pc.LocalDescription().SDP
}

func TestWrongTokensEndTheSocket(t *testing.T) {
	n := newNode(t, t.TempDir())
	good := n.mint("x", token.Admin)
	for name, jwt := range map[string]string{
		"expired":   n.mintAt(time.Now().Add(-2*time.Hour), "x", token.Admin),
		"alg none":  "eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".",
		"signature": good[:len(good)-8] + "AAAAAAAA",
		"no token":  "x",
	} {
		c := n.dial()
		c.send(object{"t": "hello", "token": jwt})
		refused(t, c.wait("error"), "unauthorized")
		require.Equal(t, closeUnauthorized, c.closed(), name)
	}
}

// What a list of streams shows, and what is told of a stream that goes, is for those who may watch it.
func TestWatchShowsWhatOneMaySee(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.sfu.Declare("other~open", sfu.Spec{Public: true})
	n.sfu.Declare("other~shut", sfu.Spec{})
	for _, p := range []struct {
		name string
		jwt  string
		sees []string
	}{
		{"guest", "", []string{"river-1", "river-2"}},
		{"viewer", n.mint("v", token.Viewer), []string{"private-1", "river-1", "river-2"}},
		{"viewer of other streams", n.mint("w", token.Viewer, func(c *token.Claims) { c.Streams = []string{"x"} }), []string{"river-1", "river-2"}},
		{"other tenant", n.mint("o", token.Admin, func(c *token.Claims) { c.Tenant = "other" }), []string{"other~open", "other~shut"}},
	} {
		c, _ := n.hello(object{"token": p.jwt})
		var names []string
		for _, s := range c.ask(object{"t": "watch", "streams": []string{"*"}})["streams"].([]any) {
			names = append(names, fmt.Sprint(s.(object)["name"]))
		}
		slices.Sort(names)
		require.Equal(t, p.sees, names, p.name)
	}
	guest, _ := n.hello(object{})
	guest.ask(object{"t": "watch", "streams": []string{"*"}})
	member, _ := n.hello(object{"token": n.mint("m", token.Viewer)})
	member.ask(object{"t": "watch", "streams": []string{"*"}})
	member.until("the private stream's state", func(o object) bool { return o["t"] == "stream" && strings.Contains(fmt.Sprint(o), "private-1") })
	n.sfu.Remove("private-1")
	require.Equal(t, "private-1", member.wait("stream-gone")["name"])
	n.sfu.Remove("river-2")
	require.Equal(t, "river-2", guest.wait("stream-gone")["name"], "and nothing of private-1 before it")
}

func TestKickEndsWhatASocketWatches(t *testing.T) {
	n := newNode(t, t.TempDir())
	c, _ := n.hello(object{"token": n.mint("v", token.Viewer)})
	c.ask(object{"t": "view", "sdp": offerOf(t, webrtc.RTPTransceiverDirectionRecvonly)})
	require.Empty(t, n.sockets.Viewers("river-1"))
	c.ask(object{"t": "bind", "slots": []object{{"mid": "0", "stream": "river-1"}}})
	list := n.sockets.Viewers("river-1")
	require.Len(t, list, 1)
	require.Equal(t, "v", list[0].User)
	require.False(t, n.sockets.Kick("river-2", list[0].ID, errUnviewed))
	require.True(t, n.sockets.Kick("river-1", list[0].ID, fmt.Errorf("enough")))
	require.Equal(t, "enough", c.wait("unviewed")["text"])
	require.Empty(t, n.sockets.Viewers("river-1"))
}
