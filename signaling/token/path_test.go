package token

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu/id"
)

var update = flag.Bool("update", false, "write testdata/path.json again")

// vectors are shared with implementations in other languages.
type vectors struct {
	About  string            `json:"about"`
	Secret string            `json:"secret"` // of the installation, as text
	Keys   map[string]string `json:"keys"`   // key id to key, base64url
	Tokens []vector          `json:"tokens"`
	Match  []match           `json:"match"`
}

type vector struct {
	Name    string `json:"name"`
	Token   string `json:"token"`
	Now     int64  `json:"now"` // Unix seconds
	Stream  string `json:"stream"`
	Verdict string `json:"verdict"` // ok, form, key, forged, expired or stream
}

type match struct {
	Pattern string `json:"pattern"`
	Name    string `json:"name"`
	Match   bool   `json:"match"`
}

const vectorSecret = "a secret of the test vectors, nothing else"

func judge(v vector, key func(string) []byte) string {
	p, err := ParsePath(v.Token, time.Unix(v.Now, 0), key)
	switch {
	case err == ErrForm:
		return "form"
	case err == ErrKey:
		return "key"
	case err == ErrForged:
		return "forged"
	case err == ErrExpired:
		return "expired"
	case err != nil:
		return err.Error()
	case !p.Allows(id.Stream(v.Stream)):
		return "stream"
	}
	return "ok"
}

func vectorKey(kid string) []byte {
	if kid == "k1" || kid == "k2" {
		return PathKey([]byte(vectorSecret), kid)
	}
	return nil
}

func makeVectors(t *testing.T) vectors {
	mint := func(kid, streams, from string) string {
		p := Path{KeyID: kid, Expires: time.Unix(1800000000, 0), Streams: strings.Split(streams, ","), ID: from}
		s, err := p.Mint(PathKey([]byte(vectorSecret), kid))
		require.NoError(t, err)
		return s
	}
	one := mint("k1", "river-1", "")
	from := mint("k1", "river-1", "default/7fq3")
	glob := mint("k2", "cam*,acme~gate-*", "")
	withdrawn := mint("k3", "river-1", "")
	part := strings.Split(one, ".")
	with := func(i int, s string) string {
		p := append([]string{}, part...)
		p[i] = s
		return strings.Join(p, ".")
	}
	resign := func(i int, s string) string { // a good signature over a bad form
		body := with(i, s)
		body = body[:strings.LastIndexByte(body, '.')]
		return body + "." + raw64.EncodeToString(sum(PathKey([]byte(vectorSecret), part[1]), body))
	}
	v := vectors{
		About:  "Path tokens of Watershed; signaling/token/path.go says the form. A key is HMAC-SHA-256(secret, \"watershed path key \" + kid).",
		Secret: vectorSecret,
		Keys:   map[string]string{"k1": raw64.EncodeToString(vectorKey("k1")), "k2": raw64.EncodeToString(vectorKey("k2"))},
		Tokens: []vector{
			{Name: "one stream", Token: one, Now: 1799999999, Stream: "river-1"},
			{Name: "made from another token", Token: from, Now: 1799999999, Stream: "river-1"},
			{Name: "patterns", Token: glob, Now: 1, Stream: "cam17"},
			{Name: "patterns, other tenant", Token: glob, Now: 1, Stream: "acme~gate-2"},
			{Name: "a star does not reach into a tenant", Token: glob, Now: 1, Stream: "cam~x"},
			{Name: "another stream", Token: one, Now: 1, Stream: "river-2"},
			{Name: "the same name of another tenant", Token: one, Now: 1, Stream: "acme~river-1"},
			{Name: "in its last second", Token: one, Now: 1799999999, Stream: "river-1"},
			{Name: "at its end", Token: one, Now: 1800000000, Stream: "river-1"},
			{Name: "key withdrawn", Token: withdrawn, Now: 1, Stream: "river-1"},
			{Name: "other key's id", Token: with(1, "k2"), Now: 1, Stream: "river-1"},
			{Name: "longer life", Token: with(2, "1900000000"), Now: 1, Stream: "river-1"},
			{Name: "other scope", Token: with(3, strings.Split(glob, ".")[3]), Now: 1, Stream: "river-1"},
			{Name: "signature of another", Token: with(4, strings.Split(glob, ".")[4]), Now: 1, Stream: "river-1"},
			{Name: "signature cut short", Token: one[:len(one)-1], Now: 1, Stream: "river-1"},
			{Name: "no signature", Token: with(4, ""), Now: 1, Stream: "river-1"},
			{Name: "signature with unused bits set", Token: one[:len(one)-1] + string(one[len(one)-1]+1), Now: 1, Stream: "river-1"},
			{Name: "line break in the signature", Token: one[:len(one)-5] + "\n" + one[len(one)-5:], Now: 1, Stream: "river-1"},
			{Name: "padding", Token: one + "=", Now: 1, Stream: "river-1"},
			{Name: "version 2", Token: with(0, "v2"), Now: 1, Stream: "river-1"},
			{Name: "time with a leading zero", Token: resign(2, "01800000000"), Now: 1, Stream: "river-1"},
			{Name: "negative time", Token: resign(2, "-1"), Now: 1, Stream: "river-1"},
			{Name: "time of 12 digits", Token: resign(2, "999999999999"), Now: 1, Stream: "river-1"},
			{Name: "scope with unused bits set", Token: resign(3, "YR"), Now: 1, Stream: "a"},
			{Name: "capital in the key id", Token: resign(1, "K1"), Now: 1, Stream: "river-1"},
			{Name: "six parts", Token: one + ".x", Now: 1, Stream: "river-1"},
			{Name: "nothing", Token: "", Now: 1, Stream: "river-1"},
		},
	}
	for i := range v.Tokens {
		v.Tokens[i].Verdict = judge(v.Tokens[i], vectorKey)
	}
	for _, m := range []match{
		{Pattern: "*", Name: "river-1"},
		{Pattern: "*", Name: ""},
		{Pattern: "*", Name: "acme~river-1"},
		{Pattern: "acme~*", Name: "acme~river-1"},
		{Pattern: "cam*", Name: "cam"},
		{Pattern: "cam*", Name: "camera-7"},
		{Pattern: "cam*", Name: "xcam"},
		{Pattern: "*-low", Name: "a-low-low"},
		{Pattern: "a*b*c", Name: "abbbc"},
		{Pattern: "a*b*c", Name: "acb"},
		{Pattern: "a**", Name: "a"},
		{Pattern: "river-1", Name: "river-10"},
		{Pattern: "", Name: ""},
		{Pattern: "", Name: "a"},
		{Pattern: "*~*", Name: "acme~x"},
		{Pattern: "room*", Name: "room+u-1"},
		{Pattern: "*", Name: "a/b"},
	} {
		m.Match = Match(m.Pattern, m.Name)
		v.Match = append(v.Match, m)
	}
	return v
}

// TestVectors holds this implementation to the committed file, which others are held to as well.
func TestVectors(t *testing.T) {
	made := makeVectors(t)
	if *update {
		text, err := json.MarshalIndent(made, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("testdata/path.json", append(text, '\n'), 0o644))
	}
	text, err := os.ReadFile("testdata/path.json")
	require.NoError(t, err)
	var v vectors
	require.NoError(t, json.Unmarshal(text, &v))
	require.Equal(t, made.Keys, v.Keys)
	for _, c := range v.Tokens {
		require.Equal(t, c.Verdict, judge(c, vectorKey), c.Name)
	}
	for _, m := range v.Match {
		require.Equal(t, m.Match, Match(m.Pattern, m.Name), "%q on %q", m.Pattern, m.Name)
	}
	for i := range made.Tokens { // minting has one canonical result
		require.Equal(t, v.Tokens[i], made.Tokens[i])
	}
}

func TestEveryByteOfAPathTokenCounts(t *testing.T) {
	p := Path{KeyID: "k1", Expires: time.Unix(1800000000, 0), Streams: []string{"river-1"}, ID: "x/y"}
	good, err := p.Mint(vectorKey("k1"))
	require.NoError(t, err)
	for i := range good {
		for _, c := range "0aZ_.~" {
			bad := good[:i] + string(c) + good[i+1:]
			if bad == good {
				continue
			}
			_, err := ParsePath(bad, time.Unix(1, 0), vectorKey)
			require.Error(t, err, bad)
		}
	}
	back, err := ParsePath(good, time.Unix(1, 0), vectorKey)
	require.NoError(t, err)
	require.Equal(t, &p, back)
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		wide, narrow []string
		want         bool
	}{
		{[]string{"*"}, []string{"cam*", "x"}, true},
		{[]string{"cam*"}, []string{"cam1*"}, true},
		{[]string{"cam*"}, []string{"*"}, false},
		{[]string{"cam1"}, []string{"cam*"}, false},
		{[]string{"cam*"}, []string{"cam1", "lobby"}, false},
		{nil, []string{"a"}, false},
		{nil, nil, true},
		{[]string{"*"}, []string{"acme~x"}, false},
	} {
		require.Equal(t, c.want, Covers(c.wide, c.narrow), "%v %v", c.wide, c.narrow)
	}
}

func FuzzParsePath(f *testing.F) {
	text, err := os.ReadFile("testdata/path.json")
	require.NoError(f, err)
	var v vectors
	require.NoError(f, json.Unmarshal(text, &v))
	for _, c := range v.Tokens {
		f.Add(c.Token)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s, time.Unix(1, 0), vectorKey)
		if err != nil {
			return
		}
		again, err := p.Mint(vectorKey(p.KeyID)) // whatever is accepted is what Mint writes, if Mint writes it
		if err == nil {
			require.Equal(t, again, s)
		}
	})
}
