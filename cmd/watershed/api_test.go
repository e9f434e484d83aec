package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"watershed/cluster"
	"watershed/cluster/seal"
	"watershed/cmd/watershed/config"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/token"
)

// operated is a house, and what asks it as operator of the default tenant.
func operated(t *testing.T) (h *house, as func(method, path, body string, header ...string) answer) {
	h = newHouse(t, nil)
	jwt := h.mint(t, token.Claims{Role: token.Operator, Subject: "op"})
	return h, func(method, path, body string, header ...string) answer {
		kind := jsn
		if body == "" {
			kind = ""
		}
		return h.ask(t, method, "/api/v1"+path, jwt, kind, body, header...)
	}
}

func TestStreamsOfTheAPI(t *testing.T) {
	h, as := operated(t)
	const body = `{"title":"Gate","public":true,"source":"rtsp://u:secret@127.0.0.1:1/x","sub":"rtsp://127.0.0.1:1/y","backup":["rtsps://127.0.0.1:1/z"],"idle":7,"demand":true,"ladder":["720p","360p"],"dvr":3600,"keep":86400,"keepSize":50000000000}`
	a := as("PUT", "/streams/gate", body)
	require.Equal(t, http.StatusCreated, a.Code, a.Body)
	require.Equal(t, "/api/v1/streams/gate", a.Header().Get("Location"))
	require.NotContains(t, a.Body.String(), "secret")
	first := a.Header().Get("ETag")
	st, ok := h.sfu.Stream("gate")
	require.True(t, ok, "the node has it when the answer is there")
	require.Equal(t, sfu.Spec{
		Public: true, Demand: true, Idle: 7 * time.Second, Ladder: []string{"720p", "360p"},
		Inputs: []sfu.Input{{High: "rtsp://u:secret@127.0.0.1:1/x", Low: "rtsp://127.0.0.1:1/y"}, {High: "rtsps://127.0.0.1:1/z"}},
		DVR:    time.Hour, Keep: 24 * time.Hour, KeepSize: 50e9,
	}, st.Spec())
	require.Contains(t, a.Body.String(), `"dvr":3600,"keep":86400,"keepSize":50000000000`)

	again := as("PUT", "/streams/gate", body)
	require.Equal(t, http.StatusOK, again.Code)
	require.Equal(t, first, again.Header().Get("ETag"), "a repeated PUT changes nothing")

	a = as("PATCH", "/streams/gate", `{"public":false}`, "If-Match", first)
	require.Equal(t, http.StatusOK, a.Code, a.Body)
	require.NotEqual(t, first, a.Header().Get("ETag"))
	require.Equal(t, "rtsp://u:secret@127.0.0.1:1/x", st.Spec().Inputs[0].High, "what is left out stays")
	require.False(t, st.Spec().Public)
	require.Equal(t, http.StatusPreconditionFailed, as("PUT", "/streams/gate", `{}`, "If-Match", first).Code)
	require.Equal(t, http.StatusPreconditionFailed, as("PUT", "/streams/gate", `{}`, "If-None-Match", "*").Code)
	require.Equal(t, http.StatusPreconditionFailed, as("PUT", "/streams/absent", `{}`, "If-Match", "*").Code)
	require.Equal(t, http.StatusPreconditionFailed, as("DELETE", "/streams/gate", "", "If-Match", first).Code)

	require.Equal(t, http.StatusPreconditionFailed, as("PUT", "/streams/gate", `{}`, "If-None-Match", a.Header().Get("ETag")).Code)

	a = as("PATCH", "/streams/gate", `{"backup":[]}`, "If-Match", `"0", `+a.Header().Get("ETag"))
	require.Equal(t, http.StatusOK, a.Code)
	require.Len(t, st.Spec().Inputs, 1)
	require.Equal(t, "rtsp://127.0.0.1:1/y", st.Spec().Inputs[0].Low)
	a = as("PUT", "/streams/gate", `{"public":true}`)
	require.Equal(t, http.StatusOK, a.Code)
	require.Empty(t, st.Spec().Inputs, "PUT replaces all of it")

	require.Equal(t, http.StatusNoContent, as("DELETE", "/streams/gate", "").Code)
	require.Equal(t, http.StatusNotFound, as("GET", "/streams/gate", "").Code)
	require.Equal(t, http.StatusNotFound, as("DELETE", "/streams/gate", "").Code)
}

func TestStreamsOfTheFileAreReadOnly(t *testing.T) {
	_, as := operated(t)
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		body := `{}`
		if method == "DELETE" {
			body = ""
		}
		a := as(method, "/streams/priv", body)
		require.Equal(t, http.StatusConflict, a.Code, method)
		require.Contains(t, a.Detail, "watershed.yaml")
	}
	require.Contains(t, as("GET", "/streams/priv", "").Body.String(), `"origin":"file"`)
}

func TestPushedStreamBecomesDeclared(t *testing.T) {
	h, as := operated(t)
	a := h.ask(t, "POST", "/whip/fresh", h.mint(t, token.Claims{Role: token.Publisher}), sdp, offer(t, webrtc.RTPTransceiverDirectionSendonly))
	require.Equal(t, http.StatusCreated, a.Code, a.Body)
	require.Contains(t, as("GET", "/streams/fresh", "").Body.String(), `"origin":"push"`)
	require.Equal(t, http.StatusOK, as("GET", "/streams", "").Code)
	require.Equal(t, http.StatusCreated, as("PATCH", "/streams/fresh", `{"title":"Kept"}`).Code)
	st, _ := h.sfu.Stream("fresh")
	require.True(t, st.Status().Pushed, "its publisher stays")
	require.False(t, st.Spec().Ephemeral)
	require.Contains(t, as("GET", "/streams/fresh", "").Body.String(), `"origin":"api"`)
	require.Equal(t, http.StatusNoContent, as("DELETE", "/streams/fresh", "").Code)
	require.False(t, st.Status().Pushed, "a deleted stream's publisher is told")

	a = h.ask(t, "POST", "/whip/other", h.mint(t, token.Claims{Role: token.Publisher}), sdp, offer(t, webrtc.RTPTransceiverDirectionSendonly))
	require.Equal(t, http.StatusCreated, a.Code)
	require.Equal(t, http.StatusNoContent, as("DELETE", "/streams/other", "").Code)
	require.Equal(t, http.StatusNotFound, as("GET", "/streams/other", "").Code)
}

func TestFieldsThatAreWrongAreNamed(t *testing.T) {
	_, as := operated(t)
	for body, field := range map[string]string{
		`{"sorce":"x"}`:                                "sorce",
		`{"public":"yes"}`:                             "public",
		`{"source":"rtsp://"}`:                         "source",
		`{"source":"/etc/passwd"}`:                     "source",
		`{"source":"file:///etc/passwd"}`:              "source",
		`{"source":"exec://x/y"}`:                      "source",
		`{"sub":"rtsp://h/x"}`:                         "sub",
		`{"inputs":[{"low":"rtsp://h/x"}]}`:            "inputs[0].high",
		`{"inputs":[{"high":"nonsense"}]}`:             "inputs[0].high",
		`{"inputs":[],"source":"rtsp://h"}`:            "inputs",
		`{"backup":["rtsp://h/x","gopher:"]}`:          "backup[1]",
		`{"idle":-1}`:                                  "idle",
		`{"idle":1.5}`:                                 "idle",
		`{"ladder":["720p","720p"]}`:                   "ladder[1]",
		`{"ladder":["huge"]}`:                          "ladder[0]",
		`{"dvr":30}`:                                   "dvr",
		`{"dvr":86401}`:                                "dvr",
		`{"keep":-1}`:                                  "keep",
		`{"keep":99999999999}`:                         "keep",
		`{"keepSize":1000}`:                            "keepSize",
		`{"demand":true}`:                              "demand",
		`{"title":"` + strings.Repeat("x", 121) + `"}`: "title",
	} {
		a := as("PUT", "/streams/x", body)
		require.Equal(t, http.StatusUnprocessableEntity, a.Code, body)
		require.Equal(t, field, a.Field, body)
		require.Contains(t, a.Detail, field)
	}
	for body, code := range map[string]int{`{`: 400, `[]`: 422, `{} {}`: 400, `{"title":"` + strings.Repeat("x", 70<<10) + `"}`: 413} {
		require.Equal(t, code, as("PUT", "/streams/x", body).Code, body[:min(len(body), 20)])
	}
	require.Equal(t, http.StatusNotFound, as("GET", "/streams/x", "").Code, "nothing came of it")
	for _, name := range []string{"UPPER", "a%20b", "a~b~c", ".x", strings.Repeat("a", 64)} {
		require.Equal(t, http.StatusNotFound, as("PUT", "/streams/"+name, `{}`).Code, name)
	}
	require.Equal(t, "limit", as("GET", "/streams?limit=0", "").Field)
	require.Equal(t, "slow", as("PUT", "/rooms/pub/rules", `{"slow":-1}`).Field)
	require.Equal(t, "ttl", as("POST", "/tokens", `{"role":"viewer","ttl":-5}`).Field)
	require.Equal(t, "role", as("POST", "/tokens", `{"role":"root"}`).Field)
}

// A form on a foreign page can send text/plain without asking; it must not pass for JSON.
func TestBodiesAreJSON(t *testing.T) {
	h := newHouse(t, nil)
	a := h.ask(t, "PUT", "/api/v1/streams/x", h.mint(t, token.Claims{Role: token.Operator}), "text/plain", `{}`)
	require.Equal(t, http.StatusUnsupportedMediaType, a.Code)
}

func TestStreamsAreListedInPages(t *testing.T) {
	_, as := operated(t)
	for i := range 5 {
		require.Equal(t, http.StatusCreated, as("PUT", fmt.Sprintf("/streams/s%d", i), `{}`).Code)
	}
	var seen []id.Stream
	after := ""
	for {
		var list struct {
			Streams []struct{ Name id.Stream }
			Next    string
		}
		require.NoError(t, json.Unmarshal(as("GET", "/streams?limit=2&after="+after, "").Body.Bytes(), &list))
		for _, s := range list.Streams {
			seen = append(seen, s.Name)
		}
		if after = list.Next; after == "" {
			break
		}
	}
	require.Equal(t, []id.Stream{"priv", "pub", "s0", "s1", "s2", "s3", "s4"}, seen)
}

func TestManyWritersLoseNothing(t *testing.T) {
	h, as := operated(t)
	require.Equal(t, http.StatusCreated, as("PUT", "/streams/x", `{}`).Code)
	jwt := h.mint(t, token.Claims{Role: token.Operator})
	bodies := []string{`{"title":"T"}`, `{"public":true}`, `{"source":"rtsp://127.0.0.1:1/x"}`, `{"record":true}`}
	var all sync.WaitGroup
	answers := make(chan int, len(bodies))
	for _, b := range bodies {
		each := &house{node: h.node, door: h.door} // ask counts its callers without a lock
		all.Go(func() { answers <- each.ask(t, "PATCH", "/api/v1/streams/x", jwt, jsn, b).Code })
	}
	all.Wait()
	for range bodies {
		require.Equal(t, http.StatusOK, <-answers)
	}
	st, _ := h.sfu.Stream("x")
	require.Len(t, st.Spec().Inputs, 1)
	require.True(t, st.Spec().Public && st.Spec().Record)
	require.Contains(t, as("GET", "/streams/x", "").Body.String(), `"title":"T"`)
}

func TestTokensNeverGiveMoreThanTheirMaker(t *testing.T) {
	h := newHouse(t, nil)
	mint := func(maker token.Claims, body string) answer {
		return h.ask(t, "POST", "/api/v1/tokens", h.mint(t, maker), jsn, body)
	}
	operator := token.Claims{Role: token.Operator, Streams: []string{"cam*"}, Rooms: []string{"lobby"}}
	for _, c := range []struct {
		maker token.Claims
		body  string
		code  int
	}{
		{operator, `{"role":"viewer"}`, 201},
		{operator, `{"role":"viewer","streams":["cam1"],"rooms":[]}`, 201},
		{operator, `{"role":"moderator","streams":["cam1*"],"rooms":["lobby"]}`, 201},
		{operator, `{"role":"viewer","streams":["*"]}`, 403},
		{operator, `{"role":"viewer","streams":["cam1"]}`, 403}, // rooms would be cam1 too
		{operator, `{"role":"operator"}`, 403},
		{operator, `{"role":"admin"}`, 403},
		{operator, `{"role":"viewer","sub":"somebody"}`, 403},
		{operator, `{"role":"viewer","tenant":"acme"}`, 404},
		{operator, `{"role":"viewer","tenant":"*"}`, 404},
		{token.Claims{Role: token.Admin}, `{"role":"admin","sub":"second"}`, 201},
		{token.Claims{Role: token.Admin}, `{"role":"admin","tenant":"*"}`, 404},
		{token.Claims{Role: token.Admin, Tenant: "*"}, `{"role":"admin","tenant":"acme"}`, 201},
		{token.Claims{Role: token.Admin, Tenant: "*"}, `{"role":"viewer","streams":["BAD"]}`, 422},
		{token.Claims{Role: token.Moderator}, `{"role":"viewer"}`, 403},
		{operator, `{"role":"viewer","ttl":-1}`, 422},
		{operator, `{"role":"viewer","ttl":18446744074}`, 422}, // 0.3 s, if it wraps around
		{operator, `{"role":"viewer","name":"a\nb"}`, 422},
	} {
		a := mint(c.maker, c.body)
		require.Equal(t, c.code, a.Code, "%v %s: %s", c.maker.Role, c.body, a.Body)
		if c.code != 201 {
			continue
		}
		var made struct{ Token, Role string }
		require.NoError(t, json.Unmarshal(a.Body.Bytes(), &made))
		me := h.ask(t, "GET", "/api/v1/me", made.Token, "", "")
		require.Contains(t, me.Body.String(), `"role":"`+made.Role+`"`)
	}
}

func TestRulesOfRooms(t *testing.T) {
	h, as := operated(t)
	require.Equal(t, http.StatusOK, as("PUT", "/rooms/pub/rules", `{"chat":true,"guests":false,"slow":5,"publish":"guests"}`).Code)
	require.Contains(t, as("GET", "/rooms/pub", "").Body.String(), `"rules":{"chat":true,"guests":false,"slow":5,"publish":"guests"}`)
	// A room that is no stream's is there when it has rules, and open to guests if they say so.
	require.Equal(t, http.StatusNotFound, as("GET", "/rooms/lobby", "").Code)
	require.Equal(t, http.StatusUnauthorized, h.ask(t, "GET", "/api/v1/rooms/lobby", "", "", "").Code)
	require.Equal(t, http.StatusOK, as("PUT", "/rooms/lobby/rules", `{"chat":true,"guests":true}`).Code)
	require.Equal(t, http.StatusOK, h.ask(t, "GET", "/api/v1/rooms/lobby", "", "", "").Code)
	require.Contains(t, as("GET", "/rooms", "").Body.String(), `"lobby"`)
}

func TestPreflightsLetForeignPagesIn(t *testing.T) {
	h := newHouse(t, nil)
	for _, path := range []string{"/api/v1/streams/pub", "/whep/pub", "/whip/pub", "/whep/pub/n.s", "/api/v1/streams/pub/play", "/api/v1/streams/pub/snapshot", "/hls/pub/index.m3u8"} {
		a := h.ask(t, "OPTIONS", path, "", "", "", "Origin", "https://other.example", "Access-Control-Request-Method", "GET")
		require.Equal(t, http.StatusNoContent, a.Code, path)
		require.Equal(t, "*", a.Header().Get("Access-Control-Allow-Origin"), path)
		require.Empty(t, a.Header().Get("Access-Control-Allow-Credentials"), path)
		require.Contains(t, a.Header().Get("Access-Control-Allow-Headers"), "Authorization", path)
	}
	a := h.ask(t, "GET", "/api/v1/streams/priv", "", "", "", "Origin", "https://other.example")
	require.Equal(t, "*", a.Header().Get("Access-Control-Allow-Origin"), "a page must be able to read what is wrong")
}

// TestAnswersAreAsDescribed asks for everything that answers JSON, and holds the answers to openapi.json.
func TestAnswersAreAsDescribed(t *testing.T) {
	h := newHouse(t, nil)
	admin := h.mint(t, token.Claims{Role: token.Admin, Tenant: token.AllTenants, ID: "me"})
	var doc map[string]any
	require.NoError(t, json.Unmarshal(h.ask(t, "GET", "/api/v1/openapi.json", "", "", "").Body.Bytes(), &doc))
	paths := doc["paths"].(map[string]any)
	for _, r := range h.sig.Echo().Routes() {
		path, ok := strings.CutPrefix(r.Path, "/api/v1")
		if !ok || r.Method == http.MethodOptions || r.Method == http.MethodHead || path == "/openapi.json" {
			continue
		}
		at, _ := paths[described(path)].(map[string]any)
		require.Contains(t, at, strings.ToLower(r.Method), "%s is not described", path)
	}
	bodies := map[string]string{
		"PUT /streams/{stream}": `{"title":"x","source":"rtsp://127.0.0.1:1/x"}`, "PATCH /streams/{stream}": `{"public":true}`, "POST /streams/{stream}/keys": `{"name":"n","ttl":60}`,
		"PUT /rooms/{room}/rules": `{"chat":true,"guests":true,"slow":0,"publish":"token"}`, "POST /tokens": `{"role":"viewer","name":"n"}`,
		"POST /tokens/redeem": fmt.Sprintf(`{"ticket":%q}`, h.access.Ticket(token.Claims{Role: token.Viewer}, time.Minute, time.Minute)),
	}
	require.Equal(t, http.StatusCreated, h.ask(t, "PUT", "/api/v1/streams/api1", admin, jsn, `{}`).Code)
	watches(h, t, "api1")
	for path, at := range paths {
		for method, op := range at.(map[string]any) {
			method = strings.ToUpper(method)
			if method == http.MethodDelete || strings.HasSuffix(path, "/snapshot") {
				continue
			}
			concrete := strings.NewReplacer("{stream}", "api1", "{room}", "api1").Replace(path)
			body := bodies[method+" "+path]
			kind := ""
			if body != "" {
				kind = jsn
			}
			a := h.ask(t, method, "/api/v1"+concrete, admin, kind, body)
			responses := op.(map[string]any)["responses"].(map[string]any)
			response, ok := responses[fmt.Sprint(a.Code)].(map[string]any)
			require.True(t, ok, "%s %s answers %d, which is not described: %s", method, path, a.Code, a.Body)
			var value any
			require.NoError(t, json.Unmarshal(a.Body.Bytes(), &value))
			schema := response["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
			conforms(t, doc, schema, value, method+" "+path)
		}
	}
	var problem any
	a := h.ask(t, "PUT", "/api/v1/streams/x", admin, jsn, `{"idle":-1}`)
	require.NoError(t, json.Unmarshal(a.Body.Bytes(), &problem))
	conforms(t, doc, map[string]any{"$ref": "#/components/schemas/Problem"}, problem, "a problem")
}

// described writes echo's :name as OpenAPI does.
func described(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// conforms holds a value to a schema of the document.
func conforms(t *testing.T, doc, schema map[string]any, v any, where string) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		conforms(t, doc, doc["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any), v, where)
		return
	}
	if either, ok := schema["anyOf"].([]any); ok {
		if v != nil {
			conforms(t, doc, either[0].(map[string]any), v, where)
		}
		return
	}
	switch schema["type"] {
	case "object":
		o, ok := v.(map[string]any)
		require.True(t, ok, "%s: %v is no object", where, v)
		properties, _ := schema["properties"].(map[string]any)
		for name, field := range o {
			s, ok := properties[name].(map[string]any)
			if !ok {
				s, ok = schema["additionalProperties"].(map[string]any)
			}
			require.True(t, ok, "%s: field %s is not described", where, name)
			conforms(t, doc, s, field, where+"."+name)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			require.Contains(t, o, name, where)
		}
	case "array":
		list, ok := v.([]any)
		require.True(t, ok, "%s: %v is no list", where, v)
		for _, e := range list {
			conforms(t, doc, schema["items"].(map[string]any), e, where+"[]")
		}
	case "string":
		require.IsType(t, "", v, where)
	case "boolean":
		require.IsType(t, true, v, where)
	case "integer":
		require.IsType(t, 0.0, v, where)
		require.Equal(t, v, float64(int64(v.(float64))), where)
	case "number":
		require.IsType(t, 0.0, v, where)
	default:
		t.Errorf("%s: schema %v says no type", where, schema)
	}
}

// TestCamerasPasswordsAreSealed: the log and its snapshots hold no camera's password, also of what a version before wrote, and a new auth.secret loses none.
func TestCamerasPasswordsAreSealed(t *testing.T) {
	data := t.TempDir()
	const source = "rtsp://u:hunter2@127.0.0.1:1/x"
	with := func(secret string) func(*config.Config) {
		return func(c *config.Config) { c.Data, c.Auth.Secret = data, secret }
	}
	t.Run("written", func(t *testing.T) {
		h := newHouse(t, with("the first secret of all"))
		operator := h.mint(t, token.Claims{Role: token.Operator})
		require.Equal(t, http.StatusCreated, h.ask(t, "PUT", "/api/v1/streams/gate", operator, jsn, `{"source":"`+source+`"}`).Code)
		require.NotContains(t, everything(t, filepath.Join(data, "cluster")), "hunter2")
		_, err := h.cluster.Decisions.Streams.Put(t.Context(), cluster.Stream{Name: "old", Origin: "api", Spec: sfu.Spec{Inputs: []sfu.Input{{High: source}}}})
		require.NoError(t, err)
	})
	t.Run("read", func(t *testing.T) {
		h := newHouse(t, with("another secret since then"))
		for _, name := range []id.Stream{"gate", "old"} {
			require.Eventually(t, func() bool { _, there := h.sfu.Stream(name); return there }, 10*time.Second, 10*time.Millisecond)
			st, _ := h.sfu.Stream(name)
			require.Equal(t, source, st.Spec().Inputs[0].High)
			kept, _ := h.cluster.Decisions.Streams.Find(string(name))
			require.True(t, seal.Sealed(kept.Spec.Inputs[0].High), name)
		}
	})
	require.NoError(t, os.Remove(filepath.Join(data, "seal")))
	t.Run("without the key", func(t *testing.T) {
		h := newHouse(t, with("another secret since then"))
		operator := h.mint(t, token.Claims{Role: token.Operator})
		require.Eventually(t, func() bool {
			return strings.Contains(h.ask(t, "GET", "/api/v1/streams/gate", operator, "", "").Body.String(), `"state":"offline"`)
		}, 10*time.Second, 10*time.Millisecond)
		require.Equal(t, http.StatusOK, h.ask(t, "PATCH", "/api/v1/streams/gate", operator, jsn, `{"title":"Gate"}`).Code)
		require.Equal(t, http.StatusOK, h.ask(t, "PATCH", "/api/v1/streams/gate", operator, jsn, `{"source":"`+source+`"}`).Code)
		st, _ := h.sfu.Stream("gate")
		require.Equal(t, source, st.Spec().Inputs[0].High)
	})
}
