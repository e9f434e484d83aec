// Package id holds the names by which things are known: streams, and the tokens that tell sessions apart.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"regexp"
	"strings"
)

// DefaultTenant owns every stream whose name says no tenant.
const DefaultTenant = "default"

// Stream is the full name of a stream in its canonical form: `name` for the
// default tenant, `tenant~name` for another.
type Stream string

var part = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// ParseStream reads `name` or `tenant~name`; `default~name` becomes `name`.
// A room's ephemeral stream is `room+participant` in the place of the name.
func ParseStream(s string) (Stream, error) {
	tenant, name, found := strings.Cut(s, "~")
	if !found {
		tenant, name = DefaultTenant, s
	}
	if !part.MatchString(tenant) {
		return "", fmt.Errorf("stream name %q: the tenant must match [a-z0-9][a-z0-9._-]{0,62}", clip(s))
	}
	room, person, ephemeral := strings.Cut(name, "+")
	if !part.MatchString(room) || ephemeral && !part.MatchString(person) {
		return "", fmt.Errorf("stream name %q: use 1 to 63 of a-z 0-9 . _ - and start with a letter or digit", clip(s))
	}
	return MakeStream(tenant, name), nil
}

// MakeStream joins a tenant and a name that are known to be valid.
func MakeStream(tenant, name string) Stream {
	if tenant == DefaultTenant || tenant == "" {
		return Stream(name)
	}
	return Stream(tenant + "~" + name)
}

// Tenant that owns the stream.
func (s Stream) Tenant() string {
	if t, _, ok := strings.Cut(string(s), "~"); ok {
		return t
	}
	return DefaultTenant
}

// Name of the stream within its tenant.
func (s Stream) Name() string {
	if _, n, ok := strings.Cut(string(s), "~"); ok {
		return n
	}
	return string(s)
}

// Room and participant of an ephemeral stream `room+participant`; ok is false for a declared stream.
func (s Stream) Room() (room, participant string, ok bool) {
	return strings.Cut(s.Name(), "+")
}

// ValidTenant reports whether the string may name a tenant.
func ValidTenant(s string) bool { return part.MatchString(s) }

var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Random returns an unguessable lower-case word of n random bytes.
func Random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails since Go 1.24
	return alphabet.EncodeToString(b)
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
