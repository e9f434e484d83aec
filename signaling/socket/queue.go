package socket

import "sync"

// Bounds of what waits for a client to read. A room sends at most ten frames a second, so this is nearly a minute of silence.
const (
	maxQueued     = 512
	maxQueuedSize = 2 << 20
)

// queue is what a socket has yet to write. Putting never waits.
type queue struct {
	ready chan struct{} // one slot: look again

	mu     sync.Mutex // guards what follows
	frames [][]byte
	size   int
	held   bool // frames wait for the one that release brings
	closed bool
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// put adds a frame; false if there are too many. After close it does nothing.
func (q *queue) put(frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	if n := len(q.frames); n > 0 && (n >= maxQueued || q.size+len(frame) > maxQueuedSize) {
		return false
	}
	q.frames = append(q.frames, frame)
	q.size += len(frame)
	if !q.held {
		q.poke()
	}
	return true
}

func (q *queue) poke() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// hold keeps frames back until release.
func (q *queue) hold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = true
}

// release puts a frame before those that were held back.
func (q *queue) release(first []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = false
	q.frames = append([][]byte{first}, q.frames...)
	q.size += len(first)
	q.poke()
}

// take everything; done when nothing will come any more.
func (q *queue) take() (frames [][]byte, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held && !q.closed {
		return nil, false
	}
	frames, q.frames, q.size = q.frames, nil, 0
	return frames, q.closed
}

// close lets what is there be written, or with drop nothing more.
func (q *queue) close(drop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if drop {
		q.frames, q.size = nil, 0
	}
	q.poke()
}
