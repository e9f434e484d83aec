// Package chat makes what people type fit to be shown to others, and keeps them from saying too much at once.
package chat

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Lengths in characters (code points).
const (
	MaxText = 500
	MaxName = 40
)

// Errors of texts.
var (
	ErrEmpty   = errors.New("there is nothing to say in this text")
	ErrTooLong = errors.New("the text is too long: at most 500 characters")
)

// maxMarks is how many combining marks one letter may carry; living scripts need up to five, towers of them cover what others wrote.
const maxMarks = 6

// Text in NFC on one line, without control characters and without what reverses or hides the text around it.
func Text(s string) (string, error) {
	if len(s) > 8*MaxText { // do not normalise what cannot pass
		return "", ErrTooLong
	}
	s = clean(s)
	switch {
	case !visible(s):
		return "", ErrEmpty
	case utf8.RuneCountInString(s) > MaxText:
		return "", ErrTooLong
	}
	return s, nil
}

// Name cleans the name of a person; "" if nothing of it can be seen. Longer names are cut.
func Name(s string) string {
	s = clean(s[:min(len(s), 8*MaxName)])
	if !visible(s) {
		return ""
	}
	if r := []rune(s); len(r) > MaxName {
		s = strings.TrimSpace(string(r[:MaxName]))
	}
	return s
}

func clean(s string) string {
	var b strings.Builder
	marks, space := 0, false
	for _, r := range norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD")) {
		if unicode.IsSpace(r) { // also tabs, line breaks, U+0085
			space = true
			continue
		}
		if hidden(r) {
			continue
		}
		if unicode.In(r, unicode.Mn, unicode.Me) {
			if marks++; marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return norm.NFC.String(b.String())
}

// hidden are characters that nobody sees but that change what is seen: controls, overrides and isolates of the writing direction, invisible
// operators, tags, private use. The joiners stay: emoji and several scripts are written with them.
func hidden(r rune) bool {
	switch {
	case r == '\u200c', r == '\u200d':
		return false
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs):
		return true
	}
	return r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0' // Hangul fillers: letters without a shape
}

// visible reports whether anything can be seen.
func visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.In(r, unicode.Mn, unicode.Me) && r != '\u200c' && r != '\u200d'
	})
}
