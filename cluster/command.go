package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// An entry of either log: version, kind, time in ms since 1970 (8 bytes, big endian), body. The time has a fixed place so that the leader can stamp it.
const (
	commandVersion = 1
	commandHeader  = 1 + 1 + 8
)

// kind of a command. Numbers are for ever.
type kind byte

const (
	kindPut    kind = 1  // decisions: a record is written
	kindDelete kind = 2  // decisions: a record is removed
	kindFound  kind = 16 // messages: the history gets its epoch
	kindPosts  kind = 17 // messages: people said something
)

// command is a decoded entry.
type command struct {
	kind kind
	at   time.Time
	body []byte
}

// ErrNewer is why a node stops applying: the log was written by a newer version.
var ErrNewer = errors.New("the log holds an entry that this version does not know: upgrade this node")

func encodeCommand(k kind, body []byte) []byte {
	b := make([]byte, commandHeader, commandHeader+len(body))
	b[0], b[1] = commandVersion, byte(k)
	return append(b, body...)
}

// stamp writes the leader's time into a command.
func stamp(cmd []byte, now time.Time) {
	binary.BigEndian.PutUint64(cmd[2:], uint64(now.UnixMilli()))
}

func decodeCommand(b []byte) (command, error) {
	if len(b) < commandHeader {
		return command{}, fmt.Errorf("entry of %d bytes is cut short", len(b))
	}
	if b[0] != commandVersion {
		return command{}, fmt.Errorf("entry version %d: %w", b[0], ErrNewer)
	}
	return command{
		kind: kind(b[1]),
		at:   time.UnixMilli(int64(binary.BigEndian.Uint64(b[2:]))).UTC(),
		body: b[commandHeader:],
	}, nil
}
