package room

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cluster"
	"watershed/sfu"
	"watershed/sfu/id"
)

// outlet is a member's socket that fails when it is told to.
type outlet struct {
	broken chan struct{}
	failing
}

type failing interface{ fail() }

type never struct{}

func (never) fail() {}

type always struct{}

func (always) fail() { panic("an outlet failed") }

func (o *outlet) Send([]byte)            { o.fail() }
func (o *outlet) Left(*Member, *Refusal) {}
func (o *outlet) Broken()                { close(o.broken) }

func newHub(t *testing.T, log *slog.Logger) *Hub {
	t.Helper()
	n, err := cluster.Open(cluster.Config{Dir: t.TempDir(), Node: "n1", Version: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { n.Close() })
	ready, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, n.Ready(ready))
	return NewHub(Config{Decisions: n.Decisions, Messages: n.Messages, Streams: func(id.Stream) (*sfu.Stream, bool) { return nil, false }, Log: log})
}

func enter(t *testing.T, h *Hub, user string, f failing) (*Member, *outlet) {
	t.Helper()
	o := &outlet{make(chan struct{}), f}
	m := &Member{User: user, Name: user, Role: "moderator", Can: Can{Moderate: true}, Out: o}
	require.NoError(t, h.Join("kitchen", m, nil, func(Joined) {}))
	return m, o
}

// TestPanicEndsOneRoom: what fails in a room ends that room, once for each of its members; another room of the name has the history, and other
// rooms notice nothing.
func TestPanicEndsOneRoom(t *testing.T) {
	var mu sync.Mutex
	var log strings.Builder
	h := newHub(t, slog.New(slog.NewTextHandler(writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	}), nil)))
	ann, annOut := enter(t, h, "ann", never{})
	_, err := ann.Say(t.Context(), "1", "before")
	require.NoError(t, err)
	other := &Member{User: "eve", Out: &outlet{make(chan struct{}), never{}}}
	require.NoError(t, h.Join("garden", other, nil, func(Joined) {}))

	// The next frame to all fails at this one: the room tells of ben, who moderates.
	bomb := &outlet{make(chan struct{}), always{}}
	err = h.Join("kitchen", &Member{User: "ben", Can: Can{Moderate: true}, Out: bomb}, nil, func(Joined) {})
	require.Equal(t, "internal", refusal(err))
	<-annOut.broken
	<-bomb.broken
	mu.Lock()
	require.Equal(t, 1, strings.Count(log.String(), "panic in a room"), log.String())
	require.Contains(t, log.String(), "an outlet failed")
	require.Contains(t, log.String(), "room.(*Room).admit", "the stack")
	mu.Unlock()
	ann.Leave() // as its socket does when it ends
	claimed, err := ann.Claim("kitchen+ann", false, func(error) {}, func() {})
	require.Nil(t, claimed)
	require.Equal(t, "not-in-room", refusal(err))

	again := &Member{User: "ann", Out: &outlet{make(chan struct{}), never{}}}
	require.NoError(t, h.Join("kitchen", again, nil, func(j Joined) {
		require.Equal(t, 1, j.Count)
		require.Len(t, j.Messages, 1)
		require.Equal(t, "before", j.Messages[0].Text)
	}))
	n, ok := h.Count("garden")
	require.True(t, ok)
	require.Equal(t, 1, n)
	again.Leave()
	other.Leave()
	h.Wait()
	require.Empty(t, h.Names())
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// quiet is a voice that nobody hears.
type quiet struct{}

func (quiet) Level() int   { return 0 }
func (quiet) Silence(bool) {}

func TestFull(t *testing.T) {
	h := newHub(t, nil)
	claim := func(m *Member, source string) (*Publication, error) {
		p, err := m.Claim(id.Stream("kitchen+"+m.User+source), false, func(error) {}, func() {})
		if err == nil {
			p.Live("camera", true, true, quiet{})
		}
		return p, err
	}
	var members []*Member
	var last *Publication
	for i := range PublishersMax {
		m, _ := enter(t, h, "u"+string(rune('a'+i)), never{})
		members = append(members, m)
		var err error
		last, err = claim(m, "")
		require.NoError(t, err)
	}
	late, _ := enter(t, h, "late", never{})
	_, err := claim(late, "")
	require.Equal(t, "full", refusal(err))
	require.Contains(t, err.Error(), "25 people")
	_, err = claim(members[0], "-screen")
	require.NoError(t, err, "who has a place may show a second thing")
	last.Ended(func() {})
	_, err = claim(late, "")
	require.NoError(t, err, "a place is free again")
	_, err = claim(members[PublishersMax-1], "")
	require.Equal(t, "full", refusal(err))
	for _, m := range append(members, late) {
		m.Leave()
	}
	h.Wait()
}

// told is a voice that tells of its silence.
type told chan bool

func (told) Level() int        { return 0 }
func (t told) Silence(on bool) { t <- on }

// TestMuteSilences: who is muted is not heard, with what they publish now and later, until the mute ends by itself.
func TestMuteSilences(t *testing.T) {
	h := newHub(t, nil)
	m := &Member{User: "ann", Out: &outlet{make(chan struct{}), never{}}}
	require.NoError(t, h.Join("kitchen", m, nil, func(Joined) {}))
	publish := func(name id.Stream) (*Publication, told) {
		p, err := m.Claim(name, false, func(error) {}, func() {})
		require.NoError(t, err)
		v := make(told, 10)
		p.Live("camera", true, true, v)
		return p, v
	}
	camera, voice := publish("kitchen+ann")
	require.NoError(t, h.Mute(t.Context(), Moderation{Room: "kitchen", By: "mod", User: "ann", For: 3 * time.Second}))
	require.True(t, <-voice)
	_, second := publish("kitchen+ann-screen")
	require.True(t, <-second)
	camera.Mute(Muted{Video: true})
	require.True(t, <-voice, "not theirs to lift")
	require.False(t, <-voice, "the time is over")
	require.False(t, <-second)
	m.Leave()
	h.Wait()
}
