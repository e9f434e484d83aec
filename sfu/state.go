package sfu

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// State of a stream.
type State string

// The states of a stream, as the API and the pages show them.
const (
	Idle     State = "idle"     // on demand, and nobody watches
	Starting State = "starting" // a source is being reached, or has not shown a keyframe yet
	Live     State = "live"
	Degraded State = "degraded" // live, but something that was asked for is missing: see the reason
	Stalled  State = "stalled"  // connected, but no pictures come
	Offline  State = "offline"  // no source can be reached; it is tried again
)

// Reason says why a stream is not simply live, as a code a person can act on.
type Reason string

// The reason codes.
const (
	NoReason       Reason = ""
	ReasonAuth     Reason = "auth"         // the source refuses the credentials
	ReasonDNS      Reason = "dns"          // the source's host name does not resolve
	ReasonRefused  Reason = "refused"      // the host is there, nobody listens
	ReasonTimeout  Reason = "timeout"      // no answer
	ReasonTLS      Reason = "tls"          // the secure connection failed
	ReasonNoRTP    Reason = "no-rtp"       // connected, but no media arrives
	ReasonNoKey    Reason = "no-keyframe"  // media arrives, but decoding can start nowhere
	ReasonCodec    Reason = "codec"        // the source has no codec that is known here
	ReasonBFrames  Reason = "b-frames"     // pictures out of order: browsers get it converted, or not at all
	ReasonNotFound Reason = "not-found"    // the source says that it has no such stream
	ReasonBusy     Reason = "busy"         // the source refuses a further session
	ReasonSource   Reason = "source"       // the source ended the session or broke the protocol: see the message
	ReasonWaiting  Reason = "no-publisher" // nobody publishes into this stream now
	ReasonQuota    Reason = "quota"
	ReasonConvert  Reason = "converter" // a conversion that a viewer needs fails or is not possible here
)

// SourceError is an adapter's failure with its reason.
type SourceError struct {
	Reason Reason
	Err    error
}

func (e *SourceError) Error() string { return e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// Classify finds the reason of an adapter's failure.
func Classify(err error) Reason {
	var source *SourceError
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case err == nil:
		return NoReason
	case errors.As(err, &source):
		return source.Reason
	case errors.As(err, &dns):
		return ReasonDNS
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return ReasonRefused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.As(err, &netErr) && netErr.Timeout():
		return ReasonTimeout
	}
	return ReasonSource
}

// hostAnswers reports whether a failure came from a host that is there: then it is worth trying again soon.
func hostAnswers(r Reason) bool { return r != ReasonDNS && r != ReasonTimeout }
