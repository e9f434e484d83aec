package hlsbridge

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/stretchr/testify/require"

	"watershed/hlsbridge/conform"
	"watershed/sfu"
	"watershed/sfu/leg"
	"watershed/sfu/media"
)

// pictures are what FFmpeg encodes: access units in the order of decoding.
type pictures struct {
	codec media.Codec
	units [][][]byte
	key   []bool
}

// encode makes n pictures. x are the encoder's parameters; keys places keyframes by number, or is empty.
func encode(t *testing.T, codec media.Codec, n, fps int, size, x string, keys ...int) *pictures {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	require.NoError(t, err, "this test encodes with FFmpeg: apt install ffmpeg")
	lib, format := "libx264", "h264"
	if codec == media.H265 {
		lib, format, x = "libx265", "hevc", x+":log-level=error:repeat-headers=1"
	}
	args := []string{
		"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc=s=%s:r=%d", size, fps), "-frames:v", fmt.Sprint(n), "-pix_fmt", "yuv420p", "-c:v", lib,
		"-preset", "ultrafast", "-" + strings.TrimPrefix(lib, "lib") + "-params", x + ":aud=1:scenecut=0", "-threads", "1",
	}
	if len(keys) > 0 {
		var at []string
		for _, k := range keys {
			at = append(at, fmt.Sprintf("%.4f", float64(k)/float64(fps)))
		}
		args = append(args, "-force_key_frames", strings.Join(at, ","))
	}
	out, err := exec.Command(ffmpeg, append(args, "-f", format, "-")...).Output()
	require.NoError(t, err)
	p := &pictures{codec: codec}
	for _, nal := range bytes.Split(out, []byte{0, 0, 1})[1:] {
		nal = bytes.TrimRight(nal, "\x00")
		delimiter, key := nal[0]&0x1f == 9, nal[0]&0x1f == 5
		if codec == media.H265 {
			kind := nal[0] >> 1 & 0x3f
			delimiter, key = kind == 35, kind >= 16 && kind <= 21
		}
		if delimiter {
			p.units, p.key = append(p.units, nil), append(p.key, false)
			continue
		}
		last := len(p.units) - 1
		p.units[last] = append(p.units[last], nal)
		p.key[last] = p.key[last] || key
	}
	require.Len(t, p.units, n)
	return p
}

// then goes on with other pictures, as a camera whose settings somebody changes.
func (p *pictures) then(q *pictures) *pictures {
	return &pictures{codec: p.codec, units: append(slices.Clip(p.units), q.units...), key: append(slices.Clip(p.key), q.key...)}
}

// shot is a camera that does something wrong.
type shot struct {
	pictures *pictures
	fps      int
	when     func(i int) time.Duration                  // picture i is taken; nil: fps each second
	order    func(i int) int                            // in which pictures are shown; nil: as they come
	stamp    func(i int, d time.Duration) time.Duration // what the camera says instead of d
	drop     func(i int) bool                           // is never sent
	sound    func(at time.Duration) bool                // is there
	frames   [][]byte                                   // of it, in turn; nil: silence
	asc      []byte                                     // of the sound; nil: no track
	clock    func(at time.Duration) time.Duration       // what the sound says instead of at
	length   time.Duration                              // of sound without pictures
	held     func(at time.Duration) bool                // the packager gets no processor
	each     func(g *generation)                        // is called with all that is published
	check    func(t *testing.T, seen *seen)             // what else must be
}

// seen is what a player could have got.
type seen struct {
	lists   map[string][]string // versions of each media playlist
	runs    map[string][]*run   // by rendition
	cuts    int                 // discontinuities in v0
	newest  *generation
	gaps    int // segments of it
	index   string
	longest time.Duration // without anything new
}

// run are parts in a row, between gaps and discontinuities.
type run struct {
	file    []byte
	samples int
	end     uint64
}

// play shows a shot to a packager by a clock that only the test moves, and reads everything that it publishes.
func (c *shot) play(t *testing.T) *seen {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1})
	require.NoError(t, err)
	house := sfu.New(sfu.Config{Port: port})
	ended := make(chan error, 1)
	go func() { ended <- house.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	cfg := Config{SFU: house}
	cfg.defaults()
	st := house.Declare("cam", sfu.Spec{Public: true})
	var tracks []sfu.TrackSpec
	if c.pictures == nil {
		c.pictures = &pictures{}
	} else {
		tracks = append(tracks, sfu.TrackSpec{Config: media.Config{Codec: c.pictures.codec, ClockRate: 90000}})
	}
	if c.asc != nil {
		tracks = append(tracks, sfu.TrackSpec{Config: media.Config{Codec: media.AAC, ClockRate: 48000, Channels: int(c.asc[1] >> 3 & 15), ASC: c.asc}})
	}
	_, writers, err := st.Begin(sfu.SessionOptions{Pushed: true, Name: "test", Tracks: tracks})
	require.NoError(t, err)

	began := time.Now().Add(time.Second)
	p := newPackager(&cfg, st, newNumbers("", cfg.Log))
	s := &seen{lists: map[string][]string{}, runs: map[string][]*run{}}
	reader := &reading{seen: s, next: map[string]cursor{}}
	frame := time.Second / time.Duration(c.fps)
	if c.when == nil {
		c.when = func(i int) time.Duration { return time.Duration(i) * frame }
	}
	end := max(c.length, c.when(len(c.pictures.units)))
	var e *epoch
	var layers []*sfu.Layer
	last, sounds := time.Duration(0), int64(0)
	for i, step := 0, time.Duration(0); step < end; step += 20 * time.Millisecond {
		for ; i < len(c.pictures.units) && c.when(i) <= step; i++ {
			at := c.when(i)
			shown := at
			if c.order != nil {
				shown = time.Duration(c.order(i)) * frame
			}
			if c.stamp != nil {
				shown = c.stamp(i, shown)
			}
			if c.drop == nil || !c.drop(i) {
				require.NoError(t, writers[0].Write(sfu.Unit{Parts: c.pictures.units[i], PTS: int64(shown) * 90 / 1e6, Arrival: began.Add(at)}))
			}
		}
		for ; c.asc != nil && time.Duration(sounds)*time.Second/48000 <= step; sounds += 1024 {
			if at := time.Duration(sounds) * time.Second / 48000; c.sound == nil || c.sound(at) {
				said := at
				if c.clock != nil {
					said = c.clock(at)
				}
				require.NoError(t, writers[len(writers)-1].Write(sfu.Unit{Parts: [][]byte{c.frame(sounds / 1024)}, PTS: sounds + int64(said-at)*48/1e6, Arrival: began.Add(at)}))
			}
		}
		now := began.Add(step)
		if e == nil {
			if layers, _ = pick(st); len(layers) == 0 {
				continue
			}
			if e = p.open(layers, now); e == nil {
				continue
			}
		}
		if c.held != nil && c.held(step) {
			continue
		}
		e.advance(now)
		if !e.changed() || !e.long() {
			continue
		}
		g := e.publish(false)
		if s.newest != nil {
			s.longest = max(s.longest, step-last)
		}
		s.newest, last = g, step
		reader.take(t, g)
		if c.each != nil {
			c.each(g)
		}
	}
	require.NotNil(t, s.newest, "nothing was published")
	s.longest = max(s.longest, end-last)
	require.Empty(t, e.boundaries[min(3, len(e.boundaries)):], "no follower is left behind")
	return s
}

func (c *shot) frame(n int64) []byte {
	if c.frames == nil {
		return []byte{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}
	}
	return c.frames[n%int64(len(c.frames))]
}

// surround are frames of six channels, for which this package knows no silence.
func surround(t *testing.T) (frames [][]byte) {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "anoisesrc=r=48000:a=.1,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0", "-t", "1", "-c:a", "aac", "-f", "adts", "-").Output()
	require.NoError(t, err)
	for len(out) > 7 {
		n := int(out[3]&3)<<11 | int(out[4])<<3 | int(out[5])>>5
		frames, out = append(frames, out[7:n]), out[n:]
	}
	return frames
}

// reading is a player that takes every part.
type reading struct {
	seen *seen
	next map[string]cursor
}

func (r *reading) take(t *testing.T, g *generation) {
	t.Helper()
	r.seen.index = string(g.index.plain)
	for _, v := range g.views {
		r.seen.lists[v.id] = append(r.seen.lists[v.id], string(v.full.plain))
		c := r.next[v.id]
		for _, s := range v.segments {
			if s.msn < c.msn {
				continue
			}
			if s.msn > c.msn {
				c = cursor{msn: s.msn}
				if s.cut && v.id == "v0" {
					r.seen.cuts++
				}
				if s.gap && v.id == "v0" {
					r.seen.gaps++
				}
				if s.cut || s.gap || len(r.seen.runs[v.id]) == 0 {
					r.begin(v, s)
				}
			}
			for ; c.part < len(s.parts); c.part++ {
				r.part(t, v, s, &s.parts[c.part])
			}
		}
		r.next[v.id] = c
	}
}

func (r *reading) begin(v *view, s *segment) {
	r.seen.runs[v.id] = append(r.seen.runs[v.id], &run{file: slices.Clone(v.inits[s.init])})
}

// part looks at a chunk with a reader that did not write it: it begins where the one before ended.
func (r *reading) part(t *testing.T, v *view, s *segment, p *part) {
	t.Helper()
	if p.gap {
		r.begin(v, s)
		return
	}
	runs := r.seen.runs[v.id]
	k := runs[len(runs)-1]
	if k.samples == 0 { // a gap's successor may have another configuration
		k.file = slices.Clone(v.inits[s.init])
	}
	f, err := mp4.DecodeFile(bytes.NewReader(append(slices.Clone(v.inits[s.init]), p.body...)))
	require.NoError(t, err)
	frag := f.Segments[0].Fragments[0]
	at := frag.Moof.Traf.Tfdt.BaseMediaDecodeTime()
	if k.samples > 0 {
		require.Equal(t, k.end, at, "%s %d: a part does not begin where the one before ended", v.id, s.msn)
	}
	samples, err := frag.GetFullSamples(f.Init.Moov.Mvex.Trex)
	require.NoError(t, err)
	for _, x := range samples {
		require.Positive(t, x.Dur)
		require.Less(t, x.Dur, uint32(10*90000))
		at += uint64(x.Dur)
	}
	k.file, k.samples, k.end = append(k.file, p.body...), k.samples+len(samples), at
}

// Whatever a camera does: players get what the specification asks for, FFmpeg decodes every part, and something new comes before they give up.
func TestBadInput(t *testing.T) {
	usual := encode(t, media.H264, 400, 25, "160x90", "keyint=50:min-keyint=50:bframes=0") // fails here when there is no FFmpeg
	sizes := encode(t, media.H264, 50, 25, "176x144", "keyint=50:bframes=0").then(&pictures{units: usual.units[:50], key: usual.key[:50]})
	stereo := []byte{0x11, 0x90}
	between := func(from, to int) func(int) bool { return func(i int) bool { return i >= from && i < to } }
	from := func(n int, by time.Duration) func(int, time.Duration) time.Duration {
		return func(i int, d time.Duration) time.Duration {
			if i >= n {
				d += by
			}
			return d
		}
	}
	noGaps := func(t *testing.T, s *seen) {
		require.Equal(t, gapsAhead, s.gaps)
		require.Zero(t, s.cuts)
		require.Less(t, s.longest, 2*time.Second)
	}
	for name, c := range map[string]shot{
		"nothing":            {pictures: usual, fps: 25, asc: stereo, check: noGaps},
		"GOP of ten seconds": {pictures: encode(t, media.H264, 620, 25, "160x90", "keyint=250:min-keyint=250:bframes=0"), fps: 25, asc: stereo, check: noGaps},
		"GOP of no length":   {pictures: encode(t, media.H264, 620, 25, "160x90", "keyint=600:min-keyint=1:bframes=0", 30, 41, 140, 300, 305, 310, 480), fps: 25, check: noGaps},
		"one keyframe":       {pictures: encode(t, media.H264, 600, 25, "160x90", "keyint=2000:bframes=0"), fps: 25, asc: stereo, check: noGaps},
		"only keyframes":     {pictures: encode(t, media.H264, 300, 25, "160x90", "keyint=1:bframes=0"), fps: 25, check: noGaps},
		"B-frames": {
			pictures: encode(t, media.H264, 400, 25, "160x90", "keyint=50:min-keyint=50:bframes=2:b-adapt=0:b-pyramid=0:open-gop=0"), fps: 25, asc: stereo,
			order: func(i int) int { return int((&clip{}).position(i%50, true)) + i/50*50 }, check: noGaps,
		},
		"five a second":             {pictures: encode(t, media.H264, 120, 5, "160x90", "keyint=10:min-keyint=10:bframes=0"), fps: 5, asc: stereo, check: noGaps},
		"sixty a second":            {pictures: encode(t, media.H264, 700, 60, "160x90", "keyint=90:min-keyint=90:bframes=0"), fps: 60, check: noGaps},
		"H.265":                     {pictures: encode(t, media.H265, 300, 25, "160x90", "keyint=50:min-keyint=50:bframes=0"), fps: 25, asc: stereo, drop: between(190, 200), check: noGaps},
		"five a second in the dark": {pictures: usual, fps: 25, when: func(i int) time.Duration { return time.Duration(i+max(0, min(i-150, 40))*4) * 40 * time.Millisecond }, check: noGaps},
		"jitter":                    {pictures: usual, fps: 25, asc: stereo, stamp: func(i int, d time.Duration) time.Duration { return d + time.Duration(i*7919%31-15)*time.Millisecond }, check: noGaps},
		"coarse clock": {pictures: usual, fps: 25, stamp: func(_ int, d time.Duration) time.Duration {
			return d / (100 * time.Millisecond) * (100 * time.Millisecond)
		}, check: noGaps},
		"one missing":                    {pictures: usual, fps: 25, asc: stereo, drop: func(i int) bool { return i == 170 }, check: noGaps},
		"some missing":                   {pictures: usual, fps: 25, asc: stereo, drop: between(170, 182), check: noGaps},
		"some missing before a keyframe": {pictures: usual, fps: 25, asc: stereo, drop: between(190, 200), check: noGaps},
		"missing here and there":         {pictures: usual, fps: 25, drop: func(i int) bool { return i > 110 && i%13 == 0 && i%50 != 0 }, check: noGaps},
		"three seconds missing":          {pictures: usual, fps: 25, asc: stereo, drop: between(170, 250), check: func(t *testing.T, s *seen) { require.Greater(t, s.gaps, gapsAhead) }},
		"a keyframe missing":             {pictures: usual, fps: 25, drop: func(i int) bool { return i == 200 }, check: noGaps},
		"clock ahead a little":           {pictures: usual, fps: 25, asc: stereo, stamp: from(170, 700*time.Millisecond), check: noGaps},
		"clock ahead":                    {pictures: usual, fps: 25, asc: stereo, stamp: from(170, 2700*time.Millisecond)},
		"clock ahead an hour":            {pictures: usual, fps: 25, asc: stereo, stamp: from(170, time.Hour)},
		"clock back a little":            {pictures: usual, fps: 25, asc: stereo, stamp: from(170, -700*time.Millisecond)},
		"clock back an hour":             {pictures: usual, fps: 25, asc: stereo, stamp: from(170, -time.Hour)},
		"clock stands":                   {pictures: usual, fps: 25, stamp: func(i int, d time.Duration) time.Duration { return min(d, 6800*time.Millisecond) }},
		"clock to and fro":               {pictures: usual, fps: 25, stamp: func(i int, d time.Duration) time.Duration { return d + time.Duration(i/60%2)*5*time.Second }},
		"declared sound never comes":     {pictures: usual, fps: 25, asc: stereo, sound: func(time.Duration) bool { return false }, check: noGaps},
		"sound stops":                    {pictures: usual, fps: 25, asc: stereo, sound: func(at time.Duration) bool { return at < 7*time.Second }, check: noGaps},
		"sound comes and goes":           {pictures: usual, fps: 25, asc: stereo, sound: func(at time.Duration) bool { return at/(1700*time.Millisecond)%2 == 0 }, check: noGaps},
		"sound's clock back a little":    {pictures: usual, fps: 25, asc: stereo, clock: func(at time.Duration) time.Duration { return at - at/(7*time.Second)*500*time.Millisecond }, check: noGaps},
		"nothing but sound":              {length: 16 * time.Second, fps: 25, asc: stereo},
		"nothing but sound, clock back":  {length: 16 * time.Second, fps: 25, asc: stereo, clock: func(at time.Duration) time.Duration { return at - at/(7*time.Second)*500*time.Millisecond }},
		"surround sound stops":           {pictures: usual, fps: 25, asc: []byte{0x11, 0xb0}, frames: surround(t), sound: func(at time.Duration) bool { return at < 7*time.Second || at > 12*time.Second }},
		"another size": {
			pictures: usual.then(encode(t, media.H264, 200, 25, "176x144", "keyint=50:min-keyint=50:bframes=0")), fps: 25, asc: stereo,
			check: func(t *testing.T, s *seen) {
				require.Equal(t, 1, s.cuts)
				require.Contains(t, s.index, "RESOLUTION=176x144")
			},
		},
		"one size and another": {pictures: usual.then(sizes).then(sizes).then(sizes), fps: 25, check: func(t *testing.T, s *seen) {
			require.Equal(t, 6, s.cuts)
			require.Len(t, s.newest.views[0].inits, 2, "an encoder's two configurations")
		}},
		"another size for a moment": {
			pictures: usual.then(encode(t, media.H264, 7, 25, "176x144", "keyint=50:bframes=0")).then(usual), fps: 25, asc: stereo,
			check: func(t *testing.T, s *seen) { require.Equal(t, 2, s.cuts) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.play(t)
			require.Less(t, s.longest, awayAfter+1500*time.Millisecond, "nothing new for so long")
			for id, versions := range s.lists {
				for _, f := range conform.Lists(id+".m3u8", versions...).Findings {
					t.Errorf("%s: %s: %s", f.Where, f.Text, f.Detail)
				}
			}
			for id, runs := range s.runs {
				for _, k := range runs {
					if k.samples > 0 {
						if n := decode(t, k.file, id[:1]); c.drop == nil { // a decoder may leave out what it has no reference for
							require.Equal(t, k.samples, n, id)
						}
					}
				}
			}
			if c.check != nil {
				c.check(t, s)
			}
		})
	}
}
