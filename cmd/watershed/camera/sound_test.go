package camera

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/ingest/rtsp"
	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/sfu/timeline"
	"watershed/sfu/transcode/nut"
)

func TestSoundIsALoop(t *testing.T) {
	for _, name := range soundNames {
		s, err := loadSound(name)
		require.NoError(t, err)
		sender := soundSender{sound: s, origin: 12345}
		n := int64(len(s.payloads))
		require.Equal(t, Loop, sender.at(5*n).Sub(sender.at(4*n)))
		now := time.Now()
		k := sender.next(now)
		require.True(t, sender.at(k).After(now))
		require.False(t, sender.at(k-1).After(now))
		for i := k; i < k+2*n; i++ {
			require.InDelta(t, s.duration(int64(s.samples)), sender.at(i+1).Sub(sender.at(i)), 1)
		}
	}
	_, err := loadSound("gramophone")
	require.ErrorContains(t, err, "gramophone")
}

// TestTicksAreWithPictures: the sound of each loop ticks at whole seconds from the picture with number 0, for a camera with a phase and a shift.
func TestTicksAreWithPictures(t *testing.T) {
	for _, name := range soundNames {
		s, err := loadSound(name)
		require.NoError(t, err)
		c := newCamera(nil, 1, "cam1", "coast", nil)
		c.sound = s
		sender := newSoundSender(c)
		begin := sender.at(7 * int64(len(s.payloads))).Add(s.early)
		number := (begin.UnixNano()-int64(c.phase))/int64(frameTime) + int64(c.shift)
		require.Zero(t, number%Frames)
		require.Equal(t, begin.UnixNano(), (number-int64(c.shift))*int64(frameTime)+int64(c.phase))
		heard := ticks(t, name, s, repeat(s))
		require.Len(t, heard, 15) // all but the one that begins the loop
		for _, at := range heard {
			at -= s.early.Seconds()
			require.InDelta(t, math.Round(at), at, .002, name)
		}
	}
}

// repeat is two loops of a sound.
func repeat(s *sound) (all [][]byte) {
	for range 2 {
		for _, p := range s.payloads {
			if s.marker {
				p = p[4:] // the header of oneAU
			}
			all = append(all, p)
		}
	}
	return all
}

// TestSoundIsPulled listens to a camera through RTSP.
func TestSoundIsPulled(t *testing.T) {
	for _, name := range soundNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			farm, err := New(Config{N: 2, Listen: "127.0.0.1:0", Audio: "none," + name, Clip: "coast"})
			require.NoError(t, err)
			require.Equal(t, "none", farm.Camera(0).Info().Audio)
			require.Equal(t, name, farm.Camera(1).Info().Audio)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1, Log: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			plane := sfu.New(sfu.Config{Port: port, Pullers: map[string]sfu.Puller{"rtsp": rtsp.Pull}})
			done := make(chan struct{}, 2)
			go func() { plane.Run(ctx); done <- struct{}{} }()
			go func() { farm.Run(ctx); done <- struct{}{} }()
			st := plane.Declare("cam", sfu.Spec{Inputs: []sfu.Input{{High: farm.URL(1)}}})
			require.NoError(t, st.WaitLive(ctx))
			heard := ticks(t, name, farm.Camera(1).sound, listen(ctx, t, st))
			cancel()
			<-done
			<-done
			require.GreaterOrEqual(t, len(heard), 3)
			for i, at := range heard[1:] {
				require.InDelta(t, heard[i]+1, at, .002)
			}
		})
	}
}

// listen takes four seconds of a stream's sound.
func listen(ctx context.Context, t *testing.T, st *sfu.Stream) (payloads [][]byte) {
	t.Helper()
	ring := st.Track(media.Audio).Layers()[0].Ring()
	reader := ring.ReadFrom(ring.Next())
	for first := (*media.Frame)(nil); ; {
		f, err := reader.Next(ctx)
		require.NoError(t, err)
		if first == nil {
			first = f
		}
		payloads = append(payloads, f.Units[0])
		if timeline.Duration(f.PTS-first.PTS, f.Config.ClockRate) > 4*time.Second {
			return payloads
		}
	}
}

// ticks are the times, in seconds from the first packet, at which the sound becomes loud.
func ticks(t *testing.T, name string, s *sound, payloads [][]byte) (at []float64) {
	t.Helper()
	info := nut.Stream{Num: 1, Den: s.rate, Rate: s.rate, Channels: 1, FourCC: map[string]string{"opus": "Opus", "aac": "\xff\x00", "pcmu": "\x07\x00"}[name]}
	if name == "aac" {
		info.Extra = []byte{0x11, 0x88} // AAC-LC, 48 kHz, one channel
	}
	var clip bytes.Buffer
	w, err := nut.NewWriter(&clip, info)
	require.NoError(t, err)
	for i, p := range payloads {
		require.NoError(t, w.Write(int64(i*s.samples), true, p))
	}
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", "nut", "-i", "-", "-ac", "1", "-ar", "48000", "-f", "s16le", "-")
	cmd.Stdin = &clip
	pcm, err := cmd.Output()
	require.NoError(t, err, "this test needs FFmpeg: apt-get install ffmpeg")
	for i, quiet := 0, 0; i+1 < len(pcm); i += 2 {
		loud := int16(binary.LittleEndian.Uint16(pcm[i:])) > 9000
		if loud && quiet > 24000 { // not one that sounds when listening begins: its start is unknown
			at = append(at, float64(i/2)/48000)
		}
		if quiet++; loud {
			quiet = 0
		}
	}
	return at
}
