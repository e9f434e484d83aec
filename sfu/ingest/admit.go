package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"watershed/sfu"
	"watershed/sfu/id"
)

// Publish is somebody's wish to publish a stream, with what they brought to prove that they may.
type Publish struct {
	Stream   id.Stream
	Protocol string // whip, rtsp, rtmp or srt
	Key      string // a stream key, or a token: protocols with one field for a secret cannot tell
	User     string // of RTSP; most encoders insist on one
	Token    string // a bearer token
	Addr     string // of the peer, with its port
	Takeover bool   // replace another publisher
}

// Admit decides on a wish to publish and finds the stream, or creates it if the publisher may. Its errors reach the publisher, so they
// say why and what to do; a Refusal says with which status. Adapters call it before they read any media.
type Admit func(ctx context.Context, p Publish) (*Permit, error)

// Refusal is the error of a publisher who is turned away. Status is HTTP's, which the other protocols translate.
type Refusal struct {
	Status int
	Err    error
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// Refuse makes a Refusal.
func Refuse(status int, format string, args ...any) error {
	return &Refusal{Status: status, Err: fmt.Errorf(format, args...)}
}

// Status is the HTTP status of any error on the way to a session: of a Refusal its own, else by what sfu.Stream.Begin says.
func Status(err error) int {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		return r.Status
	case errors.Is(err, sfu.ErrBusy), errors.Is(err, sfu.ErrPulled):
		return http.StatusConflict
	case errors.Is(err, sfu.ErrStreamGone):
		return http.StatusNotFound
	case errors.Is(err, sfu.ErrNotSupported):
		return http.StatusUnsupportedMediaType
	}
	return http.StatusInternalServerError
}

// Open admits everybody and creates what is not there: for `auth.mode: open`, on loopback.
func Open(s *sfu.SFU) Admit {
	return func(_ context.Context, p Publish) (*Permit, error) {
		return &Permit{Stream: s.Ensure(p.Stream, sfu.Spec{Public: true, Ephemeral: true}), Takeover: p.Takeover}, nil
	}
}
