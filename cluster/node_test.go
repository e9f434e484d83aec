package cluster

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
)

func openTest(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Open(Config{Dir: dir, Node: "n1", Version: "test"})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, n.Ready(ctx))
	return n
}

func say(t *testing.T, n *Node, room id.Stream, user, cid, text string) Posted {
	t.Helper()
	p, err := n.Messages.Say(t.Context(), Post{Room: room, User: user, CID: cid, Text: text})
	require.NoError(t, err)
	return p
}

func TestRestartKeepsEverything(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%v", snapshot), func(t *testing.T) {
			dir := t.TempDir()
			n := openTest(t, dir)
			ctx := t.Context()
			spec := sfu.Spec{Public: true, Inputs: []sfu.Input{{High: "rtsp://10.0.0.5/1"}}, Idle: time.Minute}
			put, err := n.Decisions.Streams.Put(ctx, Stream{Name: "river-1", Origin: "api", Spec: spec})
			require.NoError(t, err)
			_, err = n.Decisions.Sanctions.Put(ctx, Sanction{Room: "river-1", User: "u", Do: Mute, By: "mod"})
			require.NoError(t, err)
			first := say(t, n, "river-1", "u", "c1", "one")
			second := say(t, n, "river-1", "u", "c2", "two")
			_, err = n.Messages.Say(ctx, Post{Room: "river-1", Kind: KindDelete, User: "mod", Target: first.MID})
			require.NoError(t, err)
			epoch := n.Messages.Epoch()
			require.NotEmpty(t, epoch)
			if snapshot {
				require.NoError(t, n.decisions.raft.Snapshot().Error())
				require.NoError(t, n.messages.raft.Snapshot().Error())
				say(t, n, "river-1", "u", "c3", "three")
			}
			before := n.Messages.Last("river-1", 50)
			require.NoError(t, n.Close())

			began := time.Now()
			n = openTest(t, dir)
			defer n.Close()
			t.Logf("ready after %v", time.Since(began))
			got, ok := n.Decisions.Streams.Find("river-1")
			require.True(t, ok)
			require.Equal(t, put, got)
			_, ok = n.Decisions.Sanctions.Find(SanctionKey("river-1", "u", Mute))
			require.True(t, ok)
			require.Equal(t, before, n.Messages.Last("river-1", 50))
			require.Equal(t, epoch, n.Messages.Epoch())
			again := say(t, n, "river-1", "u", "c2", "two")
			require.True(t, again.Repeated)
			require.Equal(t, second.Offset, again.Offset)
			next := say(t, n, "river-1", "u", "c9", "nine")
			require.Equal(t, before.Offset+1, next.Offset)
		})
	}
}

func TestNodeKeepsItsName(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, openTest(t, dir).Close())
	_, err := Open(Config{Dir: dir, Node: "n2"})
	require.ErrorContains(t, err, `belongs to node "n1"`)
	n, err := Open(Config{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, "n1", n.ID)
	require.NoError(t, n.Close())
	_, err = Open(Config{Dir: t.TempDir(), Node: "a.b"})
	require.ErrorContains(t, err, "cluster.node")
}

func TestOneProcessAFolder(t *testing.T) {
	dir := t.TempDir()
	n := openTest(t, dir)
	defer n.Close()
	_, err := Open(Config{Dir: dir})
	require.ErrorContains(t, err, "is another node running on this folder?")
}

func TestConditionalWrites(t *testing.T) {
	n := openTest(t, t.TempDir())
	defer n.Close()
	ctx, rules := t.Context(), n.Decisions.Rules
	changed := rules.Changed()
	v, err := rules.PutIf(ctx, DefaultRules("r"), 0)
	require.NoError(t, err)
	<-changed
	_, err = rules.PutIf(ctx, DefaultRules("r"), 0)
	require.ErrorIs(t, err, ErrConflict)
	w, err := rules.PutIf(ctx, Rules{Room: "r", Slow: 5}, v.Index)
	require.NoError(t, err)
	require.Greater(t, w.Index, v.Index)
	require.Equal(t, v.Created, w.Created)
	require.ErrorIs(t, rules.DeleteIf(ctx, "r", v.Index), ErrConflict)
	require.NoError(t, rules.DeleteIf(ctx, "r", w.Index))
	require.ErrorIs(t, rules.Delete(ctx, "r"), ErrNotFound)

	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			_, err := rules.Update(ctx, "count", func(r *Rules) error { r.Room = "count"; r.Slow++; return nil })
			require.NoError(t, err)
		})
	}
	all.Wait()
	r, _ := rules.Find("count")
	require.Equal(t, 10, r.Slow)
}

func TestExpiredRecordsAreNotThere(t *testing.T) {
	n := openTest(t, t.TempDir())
	defer n.Close()
	revs := n.Decisions.Revocations
	_, err := revs.Put(t.Context(), Revocation{ID: "old", Until: time.Now().Add(-time.Second)})
	require.NoError(t, err)
	_, err = revs.Put(t.Context(), Revocation{ID: "new", Until: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	_, ok := revs.Find("old")
	require.False(t, ok)
	require.Len(t, revs.All(), 1)
	require.ErrorIs(t, revs.Delete(t.Context(), "old"), ErrNotFound)
}

func TestReadersGetCopies(t *testing.T) {
	n := openTest(t, t.TempDir())
	defer n.Close()
	_, err := n.Decisions.Streams.Put(t.Context(), Stream{Name: "a", Spec: sfu.Spec{Inputs: []sfu.Input{{High: "rtsp://a/1"}}, Ladder: []string{"720p"}}})
	require.NoError(t, err)
	s, _ := n.Decisions.Streams.Find("a")
	s.Spec.Inputs[0].High, s.Spec.Ladder[0] = "changed", "changed"
	s, _ = n.Decisions.Streams.Find("a")
	require.Equal(t, "rtsp://a/1", s.Spec.Inputs[0].High)
	require.Equal(t, "720p", s.Spec.Ladder[0])
}

func TestOrderUnderConcurrentSenders(t *testing.T) {
	n := openTest(t, t.TempDir())
	defer n.Close()
	poke, stop := n.Messages.Watch("r")
	defer stop()
	const senders, each = 50, 20
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			last := uint64(0)
			for i := range each {
				p, err := n.Messages.Say(t.Context(), Post{Room: "r", User: fmt.Sprint(s), CID: fmt.Sprint(i), Text: fmt.Sprint(i)})
				require.NoError(t, err)
				require.Greater(t, p.Offset, last, "one sender's messages stay in order")
				last = p.Offset
				if i%5 == 0 {
					again, err := n.Messages.Say(t.Context(), Post{Room: "r", User: fmt.Sprint(s), CID: fmt.Sprint(i), Text: "again"})
					require.NoError(t, err)
					require.Equal(t, p.Offset, again.Offset)
				}
			}
		})
	}
	var got []*Message
	after := uint64(0)
	for len(got) < senders*each {
		<-poke
		p, ok := n.Messages.Since("r", after, KeepMessages)
		require.True(t, ok)
		got = append(got, p.Messages...)
		after = p.Offset
	}
	all.Wait()
	for i, m := range got {
		require.Equal(t, uint64(i+1), m.Offset, "no gap, nothing twice")
	}
	require.Less(t, n.messages.raft.LastIndex(), uint64(senders*each), "messages were gathered into entries")
}

func TestSayAfterClose(t *testing.T) {
	n := openTest(t, t.TempDir())
	require.NoError(t, n.Close())
	_, err := n.Messages.Say(t.Context(), Post{Room: "r", Text: "x"})
	require.ErrorIs(t, err, ErrClosed)
	_, err = n.Decisions.Rules.Put(t.Context(), DefaultRules("r"))
	require.ErrorIs(t, err, ErrClosed)
}

// TestCloseLeavesNothing: what is on its way into the log when the node closes is answered, and no goroutine waits for an answer that never comes.
func TestCloseLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for range 4 {
		n := openTest(t, dir)
		var all sync.WaitGroup
		some := make(chan struct{}, 200)
		for i := range 200 {
			all.Go(func() { n.Messages.Say(context.Background(), Post{Room: "r", User: fmt.Sprint(i), Text: "x"}) })
			all.Go(func() {
				n.Decisions.Rules.Put(context.Background(), Rules{Room: id.Stream(fmt.Sprint("r", i))})
				some <- struct{}{}
			})
		}
		<-some // others are on their way
		require.NoError(t, n.Close())
		all.Wait()
		buf := make([]byte, 4<<20)
		require.NotContains(t, string(buf[:runtime.Stack(buf, true)]), "cluster.(*group).propose")
	}
}
