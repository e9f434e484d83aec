package archive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu/media"
)

var dawn = time.Date(2026, 6, 1, 4, 0, 0, 0, time.UTC)

const rate = 1000

// body of a chunk of two samples that last half a second together.
func body(at time.Duration, key bool) []byte {
	c := cmaf.Chunk{Codec: media.H264, Sequence: 1, DecodeTime: uint64(at.Milliseconds()), Samples: []cmaf.Sample{
		{Units: [][]byte{{0x65, 1, 2, 3}}, Duration: 250, Sync: key}, {Units: [][]byte{{0x41, 4}}, Duration: 250},
	}}
	return c.Append(nil)
}

// film is a take of pictures and sound, in segments of two seconds.
func film(t *testing.T, a *Archive, start time.Time, segments, loose int) {
	t.Helper()
	w, err := a.Begin(Header{Started: start, Target: 2, Tracks: []Track{{ID: "v0", Rate: rate, Init: []byte("init")}, {ID: "a0", Audio: true, Rate: rate, Init: []byte("in")}}})
	require.NoError(t, err)
	for i := range segments {
		for track := range 2 {
			for part := range 4 {
				require.NoError(t, w.Chunk(track, body(time.Duration(i)*2*time.Second+time.Duration(part)*time.Second/2, part == 0)))
			}
			require.NoError(t, w.Segment(track, start.Add(time.Duration(i)*2*time.Second), 2*time.Second))
		}
	}
	for part := range loose {
		for track := range 2 {
			require.NoError(t, w.Chunk(track, body(time.Duration(segments)*2*time.Second+time.Duration(part)*time.Second/2, part == 0)))
		}
	}
	require.NoError(t, w.Close())
}

func open(t *testing.T, dir string) *Archive {
	t.Helper()
	a, err := Open(dir, Options{})
	require.NoError(t, err)
	return a
}

func all(t *testing.T, a *Archive) []Span {
	t.Helper()
	spans, err := a.Between(dawn.Add(-time.Hour), dawn.Add(1000*time.Hour))
	require.NoError(t, err)
	return spans
}

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	a.memory = 40
	for take := range 7 { // with more segments than are kept in memory
		film(t, a, dawn.Add(time.Duration(take)*time.Hour), 3+take, take%3)
	}
	written := all(t, a)
	require.Len(t, written, 7)
	again := all(t, open(t, dir))
	for i := range written { // times are read in the local zone
		require.Equal(t, fmt.Sprint(written[i].Segments), fmt.Sprint(localised(again[i].Segments)))
		require.Equal(t, written[i].First, again[i].First)
	}
	for i, s := range written {
		loose := min(i%3, 1)
		require.Len(t, s.Segments[0], 3+i+loose, "a segment that was open when the take ended is one")
		require.EqualValues(t, i+1, s.Number)
	}
	inMem := 0
	for _, x := range a.takes {
		for _, k := range x.segments {
			inMem += len(k)
		}
	}
	require.Positive(t, inMem)
	require.LessOrEqual(t, inMem, a.memory)

	for _, c := range []struct {
		from, to time.Duration
		want     int
	}{{0, time.Hour, 3}, {2 * time.Second, 2*time.Second + 1, 1}, {-time.Minute, 0, 0}, {time.Hour + 3*time.Second, 2*time.Hour + time.Second, 3 + 1 + 1}, {999 * time.Hour, 1000 * time.Hour, 0}} {
		spans, err := a.Between(dawn.Add(c.from), dawn.Add(c.to))
		require.NoError(t, err)
		n := 0
		for _, s := range spans {
			n += len(s.Segments[0])
			require.Len(t, s.Segments[1], len(s.Segments[0]))
		}
		if c.from > 0 && c.to > time.Hour && c.want > 0 {
			require.Positive(t, n)
			continue
		}
		require.Equal(t, c.want, n, "%v to %v", c.from, c.to)
	}
}

func localised(tracks [][]Segment) [][]Segment {
	for _, t := range tracks {
		for i := range t {
			t[i].Start = t[i].Start.UTC()
		}
	}
	return tracks
}

// Wherever a process is killed: every chunk that was whole is listed, in as many segments for the sound as for the pictures.
func TestEveryWholeChunkIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	film(t, a, dawn, 4, 3)
	path := filepath.Join(dir, "1")
	media, err := os.ReadFile(filepath.Join(path, "v0.mp4"))
	require.NoError(t, err)
	index, err := os.ReadFile(filepath.Join(path, "v0.idx"))
	require.NoError(t, err)
	for range 100 {
		cut, records := 4+rand.IntN(len(media)-3), rand.IntN(len(index)+1)
		require.NoError(t, os.WriteFile(filepath.Join(path, "v0.mp4"), media[:cut], 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(path, "v0.idx"), index[:records], 0o600))
		whole, ticks := cmaf.Whole(media[4:cut])
		found, err := readTake(path, 1)
		require.NoError(t, err)
		x := found.extents[0]
		require.EqualValues(t, 4+whole, x.bytes)
		segments, err := found.read(&found.Tracks[0], &x)
		require.NoError(t, err)
		offset, length := int64(4), time.Duration(0)
		for _, s := range segments {
			require.Equal(t, offset, s.Offset)
			offset, length = offset+s.Size, length+s.Duration
		}
		require.EqualValues(t, 4+whole, offset)
		if records < len(index)/recordSize*recordSize || cut < len(media) {
			require.Equal(t, time.Duration(ticks)*time.Millisecond, length)
		}
	}
}

// Wherever a process is killed: sound has the segments that the pictures have, with all that was whole, cut where they are.
func TestSoundIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	w, err := a.Begin(Header{Started: dawn, Target: 2, Tracks: []Track{{ID: "v0", Rate: rate, Init: []byte("init")}, {ID: "a0", Audio: true, Rate: rate, Init: []byte("in")}}})
	require.NoError(t, err)
	chunk := func(track, number int) {
		require.NoError(t, w.Chunk(track, body(time.Duration(number)*time.Second/2, track == 1 || number%4 == 0)))
	}
	segment := func(track, number int) {
		require.NoError(t, w.Segment(track, dawn.Add(time.Duration(number)*2*time.Second), 2*time.Second))
	}
	for number := range 13 {
		for track := range min(2, number+1) {
			n := number - track // as a recorder does: pictures first, sound a chunk behind them
			if n > 0 && n%4 == 0 {
				segment(track, n/4-1)
			}
			chunk(track, n)
			crashed := t.TempDir()
			require.NoError(t, os.CopyFS(filepath.Join(crashed, "1"), os.DirFS(filepath.Join(dir, "1"))))
			for keep := int64(3); keep >= 0; keep-- { // a power cut may take what was written to an index last
				for _, name := range []string{"v0.idx", "a0.idx"} {
					index := filepath.Join(crashed, "1", name)
					if info, err := os.Stat(index); err != nil || info.Size() > keep*recordSize {
						require.NoError(t, os.Truncate(index, keep*recordSize))
					}
				}
				spans := all(t, open(t, crashed))
				require.Len(t, spans, 1)
				for k, segments := range spans[0].Segments {
					file, err := os.ReadFile(filepath.Join(crashed, "1", spans[0].Tracks[k].ID+".mp4"))
					require.NoError(t, err)
					require.Len(t, segments, number/4+1)
					end := spans[0].Tracks[k].InitSize
					for i, s := range segments {
						require.Equal(t, end, s.Offset)
						require.True(t, s.Start.Equal(dawn.Add(time.Duration(i)*2*time.Second)), "%v of segment %d", s.Start, i)
						end += s.Size
					}
					require.EqualValues(t, len(file), end, "all that was whole")
				}
			}
		}
	}
	require.NoError(t, w.Close())
	written := all(t, a)
	film(t, a, dawn.Add(time.Hour), 1, 0)
	require.Equal(t, fmt.Sprint(written[0].Segments), fmt.Sprint(localised(all(t, open(t, dir))[0].Segments)), "a process that ends lists what it leaves")
	require.EqualValues(t, len(written[0].Segments[0]), all(t, a)[1].First)
}

func TestOldTakesGoAndNumbersStay(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	for take := range 4 {
		film(t, a, dawn.Add(time.Duration(take)*time.Hour), 3, 0)
	}
	one := a.Size() / 4
	require.NoError(t, a.Prune(dawn.Add(time.Minute), 0), "by age: the first has ended before")
	require.Len(t, all(t, a), 3)
	require.NoError(t, a.Prune(dawn, 2*one), "by size")
	require.Len(t, all(t, a), 2)
	require.Equal(t, 2*one, a.Size())
	_, err := os.Stat(filepath.Join(dir, "2"))
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, a.Prune(dawn.Add(24*time.Hour), 0), "nothing is written: the newest goes too")
	require.Empty(t, all(t, a))
	require.Zero(t, a.Size())
	for _, a := range []*Archive{open(t, dir), a} { // another process, or the same: addresses mean one thing
		require.Equal(t, counters{Number: 4, Next: 12}, a.last)
	}
	film(t, a, dawn.Add(9*time.Hour), 1, 0)
	s := all(t, a)
	require.EqualValues(t, 5, s[0].Number)
	require.EqualValues(t, 12, s[0].First)

	w, err := a.Begin(Header{Started: dawn, Tracks: []Track{{ID: "v0", Rate: rate, Init: []byte("x")}}})
	require.NoError(t, err)
	require.NoError(t, w.Chunk(0, body(0, true)))
	require.NoError(t, w.Segment(0, dawn, time.Second))
	require.NoError(t, a.Prune(dawn.Add(99*time.Hour), 1))
	require.Len(t, all(t, a), 1, "what is written stays")
	require.NoError(t, w.Close())
}

// A take that cannot be removed stays listed and counted, and is removed when it can be.
func TestTakesThatCannotBeRemovedStay(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	for take := range 3 {
		film(t, a, dawn.Add(time.Duration(take)*time.Hour), 3, 0)
	}
	size := a.Size()
	in := filepath.Join(dir, countersFile+".new", "way") // of the note that the newest take needs
	require.NoError(t, os.MkdirAll(in, 0o700))
	require.ErrorIs(t, a.Prune(dawn.Add(24*time.Hour), 0), syscall.EISDIR)
	require.Len(t, all(t, a), 1, "the others need none")
	require.Equal(t, size/3, a.Size())
	require.DirExists(t, filepath.Join(dir, "3"))
	film(t, a, dawn.Add(9*time.Hour), 1, 0)
	require.NoError(t, a.Prune(dawn.Add(8*time.Hour), 0), "nor does this one, now that there is a newer")
	require.NoDirExists(t, filepath.Join(dir, "3"))
	require.EqualValues(t, 9, all(t, open(t, dir))[0].First)

	require.NoError(t, os.RemoveAll(filepath.Dir(in)))
	require.NoError(t, a.Prune(dawn.Add(24*time.Hour), 0))
	require.Zero(t, a.Size())
	require.Equal(t, counters{Number: 4, Next: 10}, open(t, dir).last)
}

func TestTakesWithNothingInThemLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	for range 3 {
		film(t, a, dawn, 0, 0)
	}
	film(t, a, dawn, 1, 0)
	require.EqualValues(t, 1, all(t, a)[0].Number, "discontinuities are counted by takes")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "2"), 0o700)) // killed before the header was written
	b := open(t, dir)
	film(t, b, dawn.Add(time.Hour), 1, 0)
	require.Len(t, all(t, b), 2)
}

// One damaged take is left out, and its numbers are not used again. The others are there. It goes when it is too old.
func TestDamagedTakeIsLeftOut(t *testing.T) {
	write := func(text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, headerFile), []byte(text), 0o600) }
	}
	lose := func(name string) func(string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
	}
	for name, damage := range map[string]func(dir string) error{
		"empty": write(""), "no JSON": write("{"), "another's": write(`{"number":1,"tracks":[{"id":"v0","rate":1}]}`), "no track": write(`{"number":2}`),
		"away":     write(`{"number":2,"tracks":[{"id":"../../x","rate":1}]}`),
		"no rate":  write(`{"number":2,"tracks":[{"id":"v0"}]}`),
		"pictures": lose("v0.mp4"), "sound": lose("a0.mp4"), "index": lose("v0.idx"), "index of sound": lose("a0.idx"), headerFile: lose(headerFile),
	} {
		dir := t.TempDir()
		a := open(t, dir)
		film(t, a, dawn, 2, 0)
		one := a.Size()
		film(t, a, dawn.Add(time.Hour), 3, 0)
		second := filepath.Join(dir, "2")
		require.NoError(t, damage(second))
		for _, f := range []string{"v0.mp4", "a0.mp4", "v0.idx", "a0.idx", headerFile} {
			if err := os.Chtimes(filepath.Join(second, f), dawn, dawn.Add(time.Hour)); err != nil {
				require.ErrorIs(t, err, os.ErrNotExist, "the one that is lost")
			}
		}
		left := files(t, second)
		b := open(t, dir)
		if name != headerFile { // a process that is killed may leave such a take
			require.Len(t, b.Damaged(), 1, name)
		}
		require.Len(t, all(t, b), 1)
		require.Greater(t, b.Size(), one, name)
		film(t, b, dawn.Add(2*time.Hour), 2, 0)
		for _, c := range []*Archive{b, open(t, dir)} {
			s := all(t, c)
			require.EqualValues(t, 3, s[1].Number, name)
			require.EqualValues(t, 5, s[1].First, name)
		}
		require.Equal(t, left, files(t, second), name)

		require.NoError(t, b.Prune(dawn.Add(time.Hour), 0))
		require.DirExists(t, second, "it was written then")
		require.NoError(t, b.Prune(dawn.Add(time.Hour+1), 0))
		require.NoDirExists(t, second)
		require.Len(t, all(t, b), 1)
		require.Equal(t, one, b.Size(), name)
	}
}

// files of a folder, with their sizes.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		all = append(all, fmt.Sprint(e.Name(), info.Size()))
	}
	return all
}

// A take never takes the place of what is in its folder, whoever put it there. The next try has another number.
func TestTakesReplaceNothing(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "1"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "1", "v0.mp4"), []byte("somebody's"), 0o600))
	_, err := a.Begin(Header{Started: dawn, Tracks: []Track{{ID: "v0", Rate: rate}}})
	require.ErrorIs(t, err, os.ErrExist)
	film(t, a, dawn, 1, 0)
	require.EqualValues(t, 2, all(t, a)[0].Number)
	require.Equal(t, []string{"v0.mp410"}, files(t, filepath.Join(dir, "1")))
}

// quota is a file on a disk that has room for so many bytes.
type quota struct {
	File
	left *int
}

func (q quota) WriteAt(b []byte, at int64) (int, error) {
	n := min(len(b), *q.left)
	*q.left -= n
	n, err := q.File.WriteAt(b[:n], at)
	if n < len(b) && err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

func (quota) Sync() error { return nil }

// A disk that is full in the middle of whatever is written: what is listed can be read, then and later.
func TestFullDiskLeavesWhatIsListed(t *testing.T) {
	for room := 0; room < 3000; room += 113 {
		dir, left := t.TempDir(), room
		a, err := Open(dir, Options{Create: func(path string) (File, error) {
			f, err := createFile(path)
			return quota{f, &left}, err
		}})
		require.NoError(t, err)
		w, err := a.Begin(Header{Started: dawn, Target: 2, Tracks: []Track{{ID: "v0", Rate: rate, Init: []byte("init")}}})
		require.NoError(t, err)
		for i := 0; err == nil; i++ {
			if err = w.Chunk(0, body(time.Duration(i)*time.Second/2, i%4 == 0)); err == nil && i%4 == 3 {
				err = w.Segment(0, dawn.Add(time.Duration(i/4)*2*time.Second), 2*time.Second)
			}
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		if err := w.Close(); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
		}
		listed := all(t, a)
		left = 1 << 20 // somebody made room
		film(t, a, dawn.Add(time.Hour), 1, 0)
		for i, s := range listed {
			again := all(t, open(t, dir))[i]
			require.GreaterOrEqual(t, len(again.Segments[0]), len(s.Segments[0]))
			f, err := a.Piece(s.Number, "v0")
			require.NoError(t, err)
			for _, x := range s.Segments[0] {
				b, err := readSegment(f, &x)
				require.NoError(t, err)
				whole, _ := cmaf.Whole(b)
				require.Len(t, b, whole)
			}
			require.NoError(t, f.Close())
		}
		require.Len(t, all(t, a), len(listed)+1)
	}
}

// aligned is when a piece ends that begins at a time of its clip.
func aligned(t *testing.T, a *Archive, p *piece, at time.Duration) (end time.Duration) {
	t.Helper()
	require.NoError(t, p.with(a, func(files []*os.File) (err error) {
		end, err = p.align(files, at)
		return err
	}))
	return end
}

func TestClipSpansTakes(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	film(t, a, dawn, 2, 0)
	film(t, a, dawn.Add(time.Hour), 2, 0)
	spans := all(t, a)
	first, second := piece{span: &spans[0]}, piece{span: &spans[1]}
	require.Equal(t, 4*time.Second, aligned(t, a, &first, 0))
	require.Equal(t, 8*time.Second, aligned(t, a, &second, 4*time.Second), "what lies between is cut out")
	require.Equal(t, []int64{4000, 4000}, second.later)

	w, err := a.Begin(Header{Started: dawn.Add(2 * time.Hour), Tracks: []Track{{ID: "v0", Rate: rate, Init: []byte("else")}}})
	require.NoError(t, err)
	require.NoError(t, w.Chunk(0, body(0, true)))
	require.NoError(t, w.Close())
	_, err = a.Clip(all(t, a))
	var differ *DifferError
	require.True(t, errors.As(err, &differ), "%v", err)
	require.Len(t, differ.Ranges, 2)
	for _, r := range differ.Ranges {
		spans, err := a.Between(r[0], r[1])
		require.NoError(t, err)
		_, err = a.Clip(spans)
		require.False(t, errors.As(err, &differ), "a range that the answer names is one file")
	}
}

// Sound that is missing for some segments: the next one is found behind them, and a clip has it where it was.
func TestEmptySegmentsAreInNobodysWay(t *testing.T) {
	a := open(t, t.TempDir())
	w, err := a.Begin(Header{Started: dawn, Target: 2, Tracks: []Track{{ID: "v0", Rate: rate}, {ID: "a0", Audio: true, Rate: rate}}})
	require.NoError(t, err)
	for i := range 6 {
		at := time.Duration(i) * time.Second / 2
		for track := range 2 {
			if track == 0 || i == 2 || i == 3 {
				require.NoError(t, w.Chunk(track, body(time.Hour+at, true)))
			}
			require.NoError(t, w.Segment(track, dawn.Add(at), time.Second/2))
		}
	}
	require.NoError(t, w.Close())
	s := all(t, a)[0]
	for _, k := range []int{0, 1} {
		for _, x := range s.Segments[k] {
			offset, size, err := a.Extent(1, s.Tracks[k].ID, fmt.Sprintf("%d-%d.m4s", x.Offset, x.Size))
			require.NoError(t, err)
			require.Equal(t, []int64{x.Offset, x.Size}, []int64{offset, size})
		}
	}
	_, _, err = a.Extent(1, "a0", fmt.Sprintf("0-%d.m4s", 1+s.Segments[1][2].Size))
	require.ErrorIs(t, err, os.ErrNotExist)
	p := piece{span: &s}
	require.Equal(t, time.Minute+3*time.Second, aligned(t, a, &p, time.Minute))
	minute := -time.Hour.Milliseconds() + time.Minute.Milliseconds()
	require.Equal(t, []int64{minute, minute}, p.later)
}

// watcher counts the files of a folder that are open whenever something is written.
type watcher struct {
	dir  string
	most int
}

func (w *watcher) Write(b []byte) (int, error) {
	all, err := os.ReadDir("/proc/self/fd")
	n := 0
	for _, e := range all {
		if path, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(path, w.dir) {
			n++
		}
	}
	w.most = max(w.most, n)
	return len(b), err
}

// A clip of many takes has the files of one open at a time.
func TestClipOpensOneTakeAtATime(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	for i := range 5 {
		film(t, a, dawn.Add(time.Duration(i)*time.Minute), 2, 0)
	}
	c := &Clip{archive: a}
	spans := all(t, a)
	for i := range spans {
		c.pieces = append(c.pieces, piece{span: &spans[i]})
		aligned(t, a, &c.pieces[i], 0)
	}
	w := &watcher{dir: dir}
	n, err := c.WriteTo(w)
	require.NoError(t, err)
	require.Equal(t, a.Size(), n)
	require.Equal(t, 2, w.most)
}
