package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"watershed/sfu/id"
)

// Path is a path token: the permission to read some streams by HTTP until some moment, as part of a URL, so that players need no header
// and every cache can strip it. Its written form is
//
//	v1.kid.exp.scope.mac
//
//	v1     the version of this form
//	kid    id of the key, 1 to 16 of a-z 0-9
//	exp    Unix seconds in decimal, 1 to 11 digits without a leading zero; the token is valid before that second begins
//	scope  base64url (RFC 4648 section 5) without padding, unused bits zero, of: patterns joined by commas, then if there is one `#` and the id of
//	       the token that this one was made from
//	mac    the same encoding of HMAC-SHA-256(key, "v1.kid.exp.scope"): 43 characters
//
// A pattern is matched (Match) against the canonical name of the stream, which is `name` in the tenant default and `tenant~name` in others. Nothing but a-z 0-9 . _ - ~ + *
// is in a pattern. The whole token has at most 1024 characters. testdata/path.json has vectors for other implementations.
type Path struct {
	KeyID   string
	Expires time.Time
	Streams []string // patterns
	ID      string   // of the token that this one was made from: dies with it at the origin. A cache need not know it
}

const maxPath = 1024

// Why a path token is refused.
var (
	ErrForm    = errors.New("this is not a path token of the form v1.kid.exp.scope.mac")
	ErrKey     = errors.New("the token's key is not known, or was withdrawn")
	ErrForged  = errors.New("the token's signature is wrong")
	ErrExpired = errors.New("the token has expired; get a new one")
)

var raw64 = base64.RawURLEncoding.Strict()

// PathKey derives the key of an id from the installation's secret: HMAC-SHA-256(secret, "watershed path key " + kid). An edge server is given this
// key, so it can check path tokens and nothing else.
func PathKey(secret []byte, kid string) []byte { return sum(secret, "watershed path key "+kid) }

// Mint writes the token.
func (p *Path) Mint(key []byte) (string, error) {
	if !validKeyID(p.KeyID) {
		return "", fmt.Errorf("key id %q: use 1 to 16 of a-z 0-9", clip(p.KeyID))
	}
	if len(p.Streams) == 0 {
		return "", errors.New("a path token needs a stream")
	}
	for _, s := range p.Streams {
		if err := CheckPattern(s); err != nil {
			return "", err
		}
	}
	scope := strings.Join(p.Streams, ",")
	if p.ID != "" {
		scope += "#" + p.ID
	}
	body := "v1." + p.KeyID + "." + strconv.FormatInt(p.Expires.Unix(), 10) + "." + raw64.EncodeToString([]byte(scope))
	t := body + "." + raw64.EncodeToString(sum(key, body))
	if len(t) > maxPath {
		return "", errors.New("too many streams for one path token")
	}
	return t, nil
}

// ParsePath checks a token's form, signature and time. The key of an id is nil if there is none.
func ParsePath(t string, now time.Time, key func(kid string) []byte) (*Path, error) {
	parts := strings.Split(t, ".")
	if len(t) > maxPath || hasLineBreak(t) || len(parts) != 5 || parts[0] != "v1" || !validKeyID(parts[1]) || !validTime(parts[2]) {
		return nil, ErrForm
	}
	mac, err := raw64.DecodeString(parts[4])
	if err != nil || len(mac) != sha256.Size {
		return nil, ErrForm
	}
	k := key(parts[1])
	if k == nil {
		return nil, ErrKey
	}
	if !hmac.Equal(mac, sum(k, t[:strings.LastIndexByte(t, '.')])) {
		return nil, ErrForged
	}
	scope, err := raw64.DecodeString(parts[3])
	if err != nil {
		return nil, ErrForm
	}
	exp, _ := strconv.ParseInt(parts[2], 10, 64)
	if now.Unix() >= exp {
		return nil, ErrExpired
	}
	streams, from, _ := strings.Cut(string(scope), "#")
	return &Path{KeyID: parts[1], Expires: time.Unix(exp, 0), Streams: strings.Split(streams, ","), ID: from}, nil
}

// Allows reports whether the token is for the stream.
func (p *Path) Allows(s id.Stream) bool { return MatchAny(p.Streams, string(s)) }

func sum(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// hasLineBreak: encoding/base64 skips them, so there would be many texts of one token.
func hasLineBreak(t string) bool { return strings.ContainsAny(t, "\r\n") }

func validKeyID(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 16
}

func validTime(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 11 && s[0] != '0'
}
