package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"
)

// Decisions is the state of the group of that name: what would harm if two nodes disagreed on it for a second.
type Decisions struct {
	Streams     *Table[Stream, *Stream]
	Rules       *Table[Rules, *Rules]
	Sanctions   *Table[Sanction, *Sanction]
	Revocations *Table[Revocation, *Revocation]
	Keys        *Table[Key, *Key]
	SigningKeys *Table[SigningKey, *SigningKey]
	Members     *Table[Member, *Member]

	tables map[string]table
	group  *group
	halt   *halt
	clock  time.Time // of the last entry; only the applying goroutine uses it
}

// table is a Table of any records, as entries and snapshots see it. An error from applyPut stops the node; what the proposer did wrong is the
// answer instead.
type table interface {
	applyPut(w write, index uint64, now time.Time) (any, error)
	applyDelete(w write, now time.Time) any
	purge(now time.Time)
	snapshot() func() (json.RawMessage, error)
	restore(json.RawMessage) error
}

func newDecisions(h *halt) *Decisions {
	d := &Decisions{tables: map[string]table{}, halt: h}
	d.Streams = newTable[Stream](d, "streams")
	d.Rules = newTable[Rules](d, "rules")
	d.Sanctions = newTable[Sanction](d, "sanctions")
	d.Revocations = newTable[Revocation](d, "revocations")
	d.Keys = newTable[Key](d, "keys")
	d.SigningKeys = newTable[SigningKey](d, "signing-keys")
	d.Members = newTable[Member](d, "members")
	return d
}

// propose writes one entry and waits until this node has applied it.
func (d *Decisions) propose(ctx context.Context, k kind, w write) (any, error) {
	body, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	return d.group.propose(ctx, encodeCommand(k, body))
}

// purgeEvery so many entries the expired records go; counted by index, so that every node does it at the same entry.
const purgeEvery = 256

// Apply is called by Raft, for one committed entry at a time.
func (d *Decisions) Apply(l *raft.Log) any {
	return d.halt.guard(func() (any, error) { return d.apply(l) })
}

func (d *Decisions) apply(l *raft.Log) (any, error) {
	cmd, err := decodeCommand(l.Data)
	if err != nil {
		return nil, err
	}
	if cmd.kind != kindPut && cmd.kind != kindDelete {
		return nil, fmt.Errorf("kind %d: %w", cmd.kind, ErrNewer)
	}
	var w write
	if err := strict(cmd.body, &w); err != nil {
		return nil, err
	}
	t, ok := d.tables[w.Table]
	if !ok {
		return nil, fmt.Errorf("table %q: %w", w.Table, ErrNewer)
	}
	d.clock = later(d.clock, cmd.at)
	if l.Index%purgeEvery == 0 {
		for _, t := range d.tables {
			t.purge(d.clock)
		}
	}
	if cmd.kind == kindDelete {
		return t.applyDelete(w, d.clock), nil
	}
	return t.applyPut(w, l.Index, d.clock)
}

// later keeps the log's time from going back when a leader's clock did.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// decisionsImage is a snapshot's text.
type decisionsImage struct {
	Version int                        `json:"version"`
	Clock   time.Time                  `json:"clock"`
	Tables  map[string]json.RawMessage `json:"tables"`
}

// Snapshot is called by Raft between entries.
func (d *Decisions) Snapshot() (raft.FSMSnapshot, error) {
	if err := d.halt.reason(); err != nil {
		return nil, err
	}
	clock := d.clock
	tables := make(map[string]func() (json.RawMessage, error), len(d.tables))
	for name, t := range d.tables {
		tables[name] = t.snapshot()
	}
	return image(func(w io.Writer) error {
		img := decisionsImage{Version: commandVersion, Clock: clock, Tables: map[string]json.RawMessage{}}
		for name, encode := range tables {
			text, err := encode()
			if err != nil {
				return err
			}
			img.Tables[name] = text
		}
		return json.NewEncoder(w).Encode(img)
	}), nil
}

// Restore is called by Raft instead of the entries that the snapshot stands for.
func (d *Decisions) Restore(r io.ReadCloser) error {
	defer r.Close()
	var img decisionsImage
	if err := json.NewDecoder(r).Decode(&img); err != nil {
		return fmt.Errorf("read snapshot of decisions: %w", err)
	}
	if img.Version != commandVersion {
		return fmt.Errorf("snapshot version %d: %w", img.Version, ErrNewer)
	}
	for name := range img.Tables {
		if _, ok := d.tables[name]; !ok {
			return fmt.Errorf("table %q: %w", name, ErrNewer)
		}
	}
	for name, t := range d.tables {
		if err := t.restore(img.Tables[name]); err != nil {
			return err
		}
	}
	d.clock = img.Clock
	return nil
}

var _ raft.FSM = (*Decisions)(nil)
