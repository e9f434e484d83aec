package sfu

import "sync"

// mailbox takes tasks from anywhere without blocking and gives them to one goroutine in order.
type mailbox struct {
	mu    sync.Mutex // guards queue
	queue []task
	wake  chan struct{} // one slot: something is in the queue
}

// task is a layer with new frames, or anything else to do on the shard's goroutine.
type task struct {
	tap *tap
	do  func()
}

func newMailbox() mailbox { return mailbox{wake: make(chan struct{}, 1)} }

func (m *mailbox) put(t task) {
	m.mu.Lock()
	m.queue = append(m.queue, t)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox into the given slice, which is the mailbox's next one: no allocation when both have grown.
func (m *mailbox) take(spare []task) []task {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue
	m.queue = spare[:0]
	return q
}
