package access

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/sfu/media"
	"watershed/signaling/token"
)

// ended returns what to give to Hold, and the channel of what it is called with.
func ended() (func(error), chan error) {
	c := make(chan error, 2)
	return func(err error) { c <- err }, c
}

func TestSessionsEndWithTheirToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{Records: NewMemory(), Streams: func(id.Stream) (*sfu.Stream, bool) { return nil, false }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		p := &Principal{Subject: "u", Tenant: "default", Role: token.Viewer, ID: "j", Streams: []string{"*"}, Expires: time.Now().Add(time.Hour)}
		end, ends := ended()
		other, others := ended()
		a.Hold(p, Watch, "x", end)
		released := a.Hold(p, Watch, "x", other)
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		require.Empty(t, ends)
		released.Release()
		released.Release()
		time.Sleep(time.Second)
		synctest.Wait()
		require.ErrorIs(t, <-ends, errEnded)
		require.Empty(t, others, "a session that was over already is left alone")
		require.Empty(t, a.held)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestSessionsEndWhenRevoked(t *testing.T) {
	w := newWorld(t, nil)
	admin := w.principal(t, "default", token.Admin)
	one, two := w.principal(t, "default", token.Viewer), w.principal(t, "default", token.Viewer)
	foreign := w.principal(t, "acme", token.Viewer)
	end1, ends1 := ended()
	end2, ends2 := ended()
	end3, ends3 := ended()
	w.Hold(one, Watch, "priv", end1)
	w.Hold(two, "", "", end2)
	w.Hold(foreign, "", "", end3)
	require.NoError(t, w.Revoke(t.Context(), admin, one.ID))
	require.ErrorIs(t, <-ends1, errRevoked)
	require.NoError(t, w.Revoke(t.Context(), admin, foreign.ID)) // of another tenant: nothing happens
	require.NoError(t, w.Revoke(t.Context(), admin, two.ID))
	require.ErrorIs(t, <-ends2, errRevoked)
	require.Empty(t, ends3)
	require.NoError(t, w.Revoke(t.Context(), w.principal(t, token.AllTenants, token.Admin), foreign.ID))
	require.ErrorIs(t, <-ends3, errRevoked)

	end4, ends4 := ended()
	w.Hold(one, "", "", end4) // revoked between being asked and held
	require.ErrorIs(t, <-ends4, errRevoked)
}

func TestAnonymousViewersEndWhenTheStreamIsNoLongerPublic(t *testing.T) {
	w := newWorld(t, nil)
	end, ends := ended()
	w.Hold(anonymous, Watch, "pub", end)
	staff, staffEnds := ended()
	held := w.Hold(w.principal(t, "default", token.Viewer), Watch, "pub", staff)
	w.plane.Declare("pub", sfu.Spec{})
	w.Recheck()
	require.Equal(t, 401, status(t, <-ends))
	require.Empty(t, staffEnds)
	held.Release()
}

// publisher begins to publish with a credential, as an adapter does.
func (w *world) publisher(t *testing.T, p ingest.Publish) (*sfu.Session, chan error, error) {
	t.Helper()
	permit, err := w.Admit(w.plane.Ensure)(t.Context(), p)
	if err != nil {
		return nil, nil, err
	}
	kicked := make(chan error, 1)
	s, _, err := permit.Begin(sfu.SessionOptions{
		Tracks: []sfu.TrackSpec{{Config: media.Config{Codec: media.H264, ClockRate: 90000}}},
		Kicked: func(reason error) { kicked <- reason },
	})
	return s, kicked, err
}

func TestAdmit(t *testing.T) {
	w := newWorld(t, nil)
	key, k, err := w.MakeKey(t.Context(), "priv", "", "", 0)
	require.NoError(t, err)
	jwt, c := w.mint(t, "default", token.Publisher, "new*", "priv")
	refused := func(p ingest.Publish) int {
		p.Addr = "192.0.2.1:1"
		_, _, err := w.publisher(t, p)
		return ingest.Status(err)
	}
	require.Equal(t, 401, refused(ingest.Publish{Stream: "priv"}))
	require.Equal(t, 401, refused(ingest.Publish{Stream: "pub"}), "public is for watching")
	require.Equal(t, 401, refused(ingest.Publish{Stream: "priv", Key: "wrong"}))
	require.Equal(t, 403, refused(ingest.Publish{Stream: "pub", Key: key}))
	require.Equal(t, 404, refused(ingest.Publish{Stream: "acme~priv", Key: key}))
	require.Equal(t, 403, refused(ingest.Publish{Stream: "other", Key: jwt}))
	require.Equal(t, 403, refused(ingest.Publish{Stream: "new+me", Key: jwt}))
	_, made := w.plane.Stream("other")
	require.False(t, made, "a refused publisher leaves nothing behind")

	s, kicked, err := w.publisher(t, ingest.Publish{Stream: "priv", Key: key})
	require.NoError(t, err)
	require.Equal(t, http.StatusConflict, refused(ingest.Publish{Stream: "priv", Token: jwt}))
	require.Equal(t, http.StatusConflict, refused(ingest.Publish{Stream: "priv", Token: jwt, Takeover: true}), "a publisher may not take over")
	_, again, err := w.publisher(t, ingest.Publish{Stream: "priv", Key: key, Takeover: true})
	require.NoError(t, err, "the encoder that holds the stream's key may")
	require.ErrorIs(t, <-kicked, sfu.ErrTakenOver)
	s.Close(nil)
	require.NoError(t, w.DeleteKey(t.Context(), k.ID))
	require.ErrorIs(t, <-again, errRevoked)

	s, kicked, err = w.publisher(t, ingest.Publish{Stream: "new1", Key: jwt})
	require.NoError(t, err, "a token is a key too, and makes streams")
	st, _ := w.plane.Stream("new1")
	require.False(t, st.Spec().Public)
	require.NoError(t, w.records.Revoke(t.Context(), Revocation{Handle: "default/" + c.ID}))
	require.ErrorIs(t, <-kicked, errRevoked)
	s.Close(errors.New("again"))
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Empty(t, w.held)
}

func TestOpenModeAdmitsFromLoopbackOnly(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Open = true })
	_, _, err := w.publisher(t, ingest.Publish{Stream: "a", Addr: "127.0.0.1:5"})
	require.NoError(t, err)
	_, _, err = w.publisher(t, ingest.Publish{Stream: "b", Addr: "192.0.2.1:5"})
	require.Equal(t, 401, ingest.Status(err))
}

func TestTicketIsGoodOnce(t *testing.T) {
	w := newWorld(t, nil)
	claims := token.Claims{Tenant: token.AllTenants, Role: token.Admin, Streams: []string{"*"}, Rooms: []string{"*"}}
	word := w.Ticket(claims, time.Hour, time.Hour)
	_, err := w.Credential(t.Context(), word, "192.0.2.1:1")
	require.Equal(t, 401, status(t, err), "a ticket is no token")
	var good atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if jwt, _, err := w.Redeem(word, "192.0.2.1:1"); err == nil {
				good.Add(1)
				_, err := w.Credential(context.Background(), jwt, "192.0.2.1:1")
				require.NoError(t, err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, good.Load())
	_, _, err = w.Redeem(w.Ticket(claims, -time.Second, time.Hour), "192.0.2.1:1")
	require.Equal(t, 401, status(t, err), "too old")
}

func TestSecretIsMadeOnce(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s, made, err := Secret(data, "")
	require.NoError(t, err)
	require.True(t, made)
	require.GreaterOrEqual(t, len(s), 32)
	info, err := os.Stat(filepath.Join(data, secretFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, made, err := Secret(data, "")
	require.NoError(t, err)
	require.False(t, made)
	require.Equal(t, s, again)
	own, made, err := Secret(data, "configured by somebody")
	require.NoError(t, err)
	require.False(t, made)
	require.Equal(t, "configured by somebody", string(own))
	left, err := os.ReadDir(data)
	require.NoError(t, err)
	require.Len(t, left, 1)

	require.NoError(t, os.WriteFile(filepath.Join(data, secretFile), []byte("short\n"), 0o600))
	_, _, err = Secret(data, "")
	require.ErrorContains(t, err, "delete it")
	require.NoError(t, os.WriteFile(filepath.Join(t.TempDir(), "file"), nil, 0o600))
	_, _, err = Secret(filepath.Join(data, secretFile), "")
	require.Error(t, err, "the data folder is a file")
}
