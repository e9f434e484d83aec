package cluster

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// halt stops a state machine for good at the first entry that it cannot apply.
type halt struct {
	tell func(error) // called once

	mu  sync.Mutex // guards err
	err error
}

func (h *halt) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// guard applies unless something could not be applied before.
func (h *halt) guard(apply func() (any, error)) any {
	if err := h.reason(); err != nil {
		return err
	}
	answer, err := apply()
	if err == nil {
		return answer
	}
	h.mu.Lock()
	h.err = err
	h.mu.Unlock()
	h.tell(err)
	return err
}

// image is a snapshot that writes itself; it must not touch the living state.
type image func(io.Writer) error

// Persist is called by Raft while entries are applied.
func (i image) Persist(sink raft.SnapshotSink) error {
	if err := i(sink); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

// Release has nothing to free.
func (i image) Release() {}
