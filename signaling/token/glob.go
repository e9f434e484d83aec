package token

import (
	"fmt"
	"strings"
)

// Everything is the pattern that every name of a tenant matches.
const Everything = "*"

// maxPattern bounds what one match can cost: two name parts and their separators.
const maxPattern = 2*63 + 8

// Match reports whether a name matches a pattern in which `*` stands for any run of characters, also none, without `~` and `/`. There are no
// other wildcards.
func Match(pattern, name string) bool {
	p, n := 0, 0
	star, mark := -1, 0 // where to go on when the rest does not match: one more character for the last star
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0 && name[mark] != '~' && name[mark] != '/':
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// MatchAny reports whether one of the patterns matches.
func MatchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if Match(p, name) {
			return true
		}
	}
	return false
}

// Covers reports whether every name that one of the narrow patterns matches is surely matched by one of the wide ones. It may
// say no where a closer look would say yes.
func Covers(wide, narrow []string) bool {
	for _, n := range narrow {
		if !MatchAny(wide, n) { // a `*` in n is a character that only a `*` matches
			return false
		}
	}
	return true
}

// CheckPattern finds patterns that no name can match.
func CheckPattern(p string) error {
	if p == "" || len(p) > maxPattern {
		return fmt.Errorf("pattern %q: use 1 to %d characters", clip(p), maxPattern)
	}
	for _, c := range p {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-~+*", c) {
			return fmt.Errorf("pattern %q: only a-z 0-9 . _ - ~ + and * can be in a name", clip(p))
		}
	}
	return nil
}
