package socket

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"watershed/cluster"
	"watershed/sfu"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/whip"
	"watershed/signaling/problem"
	"watershed/signaling/room"
)

// Limits of what clients send.
const (
	maxFrame = 64 << 10
	maxOffer = 256 << 10 // a frame with an offer: a wall of 64 tiles with sound has 200 kB
	maxDrain = 4 << 20   // a larger frame than the limits is read to its end and refused; one larger than this ends the socket
	maxID    = 64
)

// Close codes of the protocol.
const (
	closeNoHello      = 4400
	closeUnauthorized = 4401
	closeSlow         = 4408
	closeFlood        = 4429
)

// request is a client's frame.
type request struct {
	T  string          `json:"t"`
	ID json.RawMessage `json:"id"`

	raw []byte
}

// fault is an error frame.
type fault struct {
	Code  string `json:"code"`
	Text  string `json:"text"`
	Field string `json:"field,omitempty"`
	Retry int64  `json:"retry,omitempty"` // ms
	Until int64  `json:"until,omitempty"` // ms since 1970
}

func (f *fault) Error() string { return f.Code + ": " + f.Text }

func faultf(code, format string, args ...any) *fault {
	return &fault{Code: code, Text: fmt.Sprintf(format, args...)}
}

// bad is a request with a field that cannot be.
func bad(field, format string, args ...any) *fault {
	f := faultf("bad-request", format, args...)
	f.Field = field
	return f
}

// errNotJSON ends the socket: who sends this does not speak the protocol.
var errNotJSON = errors.New("a frame is one JSON object")

// parse reads what all frames have. With a *fault the request has what of it could be read.
func parse(raw []byte) (request, error) {
	r := request{raw: raw}
	if !utf8.Valid(raw) || !json.Valid(raw) || len(bytes.TrimSpace(raw)) == 0 || bytes.TrimSpace(raw)[0] != '{' {
		return r, errNotJSON
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		r.ID = nil
		return r, bad("t", "t is the frame's type, a string")
	}
	if id := r.ID; len(id) > 0 {
		if kind := id[0]; len(id) > maxID+2 || kind != '"' && kind != '-' && (kind < '0' || kind > '9') && string(id) != "null" {
			r.ID = nil
			return r, bad("id", "id is a string or a number of at most %d bytes", maxID)
		}
	}
	if r.T == "" {
		return r, bad("t", "t, the frame's type, is missing")
	}
	return r, nil
}

// into decodes the fields of one type.
func (r *request) into(v any) error {
	err := json.Unmarshal(r.raw, v)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return bad(wrong.Field, "%s cannot be a %s", wrong.Field, wrong.Value)
	}
	if err != nil {
		return bad("", "%v", err)
	}
	return nil
}

// explain turns whatever a handler failed with into an error frame; false if it is our own fault, which the log should have.
func explain(err error) (f *fault, known bool) {
	var p *problem.Problem
	var r *room.Refusal
	var offer *whip.OfferError
	switch {
	case errors.As(err, &f):
		c := *f
		return &c, true
	case errors.As(err, &r):
		return &fault{Code: r.Code, Text: r.Text, Retry: wait(r.Retry), Until: room.Millis(r.Until)}, true
	case errors.As(err, &p):
		return &fault{Code: codeOf(p.Status), Text: p.Detail, Field: p.Field, Retry: wait(p.RetryAfter)}, true
	case errors.As(err, &offer):
		return faultf("bad-sdp", "%v", err), true
	case errors.Is(err, sfu.ErrNotSupported):
		return faultf("codec", "%v", err), true
	case errors.Is(err, sfu.ErrBusy):
		return faultf("busy", "somebody publishes this stream already; send \"takeover\":true to replace them if you may"), true
	case errors.Is(err, sfu.ErrPulled), errors.Is(err, sfu.ErrStreamGone):
		return faultf("forbidden", "%v", err), true
	case errors.Is(err, cluster.ErrNoLeader), errors.Is(err, cluster.ErrBusy), errors.Is(err, cluster.ErrClosed):
		return &fault{Code: "busy", Text: err.Error(), Retry: 1000}, true
	}
	if status := ingest.Status(err); status != http.StatusInternalServerError {
		return faultf(codeOf(status), "%v", err), true
	}
	return faultf("internal", "something went wrong here; the log has it"), false
}

// wait in whole ms, at least one.
func wait(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return max(1, d.Milliseconds())
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthorized"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "not-found"
	case http.StatusConflict:
		return "busy"
	case http.StatusUnsupportedMediaType:
		return "codec"
	case http.StatusTooManyRequests:
		return "rate"
	}
	return "bad-request"
}
