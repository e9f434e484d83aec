package access

import (
	"context"
	"slices"
	"sync"
	"time"

	"watershed/sfu/id"
)

// Memory keeps records as long as the process lives: for tests.
type Memory struct {
	mu      sync.Mutex // guards what follows
	revoked map[string]time.Time
	keys    map[string]Key
	path    []PathKey
	changed chan struct{}
}

// NewMemory returns empty records.
func NewMemory() *Memory {
	return &Memory{revoked: map[string]time.Time{}, keys: map[string]Key{}, changed: make(chan struct{})}
}

var _ Records = (*Memory)(nil)

func (m *Memory) change(do func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

// Revoked of Records.
func (m *Memory) Revoked(handle string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.revoked[handle]
	return ok
}

// Revoke of Records.
func (m *Memory) Revoke(_ context.Context, r Revocation) error {
	return m.change(func() { m.revoked[r.Handle] = r.Until })
}

// Key of Records.
func (m *Memory) Key(id string) (Key, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[id]
	return k, ok
}

// Keys of Records.
func (m *Memory) Keys(stream id.Stream) (list []Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.keys {
		if k.Stream == stream {
			list = append(list, k)
		}
	}
	return list
}

// PutKey of Records.
func (m *Memory) PutKey(_ context.Context, k Key) error {
	return m.change(func() { m.keys[k.ID] = k })
}

// DeleteKey of Records.
func (m *Memory) DeleteKey(_ context.Context, id string) error {
	return m.change(func() { delete(m.keys, id) })
}

// PathKeys of Records.
func (m *Memory) PathKeys() []PathKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.path)
}

// PutPathKey of Records.
func (m *Memory) PutPathKey(_ context.Context, k PathKey) error {
	return m.change(func() { m.path = append([]PathKey{k}, m.path...) })
}

// DeletePathKey of Records.
func (m *Memory) DeletePathKey(_ context.Context, id string) error {
	return m.change(func() { m.path = slices.DeleteFunc(m.path, func(k PathKey) bool { return k.ID == id }) })
}

// Watch of Records.
func (m *Memory) Watch(ctx context.Context, changed func()) {
	for {
		m.mu.Lock()
		next := m.changed
		m.mu.Unlock()
		changed()
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}
