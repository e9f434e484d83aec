package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func verifier(t testing.TB, cfg VerifierConfig) *Verifier {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	v, err := NewVerifier(ctx, cfg)
	require.NoError(t, err)
	return v
}

// sign makes a JWT without the library, so that the library is not its own witness.
func sign(header, payload string, mac func(string) []byte) string {
	e := base64.RawURLEncoding.EncodeToString
	body := e([]byte(header)) + "." + e([]byte(payload))
	return body + "." + e(mac(body))
}

func signHS256(key []byte) func(string) []byte {
	return func(body string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(body))
		return m.Sum(nil)
	}
}

const (
	hsHeader = `{"alg":"HS256","typ":"JWT"}`
	goodBody = `{"sub":"u-1","exp":4000000000,"jti":"j1","watershed":{"tenant":"acme","role":"publisher","streams":["cam*"],"rooms":["lobby"],"name":"Li"}}`
)

func TestVerify(t *testing.T) {
	v := verifier(t, VerifierConfig{Secret: secret})
	now := time.Now()
	c, err := v.Verify(t.Context(), sign(hsHeader, goodBody, signHS256(secret)), now)
	require.NoError(t, err)
	require.Equal(t, &Claims{
		Subject: "u-1", ID: "j1", Expires: time.Unix(4000000000, 0), Tenant: "acme", Role: Publisher, Name: "Li",
		Streams: []string{"cam*"}, Rooms: []string{"lobby"},
	}, c)

	for name, raw := range map[string]string{
		"other key":           sign(hsHeader, goodBody, signHS256([]byte("another secret of that length!!!"))),
		"no algorithm":        sign(`{"alg":"none"}`, goodBody, func(string) []byte { return nil }),
		"None":                sign(`{"alg":"None"}`, goodBody, func(string) []byte { return nil }),
		"none with signature": sign(`{"alg":"none"}`, goodBody, signHS256(secret)),
		"HS512":               sign(`{"alg":"HS512"}`, goodBody, signHS256(secret)),
		"RS256 without keys":  sign(`{"alg":"RS256"}`, goodBody, signHS256(secret)),
		"expired":             sign(hsHeader, `{"sub":"u","exp":1}`, signHS256(secret)),
		"no end":              sign(hsHeader, `{"sub":"u"}`, signHS256(secret)),
		"end is a word":       sign(hsHeader, `{"sub":"u","exp":"never"}`, signHS256(secret)),
		"not yet":             sign(hsHeader, `{"sub":"u","exp":4000000000,"nbf":3999999999}`, signHS256(secret)),
		"role unknown":        sign(hsHeader, `{"sub":"u","exp":4000000000,"watershed":{"role":"root"}}`, signHS256(secret)),
		"role anonymous":      sign(hsHeader, `{"sub":"u","exp":4000000000,"watershed":{"role":"anonymous"}}`, signHS256(secret)),
		"role a number":       sign(hsHeader, `{"sub":"u","exp":4000000000,"watershed":{"role":5}}`, signHS256(secret)),
		"tenant of slashes":   sign(hsHeader, `{"sub":"u","exp":4000000000,"watershed":{"tenant":"a/b"}}`, signHS256(secret)),
		"streams of numbers":  sign(hsHeader, `{"sub":"u","exp":4000000000,"watershed":{"streams":[1]}}`, signHS256(secret)),
		"sub with a newline":  sign(hsHeader, `{"sub":"u\nadmin","exp":4000000000}`, signHS256(secret)),
		"endless sub":         sign(hsHeader, `{"sub":"`+strings.Repeat("x", 200)+`","exp":4000000000}`, signHS256(secret)),
		"not JSON":            sign(hsHeader, `exp`, signHS256(secret)),
		"nothing":             "..",
		"one part":            "abc",
		"large":               strings.Repeat("a", maxJWT) + ".b.c",
	} {
		_, err := v.Verify(t.Context(), raw, now)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), raw[:min(len(raw), 20)]+"x", name)
	}
}

// TestMalleable: the id of a token without jti is made from its text, so there must not be two texts of one token.
func TestMalleable(t *testing.T) {
	v := verifier(t, VerifierConfig{Secret: secret})
	raw := sign(hsHeader, `{"exp":4000000000}`, signHS256(secret))
	c, err := v.Verify(t.Context(), raw, time.Now())
	require.NoError(t, err)
	require.NotEmpty(t, c.ID)
	require.Equal(t, c.ID, c.Subject)
	other := raw[:len(raw)-1] + string(rune(raw[len(raw)-1]+1))
	_, err = v.Verify(t.Context(), other, time.Now())
	require.Error(t, err)
	for _, other := range []string{raw + "=", raw + "\n", raw[:9] + "\r\n" + raw[9:], raw + " ", " " + raw} {
		_, err = v.Verify(t.Context(), other, time.Now())
		require.Error(t, err, "%q", other)
	}
}

func TestTokenEndsWhenItSays(t *testing.T) {
	v := verifier(t, VerifierConfig{Secret: secret})
	end := time.Now().Add(10 * time.Second).Truncate(time.Second)
	raw, err := Mint(secret, &Claims{Role: Viewer, Expires: end}, time.Now())
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), raw, end.Add(-time.Second))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), raw, end)
	require.ErrorIs(t, err, ErrExpired)
}

func TestMintRoundTrip(t *testing.T) {
	v := verifier(t, VerifierConfig{Secret: secret})
	now := time.Now()
	for _, role := range []Role{Viewer, Publisher, Moderator, Operator, Admin} {
		c := Claims{Role: role, Tenant: "acme", Name: "李", Streams: []string{"a", "b*"}, Expires: now.Add(time.Hour).Truncate(time.Second)}
		raw, err := Mint(secret, &c, now)
		require.NoError(t, err)
		back, err := v.Verify(t.Context(), raw, now)
		require.NoError(t, err)
		c.Rooms = []string{}
		require.Equal(t, &c, back)
	}
	for name, c := range map[string]Claims{
		"no role":     {Expires: now.Add(time.Hour)},
		"past":        {Role: Viewer, Expires: now.Add(-time.Hour)},
		"bad tenant":  {Role: Viewer, Tenant: "A", Expires: now.Add(time.Hour)},
		"bad pattern": {Role: Viewer, Streams: []string{"a b"}, Expires: now.Add(time.Hour)},
	} {
		_, err := Mint(secret, &c, now)
		require.Error(t, err, name)
	}
}

func TestScopeOfLeftOutLists(t *testing.T) {
	all := []string{"*"}
	for body, want := range map[string][2][]string{
		`{}`:                            {all, all},
		`{"streams":["a"]}`:             {{"a"}, {"a"}},
		`{"rooms":["r"]}`:               {{"r"}, {"r"}},
		`{"streams":[],"rooms":["r"]}`:  {{}, {"r"}},
		`{"streams":[]}`:                {{}, {}},
		`{"streams":"a b,c"}`:           {{"a", "b", "c"}, {"a", "b", "c"}},
		`{"streams":null,"rooms":null}`: {all, all},
	} {
		var own map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &own))
		c, err := Paths(nil).read(map[string]any{"watershed": own})
		require.NoError(t, err, body)
		require.Equal(t, want, [2][]string{c.Streams, c.Rooms}, body)
	}
}

func TestClaimPaths(t *testing.T) {
	payload := `{"sub":"x","oid":"u-77","realm":{"roles":["offline_access","moderator","viewer"]},"https://shop.example/org":"acme",
		"perms":[{"cams":"gate-* lobby"}],"preferred":"Li"}`
	var p map[string]any
	require.NoError(t, json.Unmarshal([]byte(payload), &p))
	paths := Paths{
		"sub": "oid", "role": "realm.roles", "tenant": "/https:~1~1shop.example~1org", "streams": "perms.0.cams", "rooms": "=*", "name": "preferred",
	}
	require.NoError(t, paths.Check())
	c, err := paths.read(p)
	require.NoError(t, err)
	require.Equal(t, Claims{
		Subject: "u-77", Tenant: "acme", Role: Moderator, Name: "Li", Streams: []string{"gate-*", "lobby"}, Rooms: []string{"*"},
	}, c)

	// What a path names and the token lacks is refused, or nothing: never everything.
	c, err = Paths{"streams": "perms.1.cams"}.read(p)
	require.NoError(t, err)
	require.Empty(t, c.Streams)
	for _, missing := range []Paths{{"role": "nowhere"}, {"tenant": "nowhere"}, {"sub": "nowhere"}, {"role": "oid"}, {"tenant": "realm"}} {
		_, err := missing.read(p)
		require.Error(t, err, "%v", missing)
	}
	for _, bad := range []Paths{{"exp": "x"}, {"role": ""}, {"Role": "x"}} {
		require.Error(t, bad.Check(), "%v", bad)
	}
}

// issuer is another party that signs tokens and publishes its keys.
type issuer struct {
	rsa   *rsa.PrivateKey
	ec    *ecdsa.PrivateKey
	kid   atomic.Value
	asked atomic.Int32
}

func newIssuer(t *testing.T) (*issuer, string) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	i := &issuer{rsa: r, ec: e}
	i.kid.Store("one")
	srv := httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(srv.Close)
	return i, srv.URL
}

func (i *issuer) serve(w http.ResponseWriter, _ *http.Request) {
	i.asked.Add(1)
	b := base64.RawURLEncoding.EncodeToString
	kid := i.kid.Load().(string)
	point, _ := i.ec.PublicKey.ECDH()
	xy := point.Bytes()[1:]
	json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{
		{"kty": "RSA", "kid": "rsa-" + kid, "alg": "RS256", "use": "sig", "n": b(i.rsa.N.Bytes()), "e": b(big.NewInt(int64(i.rsa.E)).Bytes())},
		{"kty": "EC", "crv": "P-256", "kid": "ec-" + kid, "alg": "ES256", "use": "sig", "x": b(xy[:32]), "y": b(xy[32:])},
	}})
}

func (i *issuer) rs256(t *testing.T, kid, payload string) string {
	return sign(`{"alg":"RS256","kid":"`+kid+`"}`, payload, func(body string) []byte {
		h := sha256.Sum256([]byte(body))
		s, err := rsa.SignPKCS1v15(rand.Reader, i.rsa, crypto.SHA256, h[:])
		require.NoError(t, err)
		return s
	})
}

func (i *issuer) es256(t *testing.T, kid, payload string) string {
	s, err := jwt.SigningMethodES256.Sign("x", i.ec)
	require.NoError(t, err)
	require.Len(t, s, 64)
	return sign(`{"alg":"ES256","kid":"`+kid+`"}`, payload, func(body string) []byte {
		s, err := jwt.SigningMethodES256.Sign(body, i.ec)
		require.NoError(t, err)
		return s
	})
}

func TestForeignIssuer(t *testing.T) {
	iss, url := newIssuer(t)
	v := verifier(t, VerifierConfig{Secret: secret, JWKS: url})
	now := time.Now()
	for _, raw := range []string{iss.rs256(t, "rsa-one", goodBody), iss.es256(t, "ec-one", goodBody), sign(hsHeader, goodBody, signHS256(secret))} {
		c, err := v.Verify(t.Context(), raw, now)
		require.NoError(t, err)
		require.Equal(t, "u-1", c.Subject)
	}
	require.EqualValues(t, 1, iss.asked.Load(), "keys are kept")

	// The classical confusion: the public key, which everybody has, taken for the secret of HS256.
	der, err := x509.MarshalPKIXPublicKey(&iss.rsa.PublicKey)
	require.NoError(t, err)
	for _, key := range [][]byte{der, iss.rsa.N.Bytes()} {
		_, err := v.Verify(t.Context(), sign(`{"alg":"HS256","kid":"rsa-one"}`, goodBody, signHS256(key)), now)
		require.Error(t, err)
	}
	_, err = v.Verify(t.Context(), iss.rs256(t, "ec-one", goodBody), now)
	require.Error(t, err, "an RSA signature by the id of the EC key")

	iss.kid.Store("two") // the issuer rotates: the first token with the new id fetches the keys again
	_, err = v.Verify(t.Context(), iss.rs256(t, "rsa-two", goodBody), now)
	require.NoError(t, err)
	asked := iss.asked.Load()
	for range 50 { // ids out of the air do not make us hammer the issuer, nor wait
		_, err = v.Verify(t.Context(), iss.rs256(t, "rsa-three", goodBody), now)
		require.Error(t, err)
	}
	require.Equal(t, asked, iss.asked.Load())
}

// An issuer signs its users' tokens for other applications with the same keys.
func TestForeignTokensForOthers(t *testing.T) {
	iss, url := newIssuer(t)
	const other = `{"sub":"u","exp":4000000000,"aud":"shop"}`
	const ours = `{"sub":"u","exp":4000000000,"aud":["shop","cameras"],"watershed":{"role":"viewer"}}`
	verify := func(cfg VerifierConfig, payload string) error {
		cfg.JWKS, cfg.Secret = url, secret
		_, err := verifier(t, cfg).Verify(t.Context(), iss.es256(t, "ec-one", payload), time.Now())
		return err
	}
	require.ErrorContains(t, verify(VerifierConfig{}, other), "auth.claims")
	require.NoError(t, verify(VerifierConfig{}, ours))
	require.NoError(t, verify(VerifierConfig{Claims: Paths{"role": "=viewer"}}, other), "the configuration says that everybody there is one")
	require.ErrorContains(t, verify(VerifierConfig{Audience: "cameras", Claims: Paths{"role": "=viewer"}}, other), "another application")
	require.NoError(t, verify(VerifierConfig{Audience: "cameras"}, ours))
}

func TestIssuerThatIsAway(t *testing.T) {
	v := verifier(t, VerifierConfig{Secret: secret, JWKS: "http://127.0.0.1:1/keys"})
	_, err := v.Verify(t.Context(), sign(hsHeader, goodBody, signHS256(secret)), time.Now())
	require.NoError(t, err, "our own tokens are good meanwhile")
	_, err = NewVerifier(t.Context(), VerifierConfig{JWKS: "ftp://x"})
	require.Error(t, err)
}

func FuzzVerify(f *testing.F) {
	v := verifier(f, VerifierConfig{Secret: secret})
	good := sign(hsHeader, goodBody, signHS256(secret))
	f.Add(good)
	f.Add("..")
	f.Add(strings.ToUpper(good))
	now := time.Now()
	f.Fuzz(func(t *testing.T, raw string) {
		if c, err := v.Verify(t.Context(), raw, now); err == nil && raw != good {
			t.Fatalf("forged: %q says %v", raw, c)
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add(goodBody, "a.b.0")
	f.Add(`{"a":{"b":["viewer"]}}`, "/a/b~1")
	f.Add(`{"a":1}`, "=admin")
	f.Fuzz(func(t *testing.T, payload, path string) {
		var p map[string]any
		if json.Unmarshal([]byte(payload), &p) != nil {
			return
		}
		c, err := Paths{"role": path, "streams": path, "tenant": path, "sub": path}.read(p)
		if err != nil {
			return
		}
		require.NotEqual(t, Anonymous, c.Role)
		require.NotEmpty(t, c.Tenant)
		for _, s := range c.Streams {
			require.NoError(t, CheckPattern(s))
		}
	})
}
