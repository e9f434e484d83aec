// Package ingesttest is what the adapters' tests have in common: a media plane, numbered pictures to send through an adapter, and a reader
// that checks what comes out.
package ingesttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/sfu/leg"
	"watershed/sfu/media"
)

// Patience is how long a test waits for an event that must come.
const Patience = 30 * time.Second

// Frame length of the pictures, in ticks of 90 kHz: 25 a second.
const FrameTicks = 3600

// GOP is the distance of keyframes in pictures.
const GOP = 10

// Node runs a media plane until the test ends, and checks then that no goroutine is left.
func Node(t *testing.T, pullers map[string]sfu.Puller) *sfu.SFU {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1})
	require.NoError(t, err)
	s := sfu.New(sfu.Config{Port: port, Pullers: pullers, Log: slog.New(slog.NewTextHandler(logger{t}, nil))})
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		NoneLeft(t)
	})
	return s
}

// NoneLeft fails if goroutines of ours are still running after a while.
func NoneLeft(t *testing.T) {
	t.Helper()
	var left []string
	for wait := time.Millisecond; wait < 5*time.Second; wait *= 2 {
		if left = ours(); len(left) == 0 {
			return
		}
		time.Sleep(wait)
	}
	require.Empty(t, left, "goroutines left")
}

func ours() (all []string) {
	buf := make([]byte, 1<<20)
	for i, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && strings.Contains(g, "watershed/sfu") && !strings.Contains(g, "testing.tRunner") {
			all = append(all, g)
		}
	}
	return all
}

// logger gives the log to the test.
type logger struct{ t *testing.T }

func (l logger) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// Door lets everybody in.
func Door(t *testing.T, s *sfu.SFU) ingest.Door {
	return ingest.Door{Admit: ingest.Open(s), Log: slog.New(slog.NewTextHandler(logger{t}, nil))}
}

// SPS and PPS of the pictures: H.264 constrained baseline, 1080p.
var (
	SPS = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	PPS = []byte{0x68, 0xee, 0x3c, 0x80}
)

// Picture is access unit i of an endless clip: a keyframe every GOP pictures, and its number in the slice.
func Picture(i int) [][]byte {
	slice := bytes.Repeat([]byte{0xaa}, 2000+i%7*500) // fragments of RTP, several packets of MPEG-TS
	binary.BigEndian.PutUint32(slice[4:], uint32(i)|0x80808080)
	if slice[0] = 0x41; i%GOP != 0 {
		return [][]byte{slice}
	}
	slice[0] = 0x65
	return [][]byte{SPS, PPS, slice}
}

// number reads a picture's.
func number(units [][]byte) int {
	slice := units[len(units)-1]
	if len(slice) < 8 {
		return -1
	}
	return int(binary.BigEndian.Uint32(slice[4:]) &^ 0x80808080)
}

// Stream waits until there is a stream with a video track.
func Stream(t *testing.T, s *sfu.SFU, name id.Stream) *sfu.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var st *sfu.Stream
	require.Eventually(t, func() bool {
		var ok bool
		st, ok = s.Stream(name)
		return ok
	}, Patience, time.Millisecond)
	require.NoError(t, st.WaitLive(ctx))
	return st
}

// Check reads n pictures of a layer from the first on: they start at a keyframe, none is missing, each is decoded after and shown 40 ms
// after the one before. It returns them.
func Check(t *testing.T, l *sfu.Layer, n int) []*media.Frame {
	t.Helper()
	frames := Read(t, l, 1, n)
	require.True(t, frames[0].Keyframe, "starts at a keyframe")
	for i, f := range frames[1:] {
		last := frames[i]
		require.Equal(t, number(last.Units)+1, number(f.Units), "a picture is missing or out of order")
		require.Equal(t, number(f.Units)%GOP == 0, f.Keyframe, "picture %d", number(f.Units))
		require.InDelta(t, last.PTS+FrameTicks, f.PTS, 90, "picture %d is not shown in time", number(f.Units)) // FLV counts milliseconds
		require.Greater(t, f.DTS, last.DTS)
		require.Equal(t, last.LastSeq(), f.FirstSeq)
	}
	return frames
}

// Read waits for frames of a layer, from number first on.
func Read(t *testing.T, l *sfu.Layer, first uint64, n int) (frames []*media.Frame) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	r := l.Ring().ReadFrom(first)
	for len(frames) < n {
		f, err := r.Next(ctx)
		require.NoError(t, err, "%d of %d frames came", len(frames), n)
		frames = append(frames, f)
	}
	require.Zero(t, r.Skipped())
	return frames
}

// Layer of a stream's track, the best.
func Layer(t *testing.T, st *sfu.Stream, k media.Kind) *sfu.Layer {
	t.Helper()
	track := st.Track(k)
	require.NotNil(t, track, "no %v", k)
	return track.Layers()[0]
}
