package access

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu/id"
	"watershed/signaling/token"
)

// expected is written a second time by hand, so that a slip in the table of rights shows. A column is a role, from anonymous to admin:
// . may, u needs a token (401), - forbidden (403), 0 not found (404).
//
//	private  public   private, not  private, of     public, of
//	in globs in globs in globs      another tenant  another tenant
const expected = `
	watch     u.....   ......   u-----        u00000          ......
	publish   u-....   u-....   u-----        u00000          u00000
	create    u-....   u-....   u-----        u00000          u00000
	takeover  u--...   u--...   u-----        u00000          u00000
	viewers   u--...   u--...   u-----        u00000          u00000
	source    u---..   u---..   u-----        u00000          u00000
	manage    u---..   u---..   u-----        u00000          u00000
	keys      u---..   u---..   u-----        u00000          u00000
	join      u.....   ......   u-----        u00000          ......
	say       u.....   u.....   u-----        u00000          u.....
	speak     u-....   u-....   u-----        u00000          u00000
	moderate  u--...   u--...   u-----        u00000          u00000
	rules     u--...   u--...   u-----        u00000          u00000
	list      ......
	mint      u---..
	revoke    u----.
	nodes     u---..
	path-keys u-----
`

func TestRights(t *testing.T) {
	w := newWorld(t, nil)
	cases := []struct {
		name     id.Stream
		patterns []string
	}{{"priv", []string{"*"}}, {"pub", []string{"p*"}}, {"priv", []string{"other*"}}, {"acme~priv", []string{"*"}}, {"acme~pub", []string{"*"}}}
	signs := map[byte]int{'.': 200, 'u': 401, '-': 403, '0': 404}
	tested := map[Action]bool{}
	for line := range strings.Lines(strings.TrimSpace(expected)) {
		f := strings.Fields(line)
		do := Action(f[0])
		tested[do] = true
		require.Contains(t, rights, do)
		for i, want := range f[1:] {
			c := cases[i]
			if len(f) == 2 {
				c.name = ""
			}
			for role := token.Anonymous; role <= token.Admin; role++ {
				p := w.principal(t, id.DefaultTenant, role, c.patterns...)
				require.Equal(t, signs[want[role]], status(t, w.May(p, do, c.name)), "%s as %s on %q", do, role, c.name)
			}
		}
	}
	for do := range rights {
		require.True(t, tested[do], "%s is not in the expected table", do)
	}
	require.Equal(t, 403, status(t, w.May(w.principal(t, token.AllTenants, token.Admin), "unheard-of", "pub")))
}

func TestThoseOfAllTenants(t *testing.T) {
	w := newWorld(t, nil)
	p := w.principal(t, token.AllTenants, token.Admin)
	for do, r := range rights {
		for _, name := range []id.Stream{"priv", "acme~priv"} {
			if r.on == itself || r.on == everyone {
				name = ""
			}
			require.NoError(t, w.May(p, do, name), "%s %s", do, name)
		}
	}
}

func TestStreamKeyMayPublishItsStreamOnly(t *testing.T) {
	w := newWorld(t, nil)
	key, k, err := w.MakeKey(t.Context(), "priv", "encoder", "op", 0)
	require.NoError(t, err)
	require.Len(t, key, 16)
	p, err := w.Credential(t.Context(), key, "192.0.2.1:1")
	require.NoError(t, err)
	for do := range rights {
		want := slices.Contains([]Action{Publish, Create, Takeover}, do)
		err := w.May(p, do, "priv")
		require.Equal(t, want || do == List, err == nil, "%s: %v", do, err)
		if do != List {
			require.Error(t, w.May(p, do, "other"), do)
		}
	}
	require.NoError(t, w.May(p, Watch, "pub"), "as everybody may")
	require.Equal(t, 403, status(t, w.May(p, Say, "pub")))
	require.Equal(t, 404, status(t, w.May(p, Publish, "acme~priv")))

	require.NotContains(t, fmt.Sprintf("%+v", w.records.keys), key, "the key itself is kept nowhere")
	wrong := key[:15] + string('a'+(key[15]-'a'+1)%26)
	for _, bad := range []string{wrong, "", strings.ToUpper(key), key + "a", k.Hash, k.ID} {
		_, err := w.Credential(t.Context(), bad, "192.0.2.1:1")
		require.Equal(t, 401, status(t, err), bad)
	}
	require.NoError(t, w.DeleteKey(t.Context(), k.ID))
	_, err = w.Credential(t.Context(), key, "192.0.2.1:1")
	require.Equal(t, 401, status(t, err))

	key, _, err = w.MakeKey(t.Context(), "priv", "", "", time.Nanosecond)
	require.NoError(t, err)
	_, err = w.Credential(t.Context(), key, "192.0.2.1:1")
	require.Equal(t, 401, status(t, err), "a key past its time")
}

func TestEphemeralStreamsBelongToTheirRoom(t *testing.T) {
	w := newWorld(t, nil)
	name := id.Stream("priv+u-1")
	require.NoError(t, w.May(w.principal(t, "default", token.Viewer, "priv"), Watch, name))
	require.Equal(t, 403, status(t, w.May(w.principal(t, "default", token.Viewer, "pub"), Watch, name)))
	require.Equal(t, 401, status(t, w.May(anonymous, Watch, name)))
	require.NoError(t, w.May(anonymous, Watch, "pub+u-1"))
	require.Equal(t, 404, status(t, w.May(w.principal(t, "acme", token.Admin), Watch, name)))
	require.Equal(t, 403, status(t, w.May(w.principal(t, "default", token.Publisher), Manage, name)))
	require.False(t, w.Sees(w.principal(t, "default", token.Admin), name))

	out := w.principal(t, "default", token.Viewer)
	w.cfg.Removed = func(room id.Stream, user string) bool { return room == "priv" && user == out.Subject }
	require.Equal(t, 403, status(t, w.May(out, Watch, name)), "a moderator has put them out")
	require.NoError(t, w.May(out, Watch, "pub+u-1"))
	require.NoError(t, w.May(w.principal(t, "default", token.Viewer), Watch, name))
}

// A stream of another tenant, and one that is not there, must look the same to whoever may not know.
func TestNothingTellsWhatOthersHave(t *testing.T) {
	w := newWorld(t, nil)
	p := w.principal(t, id.DefaultTenant, token.Admin)
	for _, do := range []Action{Watch, Publish, Manage, Viewers} {
		_, there := w.Stream(p, do, "acme~priv")
		_, absent := w.Stream(p, do, "acme~none")
		require.Equal(t, 404, status(t, there))
		require.Equal(t, strings.ReplaceAll(there.Error(), "priv", "none"), absent.Error())
		_, there = w.Stream(anonymous, do, "acme~priv")
		_, absent = w.Stream(anonymous, do, "acme~none")
		require.Equal(t, there.Error(), absent.Error())
	}
	_, err := w.Stream(anonymous, Watch, "none")
	require.Equal(t, 404, status(t, err))
	_, err = w.Stream(anonymous, Watch, "priv")
	require.Equal(t, 401, status(t, err))
	require.False(t, w.Sees(p, "acme~pub"), "lists show one's own tenant")
	require.True(t, w.Sees(p, "priv"))
}

func TestAuthenticate(t *testing.T) {
	w := newWorld(t, nil)
	jwt, c := w.mint(t, "acme", token.Operator)
	key, _, err := w.MakeKey(t.Context(), "priv", "", "", 0)
	require.NoError(t, err)
	for name, r := range map[string]*http.Request{
		"bearer": request("/x", jwt), "lower case": request("/x", "", "Authorization", "bearer "+jwt), "query": request("/x?key="+jwt, ""),
	} {
		p, err := w.Authenticate(r)
		require.NoError(t, err, name)
		require.Equal(t, token.Operator, p.Role)
		require.Equal(t, c.Subject, p.Subject)
		require.Equal(t, "acme/"+c.ID, p.Handle())
	}
	for name, r := range map[string]*http.Request{"bearer": request("/x", key), "query": request("/x?key="+key, "")} {
		p, err := w.Authenticate(r)
		require.NoError(t, err, name)
		require.True(t, p.Key)
	}
	p, err := w.Authenticate(request("/x", ""))
	require.NoError(t, err)
	require.True(t, p.Guest())
	for name, r := range map[string]*http.Request{
		"basic": request("/x", "", "Authorization", "Basic dTpw"), "empty": request("/x", "", "Authorization", "Bearer "), "a dot more": request("/x", jwt+"."),
		"other signature": request("/x", jwt[:len(jwt)-4]+"AAAA"),
	} {
		_, err := w.Authenticate(r)
		require.Equal(t, 401, status(t, err), name)
	}
}

func TestOpenModeIsNotOpenToForeignPages(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Open = true })
	for _, c := range []struct {
		host   string
		header []string
		open   bool
	}{
		{"127.0.0.1:8080", nil, true},
		{"localhost:8080", nil, true},
		{"[::1]:8080", []string{"Origin", "http://[::1]:8080"}, true},
		{"127.0.0.1:8080", []string{"Origin", "http://127.0.0.1:8080"}, true},
		{"127.0.0.1:8080", []string{"Origin", "http://127.0.0.1:9090"}, false},
		{"127.0.0.1:8080", []string{"Origin", "https://evil.example"}, false},
		{"127.0.0.1:8080", []string{"Origin", "null"}, false},
		{"127.0.0.1:8080", []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"evil.example:8080", nil, false}, // DNS rebinding
		{"evil.example:8080", []string{"Origin", "http://evil.example:8080"}, false},
	} {
		r := request("/x", "", c.header...)
		r.Host = c.host
		p, err := w.Authenticate(r)
		require.NoError(t, err)
		require.Equal(t, c.open, p.Role == token.Admin, "%+v", c)
	}
	jwt, _ := w.mint(t, "default", token.Viewer)
	r := request("/x", jwt)
	r.Host = "127.0.0.1"
	p, err := w.Authenticate(r)
	require.NoError(t, err)
	require.Equal(t, token.Viewer, p.Role, "a token narrows also there")
}

func TestOriginAllowed(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Origins = []string{"https://friend.example"} })
	for origin, want := range map[string]bool{
		"": true, "http://example.com": true, "https://friend.example": true, "https://example.com:444": false,
		"https://friend.example.evil": false, "null": false, "http://": false, "://": false,
	} {
		r := request("http://example.com/ws", "")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		require.Equal(t, want, w.OriginAllowed(r), origin)
	}
}

func TestWrongCredentialsAreLimitedByAddress(t *testing.T) {
	w := newWorld(t, nil)
	jwt, _ := w.mint(t, "default", token.Viewer)
	key, _, err := w.MakeKey(t.Context(), "priv", "", "", 0)
	require.NoError(t, err)
	const here, there = "192.0.2.7:1000", "192.0.2.8:1000"
	old, err := token.Mint(secret, &token.Claims{Role: token.Viewer, Expires: time.Now().Add(-time.Hour)}, time.Now().Add(-2*time.Hour))
	require.NoError(t, err)
	for range 2 * failuresAllowed { // a page that asks again and again with what was good yesterday is no attacker
		_, err := w.Credential(t.Context(), old, here)
		require.Equal(t, 401, status(t, err))
	}
	for i := range failuresAllowed {
		_, err := w.Credential(t.Context(), fmt.Sprintf("guess-%d", i), here)
		require.Equal(t, 401, status(t, err))
	}
	_, err = w.Credential(t.Context(), "one too many", here)
	require.Equal(t, 429, status(t, err))
	_, err = w.Credential(t.Context(), key, here)
	require.Equal(t, 429, status(t, err), "keys are not tried any more: they could be guesses")
	_, err = w.Credential(t.Context(), jwt, here)
	require.NoError(t, err, "who has a signed token shares the address, not the fault")
	_, err = w.Credential(t.Context(), key, there)
	require.NoError(t, err)
}

// A player that goes on with a path token whose key was withdrawn, or that has expired, does not lock out who publishes from the same address; and what
// stands beside a good one is not looked at.
func TestPathTokensAreNoGuesses(t *testing.T) {
	w := newWorld(t, nil)
	key, _, err := w.MakeKey(t.Context(), "priv", "", "", 0)
	require.NoError(t, err)
	path, _, err := w.MintPath(w.principal(t, "default", token.Viewer), "priv")
	require.NoError(t, err)
	for range 2 * failuresAllowed {
		_, err := w.Read(request("/hls/x?key=guess", ""), "priv", path)
		require.NoError(t, err)
	}
	_, err = w.MakePathKey(t.Context())
	require.NoError(t, err)
	require.NoError(t, w.DeletePathKey(t.Context(), FirstPathKey))
	r := request("/hls/x", "")
	for range 2 * failuresAllowed {
		_, err := w.Read(r, "priv", path)
		require.Equal(t, 401, status(t, err))
	}
	_, err = w.Credential(t.Context(), key, r.RemoteAddr)
	require.NoError(t, err)
}

func TestFailuresForget(t *testing.T) {
	f := newFailures()
	now := time.Now()
	for range failuresAllowed {
		require.Zero(t, f.add("a", now))
	}
	require.Positive(t, f.add("a", now.Add(time.Second)))
	require.Positive(t, f.blocked("a", now.Add(failuresWindow-time.Second)))
	require.Zero(t, f.blocked("a", now.Add(failuresWindow)))
	require.Zero(t, f.add("a", now.Add(failuresWindow)))
	for i := range 3 * failuresTracked {
		f.add(fmt.Sprint(i), now.Add(2*failuresWindow))
	}
	require.LessOrEqual(t, len(f.byAddr), failuresTracked)
	require.Equal(t, "192.0.2.1", origin("192.0.2.1:99"))
	require.Equal(t, origin("[2001:db8::1]:99"), origin("[2001:db8::ffff:2]:1"))
	require.NotEqual(t, origin("[2001:db8::1]:99"), origin("[2001:db8:1::1]:99"))
}

func TestPathTokens(t *testing.T) {
	w := newWorld(t, nil)
	p := w.principal(t, "default", token.Viewer)
	path, expires, err := w.MintPath(p, "priv")
	require.NoError(t, err)
	require.Equal(t, p.Expires, expires, "not longer than the token of who asked")
	read := func(name id.Stream, path string) int {
		_, err := w.Read(request("/hls/x", ""), name, path)
		return status(t, err)
	}
	require.Equal(t, 200, read("priv", path))
	require.Equal(t, 403, read("pub", path))
	require.Equal(t, 403, read("acme~priv", path))
	require.Equal(t, 401, read("priv", ""))
	require.Equal(t, 200, read("pub", ""))
	require.Equal(t, 401, read("pub", "v1.k1.99999999999.cHVi."+strings.Repeat("A", 43)), "forged")

	// A new key signs; the old one stays good until it is withdrawn.
	k, err := w.MakePathKey(t.Context())
	require.NoError(t, err)
	next, _, err := w.MintPath(p, "priv")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(next, "v1."+k.ID+"."))
	require.Equal(t, 200, read("priv", path))
	require.NoError(t, w.DeletePathKey(t.Context(), FirstPathKey))
	require.Equal(t, 401, read("priv", path))
	require.Equal(t, 200, read("priv", next))
	require.Equal(t, 409, status(t, w.DeletePathKey(t.Context(), k.ID)))
	require.Equal(t, 404, status(t, w.DeletePathKey(t.Context(), FirstPathKey)))

	require.NoError(t, w.Revoke(t.Context(), p, p.ID))
	require.Equal(t, 401, read("priv", next), "it dies with the token that it came from")
}

func TestAnonymousPathTokenNeedsNoParent(t *testing.T) {
	w := newWorld(t, nil)
	path, _, err := w.MintPath(anonymous, "pub")
	require.NoError(t, err)
	_, err = w.Read(request("/hls/x", ""), "pub", path)
	require.NoError(t, err)
}

func TestCan(t *testing.T) {
	w := newWorld(t, nil)
	require.Equal(t, []Action{Join, Watch}, w.Can(anonymous, "pub"))
	require.Empty(t, w.Can(anonymous, "priv"))
	require.Equal(t, []Action{Join, Say, Watch}, w.Can(w.principal(t, "default", token.Viewer), "priv"))
	require.Contains(t, w.Can(w.principal(t, "default", token.Operator), ""), Mint)
	require.NotContains(t, w.Can(w.principal(t, "default", token.Viewer), ""), Mint)
}

// Every request of a crowd asks for permission.
func BenchmarkRead(b *testing.B) {
	w := newWorld(b, nil)
	p := w.principal(b, "default", token.Viewer)
	path, _, err := w.MintPath(p, "priv")
	require.NoError(b, err)
	r := request("/hls/priv/index.m3u8?_HLS_msn=100&_HLS_part=2", "")
	for name, c := range map[string]struct {
		stream id.Stream
		path   string
	}{"public": {"pub", ""}, "path token": {"priv", path}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Read(r, c.stream, c.path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
