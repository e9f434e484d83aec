package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"watershed/cmd/watershed/config"
	"watershed/signaling/token"
)

// route is a line of what everybody may ask for.
type route struct {
	method, path string // {s} is the stream or room
	public       string // least role where the stream is public
	private      string // least role where it is not
	key          bool   // the stream's key may too
	contentType  string
	body         string
	prepare      func(h *house, t *testing.T, stream string) (path string)
}

const (
	open = "open" // asks nobody who they are
	jsn  = "application/json"
	sdp  = "application/sdp"
)

// routes are all of the node's. A new route that is not here fails TestEveryRoute.
var routes = []route{
	{method: "GET", path: "/api/v1/streams", private: "anonymous"},
	{method: "GET", path: "/api/v1/streams/{s}", public: "anonymous", private: "viewer"},
	{method: "PUT", path: "/api/v1/streams/{s}", private: "operator", contentType: jsn, body: `{}`},
	{method: "PATCH", path: "/api/v1/streams/{s}", private: "operator", contentType: jsn, body: `{}`},
	{method: "DELETE", path: "/api/v1/streams/{s}", private: "operator"},
	{method: "GET", path: "/api/v1/streams/{s}/snapshot", public: "anonymous", private: "viewer"},
	{method: "HEAD", path: "/api/v1/streams/{s}/snapshot", public: "anonymous", private: "viewer"},
	{method: "GET", path: "/api/v1/streams/{s}/viewers", private: "moderator"},
	{method: "DELETE", path: "/api/v1/streams/{s}/viewers/x", private: "moderator"},
	{method: "POST", path: "/api/v1/streams/{s}/play", public: "anonymous", private: "viewer"},
	{method: "GET", path: "/api/v1/streams/{s}/keys", private: "operator"},
	{method: "POST", path: "/api/v1/streams/{s}/keys", private: "operator", contentType: jsn, body: `{}`},
	{method: "DELETE", path: "/api/v1/streams/{s}/keys/x", private: "operator"},
	{method: "GET", path: "/api/v1/rooms", private: "anonymous"},
	{method: "GET", path: "/api/v1/rooms/{s}", public: "anonymous", private: "viewer"},
	{method: "PUT", path: "/api/v1/rooms/{s}/rules", private: "moderator", contentType: jsn, body: `{"chat":true}`},
	{method: "POST", path: "/api/v1/tokens", private: "operator", contentType: jsn, body: `{"role":"viewer"}`},
	{method: "POST", path: "/api/v1/tokens/redeem", private: open, contentType: jsn, body: `{}`},
	{method: "DELETE", path: "/api/v1/tokens/some-jti", private: "admin"},
	{method: "GET", path: "/api/v1/path-keys", private: "nobody"},
	{method: "POST", path: "/api/v1/path-keys", private: "nobody"},
	{method: "DELETE", path: "/api/v1/path-keys/x", private: "nobody"},
	{method: "GET", path: "/api/v1/nodes", private: "operator"},
	{method: "GET", path: "/api/v1/me", private: "anonymous"},
	{method: "GET", path: "/api/v1/openapi.json", private: open},

	{method: "POST", path: "/whep/{s}", public: "anonymous", private: "viewer", contentType: sdp},
	{method: "PATCH", path: "/whep/{s}/{session}", public: "anonymous", private: "viewer", prepare: watches},
	{method: "DELETE", path: "/whep/{s}/{session}", public: "anonymous", private: "viewer", prepare: watches},
	{method: "POST", path: "/whep/{s}/{session}/layer", public: "anonymous", private: "viewer", contentType: jsn, body: `{"hidden":true}`, prepare: watches},
	{method: "POST", path: "/whip/{s}", private: "publisher", key: true, contentType: sdp},
	{method: "PATCH", path: "/whip/{s}/{session}", private: "publisher", key: true, prepare: publishes},
	{method: "DELETE", path: "/whip/{s}/{session}", private: "publisher", key: true, prepare: publishes},

	{method: "GET", path: "/hls/{s}/index.m3u8", public: "anonymous", private: "viewer"},
	{method: "HEAD", path: "/hls/{s}/index.m3u8", public: "anonymous", private: "viewer"},

	{method: "GET", path: "/dash/{s}/manifest.mpd", public: "anonymous", private: "viewer"},
	{method: "GET", path: "/flv/{s}.flv", public: "anonymous", private: "viewer"},

	{method: "GET", path: "/ws", private: open}, // hello says who it is: signaling/socket tests every request
	{method: "GET", path: "/healthz", private: open},
	{method: "GET", path: "/readyz", private: open},
}

// pages ask nobody: what they show they fetch from the API as the visitor.
var pages = []string{"/", "/watch/:", "/room/:", "/publish/:", "/embed/:", "/control", "/assets/*", "/embed.js", "/embed-hls.js", "/favicon.svg", "/manifest.webmanifest"}

func watches(h *house, t *testing.T, stream string) string {
	return begin(h, t, "/whep/"+stream, offer(t, webrtc.RTPTransceiverDirectionRecvonly))
}

func publishes(h *house, t *testing.T, stream string) string {
	return begin(h, t, "/whip/"+stream+"?takeover=1", offer(t, webrtc.RTPTransceiverDirectionSendonly))
}

// begin a session as one who may do everything.
func begin(h *house, t *testing.T, path, sdpText string) string {
	t.Helper()
	a := h.ask(t, "POST", path, h.mint(t, token.Claims{Role: token.Admin, Tenant: token.AllTenants}), sdp, sdpText)
	require.Equal(t, http.StatusCreated, a.Code, a.Body)
	return a.Header().Get("Location")
}

// verdict is what an answer says of permission.
func verdict(a answer) string {
	switch {
	case a.Code == http.StatusUnauthorized:
		return "token"
	case a.Code == http.StatusForbidden:
		return "forbidden"
	case a.Code == http.StatusNotFound && slices.Contains([]string{"Unknown stream", "Unknown room", "Unknown tenant"}, a.Title):
		return "absent"
	}
	return "may"
}

// caller is somebody with a credential.
type caller struct {
	name   string
	bearer string
	role   int  // of roleNames; -1: the credential is wrong
	tenant bool // of the streams' tenant
	covers bool // the token is for these streams
	all    bool // of all tenants
	key    bool // stream key of priv
}

var roleNames = []string{"anonymous", "viewer", "publisher", "moderator", "operator", "admin", "nobody"}

func (h *house) callersOf(t *testing.T) []caller {
	list := []caller{{name: "anonymous", tenant: true}}
	for role := token.Viewer; role <= token.Admin; role++ {
		list = append(list,
			caller{name: role.String(), bearer: h.mint(t, token.Claims{Role: role}), role: int(role), tenant: true, covers: true},
			caller{name: role.String() + " of other streams", bearer: h.mint(t, token.Claims{Role: role, Streams: []string{"x*"}, Rooms: []string{"x*"}}), role: int(role), tenant: true},
			caller{name: role.String() + " of another tenant", bearer: h.mint(t, token.Claims{Role: role, Tenant: "other"}), role: int(role), covers: true},
		)
	}
	_, k, err := h.access.MakeKey(t.Context(), "priv", "", "", 0)
	require.NoError(t, err)
	key, _, err := h.access.MakeKey(t.Context(), "priv", "", "", 0)
	require.NoError(t, err)
	claims := func(exp int64) string {
		return fmt.Sprintf(`{"sub":"x","exp":%d,"watershed":{"tenant":"*","role":"admin"}}`, exp)
	}
	later := time.Now().Add(time.Hour).Unix()
	good := h.mint(t, token.Claims{Role: token.Admin, Tenant: token.AllTenants})
	return append(list,
		caller{name: "admin of all tenants", bearer: good, role: int(token.Admin) + 1, tenant: true, covers: true, all: true},
		caller{name: "stream key", bearer: key, role: int(token.Publisher), tenant: true, covers: true, key: true},
		caller{name: "expired", bearer: sign(`{"alg":"HS256"}`, claims(1), h.secret), role: -1},
		caller{name: "wrong key", bearer: sign(`{"alg":"HS256"}`, claims(later), []byte("another secret, just as long as it")), role: -1},
		caller{name: "alg none", bearer: sign(`{"alg":"none"}`, claims(later), nil), role: -1},
		caller{name: "alg none, signed", bearer: sign(`{"alg":"none"}`, claims(later), h.secret), role: -1},
		caller{name: "forged", bearer: forge(good), role: -1},
		caller{name: "key's id for a key", bearer: k.ID, role: -1},
		caller{name: "a ticket", bearer: "once-aaaaaaaaaaaaaaaa", role: -1},
	)
}

func sign(header, payload string, key []byte) string {
	e := base64.RawURLEncoding.EncodeToString
	body := e([]byte(header)) + "." + e([]byte(payload))
	if key == nil {
		return body + "."
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte(body))
	return body + "." + e(m.Sum(nil))
}

// forge gives a good signature to other claims.
func forge(jwt string) string {
	p := strings.Split(jwt, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(p[1])
	p[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), `"sub":"`, `"sub":"x`, 1)))
	return strings.Join(p, ".")
}

// want is what the caller should hear.
func (r *route) want(c caller, public bool) string {
	named := strings.Contains(r.path, "{s}")
	least := slices.Index(roleNames, r.private)
	switch {
	case r.private == open:
		return "may"
	case c.role < 0:
		return "token"
	case c.all:
		return "may"
	case named && public && r.public == "anonymous":
		return "may"
	case c.role == 0 && least > 0:
		return "token"
	case named && !c.tenant:
		return "absent"
	case c.key && least > 0:
		if r.key && !public { // the key is of priv
			return "may"
		}
		return "forbidden"
	case c.role < least:
		return "forbidden"
	case named && !c.covers:
		return "forbidden"
	}
	return "may"
}

func TestEveryRoute(t *testing.T) {
	h := newHouse(t, nil)
	h.knowsEveryRoute(t)
	watch, publish := offer(t, webrtc.RTPTransceiverDirectionRecvonly), offer(t, webrtc.RTPTransceiverDirectionSendonly)
	callers := h.callersOf(t)
	for _, r := range routes {
		streams := []string{"priv", "pub"}
		if !strings.Contains(r.path, "{s}") {
			streams = streams[:1]
		}
		for _, s := range streams {
			for _, c := range callers {
				path, body := strings.ReplaceAll(r.path, "{s}", s), r.body
				switch {
				case r.prepare != nil:
					_, rest, _ := strings.Cut(r.path, "{session}")
					path = r.prepare(h, t, s) + rest
				case path == "/api/v1/tokens/redeem":
					body = fmt.Sprintf(`{"ticket":%q}`, h.access.Ticket(token.Claims{Role: token.Viewer, Tenant: "default"}, time.Minute, time.Minute))
				case strings.HasPrefix(path, "/whep/"):
					body = watch
				case strings.HasPrefix(path, "/whip/"):
					path, body = path+"?takeover=1", publish
				}
				a := h.ask(t, r.method, path, c.bearer, r.contentType, body)
				got := verdict(a)
				if r.method == http.MethodHead && a.Code == http.StatusNotFound { // no body says what
					got = "absent"
				}
				require.Equal(t, r.want(c, s == "pub"), got, "%s %s as %s: %d %s", r.method, path, c.name, a.Code, a.Body)
				require.Less(t, a.Code, 600)
				if r.method == http.MethodGet && strings.HasPrefix(path, "/api/") {
					require.Equal(t, a.Code, h.ask(t, http.MethodHead, path, c.bearer, "", "").Code, "HEAD %s as %s", path, c.name)
				}
				require.NotEqual(t, http.StatusInternalServerError, a.Code, "%s %s as %s: %s", r.method, path, c.name, a.Body)
			}
		}
	}
}

// knowsEveryRoute fails when the node answers something that the table does not have.
func (h *house) knowsEveryRoute(t *testing.T) {
	known := func(method, path string) bool {
		for _, p := range pages {
			if path == p || strings.HasSuffix(p, ":") && strings.HasPrefix(path, p) {
				return method == http.MethodGet || method == http.MethodHead
			}
		}
		return slices.ContainsFunc(routes, func(r route) bool {
			return (r.method == method || r.method == http.MethodGet && method == http.MethodHead) && shape(r.path) == shape(path)
		})
	}
	for _, r := range h.sig.Echo().Routes() {
		if r.Method == http.MethodOptions {
			continue // preflights carry no credential
		}
		require.True(t, known(r.Method, r.Path), "%s %s is not in this test's table of routes: say there who may ask for it", r.Method, r.Path)
	}
}

// shape of a path, whose variable parts are a star.
func shape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") || strings.HasPrefix(p, "{") || p == "x" || p == "some-jti" {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// Streams of another tenant are not there, for whoever is not of it: no route tells them from names that nobody has.
func TestAnotherTenantsStreamsLookAbsent(t *testing.T) {
	h := newHouse(t, nil)
	admin := h.mint(t, token.Claims{Role: token.Admin})
	for who, status := range map[string]int{admin: http.StatusNotFound, "": http.StatusUnauthorized} {
		for _, r := range routes {
			if !strings.Contains(r.path, "{s}") || strings.Contains(r.path, "{session}") {
				continue
			}
			hear := func(stream string) (int, string) {
				a := h.ask(t, r.method, strings.ReplaceAll(r.path, "{s}", stream), who, r.contentType, r.body)
				return a.Code, strings.ReplaceAll(a.Body.String(), stream, "x")
			}
			code, text := hear("acme~priv")
			code2, text2 := hear("acme~none")
			require.Equal(t, status, code, "%s %s", r.method, r.path)
			require.Equal(t, code, code2, "%s %s", r.method, r.path)
			require.Equal(t, text, text2, "%s %s", r.method, r.path)
		}
	}
	for _, list := range []string{"/api/v1/streams", "/api/v1/rooms"} {
		require.NotContains(t, h.ask(t, "GET", list, admin, "", "").Body.String(), "acme", list)
		require.Contains(t, h.ask(t, "GET", list, h.mint(t, token.Claims{Role: token.Viewer, Tenant: "acme"}), "", "").Body.String(), "acme~priv", list)
	}
}

func TestPathTokensOverHTTP(t *testing.T) {
	h := newHouse(t, nil)
	viewer := h.mint(t, token.Claims{Role: token.Viewer, ID: "the-viewer"})
	a := h.ask(t, "POST", "/api/v1/streams/priv/play", viewer, "", "")
	var play struct {
		URLs map[string]string `json:"urls"`
	}
	require.NoError(t, json.Unmarshal(a.Body.Bytes(), &play))
	require.Len(t, play.URLs, 3)
	for format, url := range play.URLs {
		require.Equal(t, "may", verdict(h.ask(t, "GET", url, "", "", "")), format)
		require.Equal(t, "forbidden", verdict(h.ask(t, "GET", strings.Replace(url, "/priv", "/acme~priv", 1), "", "", "")))
		require.Equal(t, "token", verdict(h.ask(t, "GET", strings.Replace(url, ".", ".1", 2), "", "", "")))
	}
	require.Equal(t, http.StatusNoContent, h.ask(t, "DELETE", "/api/v1/tokens/the-viewer", viewer, "", "").Code, "everybody may revoke their own")
	for _, url := range play.URLs {
		require.Equal(t, "token", verdict(h.ask(t, "GET", url, "", "", "")))
	}
	require.Equal(t, "token", verdict(h.ask(t, "GET", "/api/v1/me", viewer, "", "")))
}

// Other issuers' ids of tokens have any characters.
func TestRevokingATokenOfAnyID(t *testing.T) {
	h := newHouse(t, nil)
	admin := h.mint(t, token.Claims{Role: token.Admin})
	for _, id := range []string{"a/b", "redeem", "ä b", "50%", "a+b"} {
		viewer := h.mint(t, token.Claims{Role: token.Viewer, ID: id})
		require.Equal(t, "may", verdict(h.ask(t, "GET", "/api/v1/streams/priv", viewer, "", "")))
		require.Equal(t, http.StatusNoContent, h.ask(t, "DELETE", "/api/v1/tokens/"+url.PathEscape(id), admin, "", "").Code, id)
		require.Equal(t, "token", verdict(h.ask(t, "GET", "/api/v1/streams/priv", viewer, "", "")), id)
	}
}

// viewersOf a stream, as its operator sees them.
func (h *house) viewersOf(t *testing.T, stream string) []struct{ ID, User, Address string } {
	t.Helper()
	a := h.ask(t, "GET", "/api/v1/streams/"+stream+"/viewers", h.mint(t, token.Claims{Role: token.Operator}), "", "")
	var list struct {
		Viewers []struct{ ID, User, Address string }
	}
	require.NoError(t, json.Unmarshal(a.Body.Bytes(), &list))
	return list.Viewers
}

func (h *house) noViewers(t *testing.T, stream, why string) {
	t.Helper()
	require.Eventually(t, func() bool {
		st, _ := h.sfu.Stream("priv")
		return len(h.sig.Viewers("priv")) == 0 && len(st.Status().Viewers) == 0
	}, 10*time.Second, 10*time.Millisecond, why)
}

func TestSessionsEndWithTheirTokenAndByKick(t *testing.T) {
	h := newHouse(t, nil)
	watch := offer(t, webrtc.RTPTransceiverDirectionRecvonly)
	post := func(bearer string) {
		a := h.ask(t, "POST", "/whep/priv", bearer, sdp, watch)
		require.Equal(t, http.StatusCreated, a.Code, a.Body)
		require.Contains(t, a.Header().Get("Access-Control-Expose-Headers"), "Location")
	}
	post(h.mint(t, token.Claims{Role: token.Viewer, Subject: "short", Expires: time.Now().Add(2 * time.Second)}))
	require.Equal(t, "short", h.viewersOf(t, "priv")[0].User)
	h.noViewers(t, "priv", "the token expired")

	post(h.mint(t, token.Claims{Role: token.Viewer, ID: "doomed"}))
	require.Len(t, h.viewersOf(t, "priv"), 1)
	require.Equal(t, http.StatusNoContent, h.ask(t, "DELETE", "/api/v1/tokens/doomed", h.mint(t, token.Claims{Role: token.Admin}), "", "").Code)
	h.noViewers(t, "priv", "the token was revoked")

	post(h.mint(t, token.Claims{Role: token.Viewer}))
	moderator := h.mint(t, token.Claims{Role: token.Moderator})
	who := h.viewersOf(t, "priv")[0]
	require.NotEmpty(t, who.Address)
	require.Contains(t, h.ask(t, "GET", "/api/v1/streams/priv/viewers", moderator, "", "").Body.String(), `"address":""`)
	require.Equal(t, http.StatusNoContent, h.ask(t, "DELETE", "/api/v1/streams/priv/viewers/"+who.ID, moderator, "", "").Code)
	h.noViewers(t, "priv", "a moderator ended it")
}

func TestStreamKeyOverHTTP(t *testing.T) {
	h := newHouse(t, nil)
	operator := h.mint(t, token.Claims{Role: token.Operator})
	a := h.ask(t, "POST", "/api/v1/streams/priv/keys", operator, jsn, `{"name":"encoder"}`)
	require.Equal(t, http.StatusCreated, a.Code, a.Body)
	var key struct{ Key, ID string }
	require.NoError(t, json.Unmarshal(a.Body.Bytes(), &key))
	require.NotContains(t, h.ask(t, "GET", "/api/v1/streams/priv/keys", operator, "", "").Body.String(), key.Key, "shown once")

	publish := offer(t, webrtc.RTPTransceiverDirectionSendonly)
	require.Equal(t, http.StatusCreated, h.ask(t, "POST", "/whip/priv?key="+key.Key, "", sdp, publish).Code)
	st, _ := h.sfu.Stream("priv")
	require.True(t, st.Status().Pushed)
	require.Equal(t, http.StatusNoContent, h.ask(t, "DELETE", "/api/v1/streams/priv/keys/"+key.ID, operator, "", "").Code)
	require.Eventually(t, func() bool { return !st.Status().Pushed }, 10*time.Second, 10*time.Millisecond, "what was published with the key ended with it")
	require.Equal(t, "token", verdict(h.ask(t, "POST", "/whip/priv?key="+key.Key, "", sdp, publish)))
	require.NotContains(t, everything(t, h.cfg.Data), key.Key, "the key is on disk")
}

// What was decided is there after a restart.
func TestDecisionsOutliveTheProcess(t *testing.T) {
	data := t.TempDir()
	var operator, revoked, key string
	t.Run("before", func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) { c.Data = data })
		operator, revoked = h.mint(t, token.Claims{Role: token.Admin}), h.mint(t, token.Claims{Role: token.Viewer, ID: "gone"})
		require.Equal(t, http.StatusCreated, h.ask(t, "PUT", "/api/v1/streams/made", operator, jsn, `{"public":true,"title":"Made"}`).Code)
		require.Equal(t, http.StatusNoContent, h.ask(t, "DELETE", "/api/v1/tokens/gone", operator, "", "").Code)
		a := h.ask(t, "POST", "/api/v1/streams/made/keys", operator, jsn, `{}`)
		var k struct{ Key string }
		require.NoError(t, json.Unmarshal(a.Body.Bytes(), &k))
		key = k.Key
	})
	t.Run("after", func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) { c.Data = data })
		require.Eventually(t, func() bool { return h.ask(t, "GET", "/api/v1/streams/made", "", "", "").Code == http.StatusOK }, 10*time.Second, 10*time.Millisecond)
		require.Contains(t, h.ask(t, "GET", "/api/v1/streams/made", "", "", "").Body.String(), `"title":"Made"`)
		require.Equal(t, "token", verdict(h.ask(t, "GET", "/api/v1/me", revoked, "", "")))
		require.Equal(t, "may", verdict(h.ask(t, "GET", "/api/v1/me", operator, "", "")), "the secret is the same")
		require.Equal(t, http.StatusCreated, h.ask(t, "POST", "/whip/made", key, sdp, offer(t, webrtc.RTPTransceiverDirectionSendonly)).Code)
	})
}
