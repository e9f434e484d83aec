package hlsbridge

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
)

// An epoch of segments as short as they may be, ended at any moment, and another at once: the second's numbers are above the first's, though nothing was
// told of how many it used.
func TestNumbersOutgrowAnyEpoch(t *testing.T) {
	began := time.Date(2026, 6, 1, 12, 0, 0, 300e6, time.UTC)
	for lived := time.Duration(0); lived < time.Hour; lived += 700 * time.Millisecond {
		used := firstNumber(began) + gapsAhead + uint64(lived/time.Second)
		kept := firstNumber(began) + reserved - 1 // what remember leaves as the epoch begins
		require.Greater(t, max(firstNumber(began.Add(lived)), kept), used, lived)
	}
}

// What one process leaves, the next finds; a file that is damaged, or a folder that cannot be written, costs nothing but that.
func TestNumbersAreKept(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "hls")
	complaints := &atomic.Int32{}
	log := slog.New(ear{slog.DiscardHandler, "hls: the numbers of a stream are not kept: after a restart its discontinuity sequence may go back", complaints, ""})
	n := newNumbers(folder, log)
	require.Zero(t, n.of("tenant~cam"))
	want := past{Number: 7, Cuts: 3, Part: 320 * time.Millisecond, Target: 4}
	n.leave("tenant~cam", want)
	require.Equal(t, want, n.of("tenant~cam"), "at once")
	n.write()
	require.Equal(t, want, newNumbers(folder, log).of("tenant~cam"))
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, files, 1)

	require.NoError(t, os.WriteFile(filepath.Join(folder, "tenant~cam.json"), nil, 0o600))
	require.Zero(t, newNumbers(folder, log).of("tenant~cam"))
	n.folder = filepath.Join(folder, "tenant~cam.json")
	n.leave("cam", want)
	n.write()
	require.EqualValues(t, 1, complaints.Load())
	require.Equal(t, want, n.of("cam"))
}

func TestNumbersAreBounded(t *testing.T) {
	n := newNumbers("", slog.New(slog.DiscardHandler))
	for i := range mostKnown + 100 {
		n.leave(id.Stream(fmt.Sprint("cam", i)), past{Number: uint64(i)})
		n.write()
	}
	require.Len(t, n.known, mostKnown)
	require.Equal(t, past{Number: mostKnown + 99}, n.of(id.Stream(fmt.Sprint("cam", mostKnown+99))))
}

// sequences of a playlist: of media, and of discontinuities before its end.
func sequences(t *testing.T, list string) (msn, cuts int) {
	t.Helper()
	msn, err := strconv.Atoi(lines(list, "#EXT-X-MEDIA-SEQUENCE:")[0])
	require.NoError(t, err)
	cuts, err = strconv.Atoi(lines(list, "#EXT-X-DISCONTINUITY-SEQUENCE:")[0])
	require.NoError(t, err)
	return msn + len(lines(list, "#EXTINF:")), cuts + strings.Count(list, "#EXT-X-DISCONTINUITY\n")
}

// A stream that was removed and made again, and a node that was killed: sequences at the same address go on, discontinuities within an hour included.
func TestNumbersGoOn(t *testing.T) {
	folder := t.TempDir()
	s := newStudio(t, func(c *Config) { c.Numbers = folder })
	_, open := began(t, s, false)
	for i, clip := range []string{"coast", "river", "coast"} {
		src := s.connect(clip, false)
		src.send(106)
		s.settled("v0", fmt.Sprintf("_HLS_msn=%d&_HLS_part=0", open+2*uint64(i)+1))
	}
	msn, cuts := sequences(t, s.fetch("v0.m3u8").body)
	p := s.bridge.packager(s.stream)
	require.EqualValues(t, 3, cuts-int(p.gen.Load().cuts))
	require.Eventually(t, func() bool { // as a node that is killed leaves it
		return newNumbers(folder, p.log).of("cam").Cuts == uint64(cuts)+1
	}, 10*time.Second, time.Millisecond)
	require.Greater(t, newNumbers(folder, p.log).of("cam").Number, uint64(msn))

	s.sfu.Remove("cam")
	require.Eventually(t, func() bool {
		s.bridge.mu.RLock()
		defer s.bridge.mu.RUnlock()
		return len(s.bridge.packagers) == 0
	}, 10*time.Second, time.Millisecond)
	s.stream = s.sfu.Declare("cam", sfu.Spec{Public: true})
	began(t, s, false)
	again, more := sequences(t, s.fetch("v0.m3u8").body)
	require.Greater(t, again, msn)
	require.Greater(t, more, cuts)
}

// The last word of all packagers is on disk when a bridge has ended.
func TestNumbersAreWrittenAtTheEnd(t *testing.T) {
	folder := t.TempDir()
	t.Run("bridge", func(t *testing.T) {
		newStudio(t, func(c *Config) { c.Numbers = folder }).bridge.numbers.leave("cam", past{Number: 9})
	})
	require.Equal(t, past{Number: 9}, newNumbers(folder, slog.New(slog.DiscardHandler)).of("cam"))
}
