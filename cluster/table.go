package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Meta is what the log adds to a record.
type Meta struct {
	Index    uint64    `json:"index"` // of the entry that last wrote it: grows with each change, fit for an ETag
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`
}

func (m *Meta) meta() *Meta { return m }

// record is what a table holds.
type record[V any] interface {
	*V
	meta() *Meta
	key() string
	expires() time.Time // zero: stays until deleted
	clone() V           // shares nothing that can be changed
}

// Errors of conditional writes.
var (
	ErrNotFound = errors.New("there is no such record")
	ErrConflict = errors.New("somebody else changed it meanwhile: read it again")
)

// Table is one kind of decisions by key. Reading is local and gives copies; writing goes through the log and returns when this
// node has applied it.
type Table[V any, P record[V]] struct {
	name string
	d    *Decisions

	mu      sync.RWMutex // guards what follows; written by Raft's applying goroutine
	rows    map[string]P // rows are never changed, only replaced
	changed chan struct{}
}

func newTable[V any, P record[V]](d *Decisions, name string) *Table[V, P] {
	t := &Table[V, P]{name: name, d: d, rows: map[string]P{}, changed: make(chan struct{})}
	d.tables[name] = t
	return t
}

// Find reads one record; one that expired is not there.
func (t *Table[V, P]) Find(key string) (V, bool) {
	t.mu.RLock()
	row, ok := t.rows[key]
	t.mu.RUnlock()
	if !ok || expired(row.expires(), time.Now()) {
		var none V
		return none, false
	}
	return row.clone(), true
}

// All reads every record that has not expired, ordered by key.
func (t *Table[V, P]) All() []V { return t.Where(func(P) bool { return true }) }

// Where reads the records that the function accepts, ordered by key. The function must not keep or change what it sees.
func (t *Table[V, P]) Where(accept func(P) bool) []V {
	now := time.Now()
	var found []P
	t.mu.RLock()
	for _, row := range t.rows {
		if !expired(row.expires(), now) && accept(row) {
			found = append(found, row)
		}
	}
	t.mu.RUnlock()
	slices.SortFunc(found, func(a, b P) int { return strings.Compare(a.key(), b.key()) })
	all := make([]V, len(found))
	for i, row := range found {
		all[i] = row.clone()
	}
	return all
}

// Changed returns a channel that is closed at the table's next change.
func (t *Table[V, P]) Changed() <-chan struct{} {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.changed
}

func expired(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// write is the body of kindPut and kindDelete.
type write struct {
	Table string          `json:"table"`
	Key   string          `json:"key,omitempty"`   // of kindDelete
	Value json.RawMessage `json:"value,omitempty"` // of kindPut
	If    *uint64         `json:"if,omitempty"`    // Meta.Index that the record must have now; 0: must not be there
}

// Put writes a record whatever was there, and returns it as applied.
func (t *Table[V, P]) Put(ctx context.Context, v V) (V, error) { return t.put(ctx, v, nil) }

// PutIf writes a record if the present one has this Meta.Index, or with 0 if there is none; else ErrConflict.
func (t *Table[V, P]) PutIf(ctx context.Context, v V, index uint64) (V, error) {
	return t.put(ctx, v, &index)
}

func (t *Table[V, P]) put(ctx context.Context, v V, cond *uint64) (V, error) {
	*P(&v).meta() = Meta{}
	value, err := json.Marshal(v)
	if err != nil {
		return v, fmt.Errorf("encode %s record: %w", t.name, err)
	}
	done, err := t.d.propose(ctx, kindPut, write{Table: t.name, Value: value, If: cond})
	if err != nil {
		return v, fmt.Errorf("write %s %q: %w", t.name, P(&v).key(), err)
	}
	return done.(P).clone(), nil
}

// Update changes a record with a function that gets the present one (the zero value if there is none) and may be called again.
func (t *Table[V, P]) Update(ctx context.Context, key string, change func(P) error) (V, error) {
	for {
		v, _ := t.Find(key)
		index := P(&v).meta().Index
		if err := change(&v); err != nil {
			return v, err
		}
		done, err := t.PutIf(ctx, v, index)
		if !errors.Is(err, ErrConflict) {
			return done, err
		}
	}
}

// Delete removes a record, or fails with ErrNotFound.
func (t *Table[V, P]) Delete(ctx context.Context, key string) error { return t.delete(ctx, key, nil) }

// DeleteIf removes a record that still has this Meta.Index.
func (t *Table[V, P]) DeleteIf(ctx context.Context, key string, index uint64) error {
	return t.delete(ctx, key, &index)
}

func (t *Table[V, P]) delete(ctx context.Context, key string, cond *uint64) error {
	if _, err := t.d.propose(ctx, kindDelete, write{Table: t.name, Key: key, If: cond}); err != nil {
		return fmt.Errorf("delete %s %q: %w", t.name, key, err)
	}
	return nil
}

// strict decodes JSON that this version knows completely.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w (%v)", ErrNewer, err)
	}
	return nil
}

// What follows is called by Raft's applying goroutine.

func (t *Table[V, P]) applyPut(w write, index uint64, now time.Time) (any, error) {
	row := P(new(V))
	if err := strict(w.Value, row); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, ok := t.rows[row.key()]
	if ok && expired(old.expires(), now) {
		ok = false
	}
	created := now
	present := uint64(0)
	if ok {
		created, present = old.meta().Created, old.meta().Index
	}
	if w.If != nil && *w.If != present {
		return ErrConflict, nil
	}
	*row.meta() = Meta{Index: index, Created: created, Modified: now}
	t.rows[row.key()] = row
	t.notifyLocked()
	return row, nil
}

func (t *Table[V, P]) applyDelete(w write, now time.Time) any {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, ok := t.rows[w.Key]
	switch {
	case !ok || expired(old.expires(), now):
		return ErrNotFound
	case w.If != nil && *w.If != old.meta().Index:
		return ErrConflict
	}
	delete(t.rows, w.Key)
	t.notifyLocked()
	return nil
}

func (t *Table[V, P]) purge(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.rows, func(_ string, row P) bool { return expired(row.expires(), now) })
}

func (t *Table[V, P]) notifyLocked() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// snapshot returns what encodes the table as it is now.
func (t *Table[V, P]) snapshot() func() (json.RawMessage, error) {
	t.mu.RLock()
	rows := slices.Collect(maps.Values(t.rows))
	t.mu.RUnlock()
	return func() (json.RawMessage, error) {
		slices.SortFunc(rows, func(a, b P) int { return strings.Compare(a.key(), b.key()) })
		return json.Marshal(rows)
	}
}

func (t *Table[V, P]) restore(text json.RawMessage) error {
	var rows []P
	if len(text) > 0 {
		if err := strict(text, &rows); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = make(map[string]P, len(rows))
	for _, row := range rows {
		t.rows[row.key()] = row
	}
	t.notifyLocked()
	return nil
}
