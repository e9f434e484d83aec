package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/ingesttest"
	"watershed/sfu/media"
)

var video = []sfu.TrackSpec{{Config: media.Config{Codec: media.H264, ClockRate: 90000}}}

// What a publisher made goes when nobody publishes or watches it any more, and not before.
func TestEphemeralStreams(t *testing.T) {
	s := ingesttest.Node(t, nil)
	make := func(name id.Stream) *sfu.Stream {
		return s.Ensure(name, sfu.Spec{Ephemeral: true, Idle: 300 * time.Millisecond})
	}
	there := func(name id.Stream) bool { _, ok := s.Stream(name); return ok }
	release := make("watched").Hold("webrtc")
	session, _, err := make("published").Begin(sfu.SessionOptions{Tracks: video, Pushed: true})
	require.NoError(t, err)
	s.Declare("declared", sfu.Spec{})
	require.Equal(t, sfu.Spec{}, s.Ensure("declared", sfu.Spec{Ephemeral: true}).Status().Spec, "what is declared is not changed")

	make("deserted") // made last: when it is gone, the others have had their time
	require.Eventually(t, func() bool { return !there("deserted") }, ingesttest.Patience, time.Millisecond)
	require.True(t, there("watched") && there("published") && there("declared"))
	release()
	session.Close(errors.New("left"))
	require.Eventually(t, func() bool { return !there("watched") && !there("published") }, ingesttest.Patience, time.Millisecond)
	require.True(t, there("declared"))
}

// Each who is turned away costs the log one line with the stream's name; who only has not been asked for credentials yet, none.
func TestDoor(t *testing.T) {
	s := ingesttest.Node(t, nil)
	var log bytes.Buffer
	d := ingest.Door{Log: slog.New(slog.NewTextHandler(&log, nil)), Admit: func(_ context.Context, p ingest.Publish) (*ingest.Permit, error) {
		if p.Key != "right" {
			return nil, ingest.Refuse(http.StatusUnauthorized, "this is no key")
		}
		return &ingest.Permit{Stream: s.Ensure(p.Stream, sfu.Spec{}), Takeover: p.Takeover}, nil
	}}
	knock := func(path, key string) (ingest.Publish, *ingest.Permit, error) {
		log.Reset()
		return d.Knock(context.Background(), path, ingest.Publish{Key: key})
	}
	_, _, err := knock("/river", "")
	require.Equal(t, http.StatusUnauthorized, ingest.Status(err))
	require.Empty(t, log.String())
	_, _, err = knock("/river", "wrong")
	require.Equal(t, http.StatusUnauthorized, ingest.Status(err))
	require.Contains(t, log.String(), "stream=river")
	require.NotContains(t, log.String(), "wrong")
	_, _, err = knock("/No River", "right")
	require.Equal(t, http.StatusNotFound, ingest.Status(err))

	p, permit, err := knock("/river", "right")
	require.NoError(t, err)
	var kicked error
	guest, _, err := d.Begin(p, permit, video, func(reason error) { kicked = reason })
	require.NoError(t, err)
	_, _, err = d.Begin(p, permit, video, nil)
	require.Equal(t, http.StatusConflict, ingest.Status(err))
	permit.Takeover = true
	other, _, err := d.Begin(p, permit, video, nil)
	require.NoError(t, err)
	require.ErrorIs(t, kicked, sfu.ErrTakenOver)
	guest.Leave(kicked)
	other.Leave(errors.New("enough"))
}

func TestStatus(t *testing.T) {
	for err, want := range map[error]int{
		ingest.Refuse(403, "no"):                   http.StatusForbidden,
		fmt.Errorf("begin: %w", sfu.ErrBusy):       http.StatusConflict,
		sfu.ErrPulled:                              http.StatusConflict,
		sfu.ErrStreamGone:                          http.StatusNotFound,
		&sfu.SourceError{Err: sfu.ErrNotSupported}: http.StatusUnsupportedMediaType,
		errors.New("else"):                         http.StatusInternalServerError,
	} {
		require.Equal(t, want, ingest.Status(err), err.Error())
	}
}
