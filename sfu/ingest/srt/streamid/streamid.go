// Package streamid reads what an SRT caller says that it wants.
//
// Two forms are taken: `publish:{stream}:KEY`, short enough to type, and the one that SRT's access-control guidelines propose,
// `#!::m=publish,r={stream},s=KEY`.
package streamid

import (
	"errors"
	"strings"
)

// ID is a stream id that was understood.
type ID struct {
	Mode     string // publish or request
	Stream   string // as sent: not yet checked
	Key      string
	User     string
	Takeover bool
}

// maxLength is SRT's own limit.
const maxLength = 512

// Errors of stream ids.
var (
	ErrForm    = errors.New("the streamid must be publish:{stream}:KEY or #!::m=publish,r={stream},s=KEY")
	ErrTooLong = errors.New("the streamid is longer than 512 bytes")
)

// Parse reads a stream id.
func Parse(s string) (ID, error) {
	if len(s) > maxLength {
		return ID{}, ErrTooLong
	}
	if list, ok := strings.CutPrefix(s, "#!::"); ok {
		return parseList(list)
	}
	parts := strings.SplitN(s, ":", 4)
	if len(parts) < 2 || parts[1] == "" {
		return ID{}, ErrForm
	}
	id := ID{Mode: parts[0], Stream: parts[1]}
	if len(parts) > 2 {
		id.Key = parts[2]
	}
	if len(parts) > 3 {
		id.Takeover = parts[3] == "takeover=1"
	}
	if id.Mode == "read" || id.Mode == "play" {
		id.Mode = "request"
	}
	return id.check()
}

func parseList(list string) (ID, error) {
	id := ID{Mode: "request"}
	for pair := range strings.SplitSeq(list, ",") {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "m":
			id.Mode = value
		case "r":
			id.Stream = value
		case "s":
			id.Key = value
		case "u":
			id.User = value
		case "takeover":
			id.Takeover = value == "1"
		}
	}
	return id.check()
}

func (id ID) check() (ID, error) {
	if id.Stream == "" || id.Mode != "publish" && id.Mode != "request" {
		return ID{}, ErrForm
	}
	return id, nil
}
