// Package sdpfrag reads and writes application/trickle-ice-sdpfrag (RFC 8840 section 9), the body of WHIP's and WHEP's PATCH.
package sdpfrag

import (
	"errors"
	"fmt"
	"strings"
)

// Type is the media type.
const Type = "application/trickle-ice-sdpfrag"

// Fragment is a set of ICE credentials and candidates. With a bundle one set serves all m-lines.
type Fragment struct {
	Ufrag, Password string
	Candidates      []string // values of a=candidate, without the "candidate:"
	End             bool     // end-of-candidates
}

// Errors of fragments that cannot be used.
var (
	ErrEmpty   = errors.New("the fragment has neither ICE credentials nor candidates")
	ErrHalf    = errors.New("ice-ufrag and ice-pwd go together")
	ErrTooMany = errors.New("the fragment has more than 64 candidates")
)

const maxCandidates = 64

// Parse reads a fragment. Lines that are not about ICE are skipped (RFC 8840 section 9.2).
func Parse(body string) (Fragment, error) {
	var f Fragment
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if len(line) < 2 || line[1] != '=' {
			return Fragment{}, fmt.Errorf("not an SDP line: %.40q", line)
		}
		if err := f.add(line); err != nil {
			return Fragment{}, err
		}
	}
	switch {
	case (f.Ufrag == "") != (f.Password == ""):
		return Fragment{}, ErrHalf
	case f.Ufrag == "" && len(f.Candidates) == 0 && !f.End:
		return Fragment{}, ErrEmpty
	}
	return f, nil
}

func (f *Fragment) add(line string) error {
	key, value, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
	switch key {
	case "ice-ufrag": // 4 to 256 characters of ice-char, RFC 8839 section 5.4
		if !iceChars(value, 4) {
			return errors.New("ice-ufrag: use 4 to 256 letters, digits, + and /")
		}
		f.Ufrag = value
	case "ice-pwd":
		if !iceChars(value, 22) {
			return errors.New("ice-pwd: use 22 to 256 letters, digits, + and /")
		}
		f.Password = value
	case "candidate":
		if len(f.Candidates) == maxCandidates {
			return ErrTooMany
		}
		f.Candidates = append(f.Candidates, value)
	case "end-of-candidates":
		f.End = true
	}
	return nil
}

func iceChars(s string, least int) bool {
	if len(s) < least || len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '+' && c != '/' {
			return false
		}
	}
	return true
}

// String is the fragment as it is sent.
func (f Fragment) String() string {
	var b strings.Builder
	line := func(s string) { b.WriteString(s + "\r\n") }
	if f.Ufrag != "" {
		line("a=ice-ufrag:" + f.Ufrag)
		line("a=ice-pwd:" + f.Password)
	}
	for _, c := range f.Candidates {
		line("a=candidate:" + c)
	}
	if f.End {
		line("a=end-of-candidates")
	}
	return b.String()
}
