package ingest

import (
	"sync"

	"watershed/sfu"
)

// Permit is leave to publish one stream once.
type Permit struct {
	Stream   *sfu.Stream
	Takeover bool // replace another publisher

	// Hold is told how to end what was begun, which it does when the permit is withdrawn: the token expired or was revoked. The function that it
	// returns is called when the session ended by itself. Nil: nothing withdraws it.
	Hold func(end func(reason error)) (release func())
}

// Begin opens the session of the publisher: sfu.Stream.Begin as the permit says. When it is withdrawn the session's Kicked is called.
func (p *Permit) Begin(o sfu.SessionOptions) (*sfu.Session, []*sfu.Writer, error) {
	o.Pushed, o.Takeover = true, p.Takeover
	if p.Hold == nil {
		return p.Stream.Begin(o)
	}
	var h hold
	closed := o.Closed
	o.Closed = func(reason error) {
		h.end()
		if closed != nil {
			closed(reason)
		}
	}
	s, writers, err := p.Stream.Begin(o)
	if err == nil {
		h.begin(p.Hold(s.Kick))
	}
	return s, writers, err
}

// hold is released once, also when the session ended before it was held.
type hold struct {
	mu      sync.Mutex // guards both
	release func()
	ended   bool
}

func (h *hold) begin(release func()) {
	h.mu.Lock()
	ended := h.ended
	h.release = release
	h.mu.Unlock()
	if ended {
		release()
	}
}

func (h *hold) end() {
	h.mu.Lock()
	release := h.release
	h.ended = true
	h.mu.Unlock()
	if release != nil {
		release()
	}
}
