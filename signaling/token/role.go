// Package token is the written form of permission: JWTs and their claims, path tokens, patterns of names. It keeps no state and opens no
// connection but the one that fetches another issuer's keys. What a role may do is said in package access.
package token

import (
	"fmt"
	"strings"
)

// Role of a person or program. Each may do what those before it may.
type Role uint8

// The roles, least first.
const (
	Anonymous Role = iota // no token
	Viewer
	Publisher
	Moderator
	Operator
	Admin
)

var roleNames = [...]string{"anonymous", "viewer", "publisher", "moderator", "operator", "admin"}

func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// ParseRole reads a role that a token can have; anonymous is none.
func ParseRole(s string) (Role, error) {
	for r := Viewer; r <= Admin; r++ {
		if s == roleNames[r] {
			return r, nil
		}
	}
	return 0, fmt.Errorf("role %q: use %s", clip(s), strings.Join(roleNames[Viewer:], ", "))
}

// MarshalText writes the role's name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a role's name.
func (r *Role) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRole(string(b))
	return err
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
