package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// start is now because readers leave out what is too old by their own clock.
var start = time.Now().UTC().Truncate(time.Millisecond)

// machine applies entries without a log.
type machine struct {
	fsm   raft.FSM
	index uint64
	now   time.Time
}

func (m *machine) apply(k kind, body []byte) any {
	m.index++
	cmd := encodeCommand(k, body)
	stamp(cmd, m.now)
	return m.fsm.Apply(&raft.Log{Index: m.index, Data: cmd})
}

func (m *machine) post(p ...*Post) []outcome { return m.apply(kindPosts, encodePosts(p)).([]outcome) }

func newMachine(t *testing.T) (*machine, *Messages) {
	msgs := newMessages(&halt{tell: func(err error) { t.Error(err) }})
	return &machine{fsm: msgs, now: start}, msgs
}

func TestHistoryIsBoundedByNumber(t *testing.T) {
	m, msgs := newMachine(t)
	for i := range KeepMessages + 10 {
		m.post(&Post{Room: "r", mid: fmt.Sprint(i)})
	}
	msgs.mu.RLock()
	require.Len(t, msgs.rooms["r"].log, KeepMessages)
	msgs.mu.RUnlock()
	_, ok := msgs.Since("r", 9, KeepMessages)
	require.False(t, ok, "offset 10 is gone")
	_, ok = msgs.Since("r", 10, KeepMessages)
	require.True(t, ok)
	_, ok = msgs.Since("r", KeepMessages+11, KeepMessages)
	require.False(t, ok, "an offset of the future is of another history")
}

func TestHistoryIsBoundedByAge(t *testing.T) {
	m, msgs := newMachine(t)
	m.post(&Post{Room: "r", mid: "a"})
	m.now = m.now.Add(KeepFor + time.Second)
	m.post(&Post{Room: "r", mid: "b"})
	_, ok := msgs.Since("r", 0, 10)
	require.False(t, ok)
	require.Equal(t, uint64(2), msgs.Last("r", 10).Offset)
}

func TestDedupeEnds(t *testing.T) {
	m, _ := newMachine(t)
	p := func(mid string) *Post { return &Post{Room: "r", User: "u", CID: "c", mid: mid} }
	first := m.post(p("1"), p("2"))
	require.False(t, first[0].Repeated)
	require.True(t, first[1].Repeated, "also within one entry")
	require.Equal(t, "1", first[1].MID)
	require.False(t, m.post(&Post{Room: "r", User: "v", CID: "c", mid: "3"})[0].Repeated, "another user's id is another")
	require.False(t, m.post(&Post{Room: "s", User: "u", CID: "c", mid: "4"})[0].Repeated, "another room's too")
	m.now = m.now.Add(DedupeFor)
	require.True(t, m.post(p("5"))[0].Repeated)
	m.now = m.now.Add(time.Second)
	require.False(t, m.post(p("6"))[0].Repeated)
}

func TestTombstones(t *testing.T) {
	m, msgs := newMachine(t)
	m.post(&Post{Room: "r", mid: "a", Text: "rude"}, &Post{Room: "r", mid: "b", Text: "kind"})
	gone := m.post(&Post{Room: "r", Kind: KindDelete, Target: "a", User: "mod", mid: "t"})
	require.NoError(t, gone[0].err)
	require.ErrorIs(t, m.post(&Post{Room: "r", Kind: KindDelete, Target: "a", mid: "t2"})[0].err, ErrNoMessage)
	require.ErrorIs(t, m.post(&Post{Room: "q", Kind: KindDelete, Target: "b", mid: "t3"})[0].err, ErrNoMessage, "another room's message")
	page := msgs.Last("r", 10)
	require.Len(t, page.Messages, 2)
	require.Equal(t, "kind", page.Messages[0].Text)
	require.Equal(t, Message{Offset: 3, MID: "t", At: start.UnixMilli(), Kind: KindDelete, Target: "a", By: "mod"}, *page.Messages[1])
}

func TestTimeNeverGoesBack(t *testing.T) {
	m, msgs := newMachine(t)
	m.post(&Post{Room: "r", mid: "a"})
	m.now = m.now.Add(-time.Hour) // another leader's clock
	m.post(&Post{Room: "r", mid: "b"})
	page := msgs.Last("r", 2)
	require.Equal(t, page.Messages[0].At, page.Messages[1].At)
}

// sink takes a snapshot.
type sink struct{ bytes.Buffer }

func (*sink) ID() string    { return "" }
func (*sink) Cancel() error { return nil }
func (*sink) Close() error  { return nil }

func TestSnapshotIsTheState(t *testing.T) {
	m, msgs := newMachine(t)
	m.apply(kindFound, []byte("e1"))
	for i := range 40 {
		m.post(&Post{Room: "r", User: "u", CID: fmt.Sprint(i), Text: "你好", mid: fmt.Sprint(i)}, &Post{Room: "s", mid: fmt.Sprint("s", i)})
	}
	snap, err := msgs.Snapshot()
	require.NoError(t, err)
	want := msgs.Last("r", 100)
	m.post(&Post{Room: "r", Kind: KindDelete, Target: "3", mid: "later"}) // the snapshot must not see it
	var s sink
	require.NoError(t, snap.Persist(&s))
	_, back := newMachine(t)
	require.NoError(t, back.Restore(io.NopCloser(&s)))
	require.Equal(t, want, back.Last("r", 100))
	require.Equal(t, "e1", back.Epoch())
	require.Len(t, back.seen, 80)
}

func TestUnknownEntriesStopTheNode(t *testing.T) {
	value := func(w write) []byte { b, _ := json.Marshal(w); return b }
	known := encodeCommand(kindPut, value(write{Table: "rules", Value: json.RawMessage(`{"room":"r"}`)}))
	for name, data := range map[string][]byte{
		"short":         {1, 1},
		"version":       append([]byte{2}, known[1:]...),
		"kind":          encodeCommand(99, nil),
		"table":         encodeCommand(kindPut, value(write{Table: "drones"})),
		"field":         encodeCommand(kindPut, value(write{Table: "rules", Value: json.RawMessage(`{"room":"r","mood":1}`)})),
		"command field": encodeCommand(kindDelete, []byte(`{"table":"rules","key":"r","soft":true}`)),
	} {
		t.Run(name, func(t *testing.T) {
			var told []error
			d := newDecisions(&halt{tell: func(err error) { told = append(told, err) }})
			require.Error(t, d.Apply(&raft.Log{Index: 1, Data: data}).(error))
			require.Len(t, told, 1)
			require.Equal(t, told[0], d.Apply(&raft.Log{Index: 2, Data: known}), "nothing is applied after it")
			require.Len(t, told, 1)
			require.Empty(t, d.Rules.All())
			_, err := d.Snapshot()
			require.Error(t, err, "a state that is behind its index is not kept")
		})
	}
}

func FuzzCommand(f *testing.F) {
	f.Add(encodeCommand(kindPosts, encodePosts([]*Post{{Room: "r", Text: "t", mid: "m"}})))
	f.Add(encodeCommand(kindFound, []byte("e")))
	f.Add(encodeCommand(kindPut, []byte(`{"table":"rules","value":{"room":"r"},"if":3}`)))
	f.Add(encodeCommand(kindDelete, []byte(`{"table":"sanctions","key":"r"}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		quiet := &halt{tell: func(error) {}}
		msgs := newMessages(quiet)
		msgs.Apply(&raft.Log{Index: purgeEvery, Data: data})
		newDecisions(&halt{tell: func(error) {}}).Apply(&raft.Log{Index: purgeEvery, Data: data})
		posts, err := decodePosts(data)
		if err != nil {
			return
		}
		again := make([]*Post, len(posts))
		for i := range posts {
			again[i] = &posts[i]
		}
		back, err := decodePosts(encodePosts(again))
		require.NoError(t, err)
		require.Equal(t, posts, back)
	})
}

func FuzzSnapshot(f *testing.F) {
	m := &machine{fsm: newMessages(&halt{tell: func(error) {}}), now: start}
	m.post(&Post{Room: "r", User: "u", CID: "c", Text: "t", mid: "m"})
	f.Add(m.fsm.(*Messages).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		newMessages(&halt{}).Restore(io.NopCloser(bytes.NewReader(data)))
		newDecisions(&halt{}).Restore(io.NopCloser(bytes.NewReader(data)))
	})
}
