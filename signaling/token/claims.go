package token

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"watershed/sfu/id"
)

// AllTenants is the tenant of those who run the installation: they may act in every tenant.
const AllTenants = "*"

// Claims are what a token says of its bearer. In a JWT they are
//
//	{"sub":…, "exp":…, "jti":…, "watershed":{"tenant":…, "role":…, "streams":[…], "rooms":[…], "name":…}}
//
// Without tenant it is default, without role viewer. Streams and rooms are patterns (Match). If only one of the two is given it counts for
// both, for a stream has the room of its name; if none is, the token is for the whole tenant; an empty list is nothing.
type Claims struct {
	Subject string    // who; made from the token itself if it does not say
	ID      string    // jti, by which it can be revoked; made from the token itself if it has none
	Expires time.Time // never zero
	Tenant  string
	Role    Role
	Name    string // for people
	Streams []string
	Rooms   []string
}

// Paths say where another issuer puts the claims: a claim's name to `a.b.0` (fields and list indices), to a JSON pointer `/a/b` (RFC 6901) where names
// have dots, or to `=value`, a value that all tokens get. A claim without a path is where Claims says. One with a path must be in the token:
// a missing list of streams or rooms is an empty one, a missing tenant, role or sub an error.
type Paths map[string]string

// claimNames are the claims that can be elsewhere. exp cannot: it is the same for every issuer (RFC 7519 section 4.1.4).
var claimNames = []string{"sub", "jti", "tenant", "role", "streams", "rooms", "name"}

// Check finds claims that are not known here, and empty paths.
func (p Paths) Check() error {
	for name, path := range p {
		known := false
		for _, c := range claimNames {
			known = known || c == name
		}
		if !known {
			return fmt.Errorf("claim %q: use %s", clip(name), strings.Join(claimNames, ", "))
		}
		if path == "" {
			return fmt.Errorf("claim %q: the path is empty", name)
		}
	}
	return nil
}

// grant reports whether the paths say where permission is.
func (p Paths) grant() bool {
	for _, claim := range []string{"role", "tenant", "streams", "rooms"} {
		if p[claim] != "" {
			return true
		}
	}
	return false
}

// lookup finds a claim in a token's payload.
func (p Paths) lookup(payload map[string]any, claim string) (value any, mapped bool) {
	path, mapped := p[claim]
	switch {
	case strings.HasPrefix(path, "="):
		return path[1:], true
	case strings.HasPrefix(path, "/"):
		return walk(payload, strings.Split(path[1:], "/"), strings.NewReplacer("~1", "/", "~0", "~").Replace), true
	case mapped:
		return walk(payload, strings.Split(path, "."), nil), true
	case claim == "sub" || claim == "jti":
		return payload[claim], false
	}
	own, _ := payload["watershed"].(map[string]any)
	return own[claim], false
}

func walk(v any, steps []string, unescape func(string) string) any {
	for _, s := range steps {
		if unescape != nil {
			s = unescape(s)
		}
		switch t := v.(type) {
		case map[string]any:
			v = t[s]
		case []any:
			i, err := strconv.Atoi(s)
			if err != nil || i < 0 || i >= len(t) {
				return nil
			}
			v = t[i]
		default:
			return nil
		}
	}
	return v
}

// ClaimError is a signed token that says something impossible.
type ClaimError struct{ Claim, Text string }

func (e *ClaimError) Error() string { return "the token's " + e.Claim + ": " + e.Text }

// read takes the claims out of a verified payload, all but Expires.
func (p Paths) read(payload map[string]any) (c Claims, err error) {
	if c.Subject, err = p.word(payload, "sub"); err != nil {
		return c, err
	}
	if c.ID, err = p.word(payload, "jti"); err != nil {
		return c, err
	}
	if c.Name, err = p.word(payload, "name"); err != nil {
		return c, err
	}
	if c.Tenant, err = p.tenant(payload); err != nil {
		return c, err
	}
	if c.Role, err = p.role(payload); err != nil {
		return c, err
	}
	streams, hasStreams, err := p.patterns(payload, "streams")
	if err != nil {
		return c, err
	}
	rooms, hasRooms, err := p.patterns(payload, "rooms")
	if err != nil {
		return c, err
	}
	c.Streams, c.Rooms = scope(streams, hasStreams, rooms, hasRooms)
	return c, nil
}

// Scope applies the rule for lists that are left out, which nil ones are.
func Scope(streams, rooms []string) (s, r []string) {
	return scope(streams, streams != nil, rooms, rooms != nil)
}

func scope(streams []string, hasStreams bool, rooms []string, hasRooms bool) (s, r []string) {
	switch {
	case hasStreams && hasRooms:
		return streams, rooms
	case hasStreams:
		return streams, streams
	case hasRooms:
		return rooms, rooms
	}
	return []string{Everything}, []string{Everything}
}

// maxWord bounds names that tokens bring: they are shown, logged and keyed by.
const maxWord = 128

func (p Paths) word(payload map[string]any, claim string) (string, error) {
	v, mapped := p.lookup(payload, claim)
	var s string
	switch t := v.(type) {
	case nil:
		if mapped && claim == "sub" {
			return "", &ClaimError{claim, "missing where auth.claims says it is"}
		}
		return "", nil
	case string:
		s = t
	case json.Number:
		s = t.String()
	default:
		return "", &ClaimError{claim, "not a string"}
	}
	if len(s) > maxWord || strings.ContainsFunc(s, unicode.IsControl) {
		return "", &ClaimError{claim, fmt.Sprintf("longer than %d bytes, or has control characters", maxWord)}
	}
	return s, nil
}

func (p Paths) tenant(payload map[string]any) (string, error) {
	v, mapped := p.lookup(payload, "tenant")
	s, ok := v.(string)
	switch {
	case v == nil && !mapped:
		return id.DefaultTenant, nil
	case !ok:
		return "", &ClaimError{"tenant", "missing, or not a string"}
	case s != AllTenants && !id.ValidTenant(s):
		return "", &ClaimError{"tenant", fmt.Sprintf("%q is not a tenant's name", clip(s))}
	}
	return s, nil
}

// role takes the highest of a list: identity providers give lists, with roles of other applications among them.
func (p Paths) role(payload map[string]any) (best Role, err error) {
	v, mapped := p.lookup(payload, "role")
	if v == nil && !mapped {
		return Viewer, nil
	}
	names, ok := words(v)
	if !ok {
		return 0, &ClaimError{"role", "missing, or not a string or a list of them"}
	}
	for _, n := range names {
		r, e := ParseRole(n)
		if e != nil {
			err = e
			continue
		}
		best = max(best, r)
	}
	if best == Anonymous {
		if err == nil {
			err = fmt.Errorf("empty")
		}
		return 0, &ClaimError{"role", err.Error()}
	}
	return best, nil
}

func (p Paths) patterns(payload map[string]any, claim string) (list []string, given bool, err error) {
	v, mapped := p.lookup(payload, claim)
	if v == nil {
		return nil, mapped, nil
	}
	list, ok := words(v)
	if !ok {
		return nil, false, &ClaimError{claim, "not a list of strings"}
	}
	for _, s := range list {
		if err := CheckPattern(s); err != nil {
			return nil, false, &ClaimError{claim, err.Error()}
		}
	}
	return list, true, nil
}

// words reads a list of strings, or one string of words separated by spaces or commas.
func words(v any) ([]string, bool) {
	switch t := v.(type) {
	case string:
		return strings.FieldsFunc(t, func(r rune) bool { return r == ' ' || r == ',' }), true
	case []any:
		list := make([]string, 0, len(t))
		for _, e := range t {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			list = append(list, s)
		}
		return list, true
	}
	return nil, false
}
