package hlsbridge

import (
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/media"
)

// nextTag reads one tag of an FLV and tells its kind.
func nextTag(t *testing.T, r io.Reader) byte {
	t.Helper()
	head := make([]byte, 11)
	_, err := io.ReadFull(r, head)
	require.NoError(t, err)
	size := binary.BigEndian.Uint32(head) & 0xffffff
	_, err = io.CopyN(io.Discard, r, int64(size)+4)
	require.NoError(t, err)
	return head[0]
}

// An FLV ends with its stream, and when another layer takes the place of the one that it shows: nobody waits, and is counted, for ever.
func TestFLVEnds(t *testing.T) {
	for name, end := range map[string]func(*studio){
		"the stream is removed": func(s *studio) { s.sfu.Remove("cam") },
		"another codec": func(s *studio) {
			_, _, err := s.stream.Begin(sfu.SessionOptions{Pushed: true, Takeover: true, Name: "test", Tracks: []sfu.TrackSpec{{Config: media.Config{Codec: media.H265, ClockRate: 90000}}}})
			require.NoError(s.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s := newStudio(t, nil)
			s.connect("coast", true).send(60)
			res, err := http.Get(s.server.URL + "/flv/cam.flv")
			require.NoError(t, err)
			defer res.Body.Close()
			_, err = io.CopyN(io.Discard, res.Body, 13)
			require.NoError(t, err)
			require.EqualValues(t, 18, nextTag(t, res.Body))
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, res.Body)
				ended <- err
			}()
			end(s)
			select {
			case err := <-ended:
				require.NoError(t, err)
			case <-time.After(10 * time.Second):
				t.Fatal("it goes on without anything to come")
			}
			require.Eventually(t, func() bool { return s.stream.Status().Viewers["flv"] == 0 }, 10*time.Second, time.Millisecond)
		})
	}
}

// pipe is a response that somebody reads.
type pipe struct{ *io.PipeWriter }

func (p pipe) Header() http.Header { return http.Header{} }
func (p pipe) WriteHeader(int)     {}
func (p pipe) Flush()              {}

// Sound goes on when no pictures come, and nothing else happens.
func TestFLVSoundWithoutPictures(t *testing.T) {
	noLeaks(t)
	s := newStudio(t, nil)
	src := s.connect("coast", true)
	src.send(60)
	v := awaitFLV(t.Context(), s.stream)
	require.NotNil(t, v)
	r, w := io.Pipe()
	v.out, v.control = pipe{w}, http.NewResponseController(pipe{w})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v.run(t.Context(), func() bool { return true }, func() <-chan struct{} { return nil })
	}()
	for pictures := 0; pictures < 1+60; { // the configuration, and all from the keyframe on
		if nextTag(t, r) == 9 {
			pictures++
		}
	}
	for i := range int64(40) {
		at := (60*1920/1024 + 1 + i) * 1024
		require.NoError(t, src.writers[1].Write(sfu.Unit{Parts: [][]byte{{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}}, PTS: at, Arrival: src.began.Add(time.Duration(at) * time.Second / 48000)}))
		require.EqualValues(t, 8, nextTag(t, r))
	}
	r.Close()
	src.send(1)
	<-ended
}
