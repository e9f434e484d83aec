package transcode

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/media"
	"watershed/sfu/transcode/nut"
)

// Still is a picture of a stream.
type Still struct {
	JPEG []byte    // long side at most 640 pixels
	Time time.Time // server time of the frame
	ETag string    // differs when the bytes do; with quotes, as HTTP wants it

	taken time.Time
	frame *media.Config // which encoding, and
	pts   int64         // which frame of it
}

// Errors of stills.
var (
	ErrNoPicture = errors.New("the stream has not shown a picture yet")
	ErrPast      = errors.New("nothing is kept of that time")
	ErrBusy      = errors.New("more pictures are asked for than are made, two a second; ask again in a few seconds")
)

// Stills keeps a picture of each stream that somebody asks for. One decoder makes them all, two a second at most.
//
// A process for each picture costs its start, most of the time that a picture takes (BenchmarkStill). One process for all would save that, but an
// encoder keeps the size of its first picture and a decoder the faults of the last one, so it would not live long among streams that differ.
type Stills struct {
	ffmpeg *FFmpeg
	log    *slog.Logger
	orders chan *order

	// Recorded finds the last keyframe at or before a time among what is no longer in memory, and tells its time; load reads it. nil: nothing is
	// recorded. It is set before Run.
	Recorded func(name id.Stream, t time.Time) (at time.Time, load func() (*media.Frame, error), ok bool)

	mu   sync.Mutex // guards what follows, and the fields of views and of orders of the past
	all  map[id.Stream]*view
	past map[moment]*order // made, or in line
	made []moment          // of past, the oldest first
}

// moment is a keyframe of a stream by its server time.
type moment struct {
	stream  id.Stream
	created int64 // Unix nanoseconds: a stream of the same name that was declared anew is another
	at      int64 // Unix nanoseconds
}

// view is what is kept of one stream.
type view struct {
	created time.Time // of the stream: one of the same name that was declared anew is another
	asked   time.Time
	tried   time.Time
	still   *Still // the newest
	err     error  // of the last try
	order   *order // under way, or nil
}

// order is one picture to make.
type order struct {
	stream *sfu.Stream
	load   func() (*media.Frame, error) // of a frame of the past; nil: the newest keyframe when its turn has come
	moment moment                       // of the past
	waits  int                          // who waits for one of the past; nobody else wants it
	done   chan struct{}
	still  *Still
	err    error
}

// How pictures are kept fresh.
const (
	pace      = 500 * time.Millisecond // between two pictures of the node
	freshFor  = 10 * time.Second       // no stream's picture is made anew before
	goodFor   = time.Minute            // an older one is shown only if no new one comes in time
	patience  = 5 * time.Second        // that a request waits
	orderRoom = 256                    // requests in line: two minutes, longer than anybody's patience
	views     = 4096                   // streams of which a picture is kept, some 40 kB each
	moments   = 1024                   // pictures of the past that are kept
)

// NewStills returns an empty collection; Run makes the pictures.
func NewStills(f *FFmpeg, log *slog.Logger) *Stills {
	return &Stills{ffmpeg: f, log: log, orders: make(chan *order, orderRoom), all: map[id.Stream]*view{}, past: map[moment]*order{}}
}

// Run makes pictures until ctx ends.
func (s *Stills) Run(ctx context.Context) error {
	for {
		select {
		case o := <-s.orders:
			next := time.After(pace)
			s.make(ctx, o)
			select {
			case <-next:
			case <-ctx.Done():
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Err says why there are no pictures on this node at all, or nil.
func (s *Stills) Err() error { return s.ffmpeg.Err() }

// Picture returns a recent picture of the stream: at once if there is one, and then a newer one is made for the next request. Of a stream
// that is offline it is the last.
func (s *Stills) Picture(ctx context.Context, st *sfu.Stream) (*Still, error) {
	f := newestKeyframe(st)
	s.mu.Lock()
	v := s.view(st)
	now := time.Now()
	v.asked = now
	switch {
	case f == nil:
		defer s.mu.Unlock()
		return v.kept(ErrNoPicture)
	case v.still != nil && (v.still.of(f) || now.Sub(v.still.taken) < freshFor), v.err != nil && now.Sub(v.tried) < freshFor:
		defer s.mu.Unlock()
		return v.kept(v.err)
	}
	o := v.order
	if o == nil {
		o = &order{stream: st, done: make(chan struct{})}
		if err := s.place(o); err != nil {
			defer s.mu.Unlock()
			return v.kept(err)
		}
		v.order = o
	}
	still := v.still
	s.mu.Unlock()
	if still != nil && now.Sub(still.taken) < goodFor {
		return still, nil
	}
	if err := await(ctx, o); err != nil && still == nil {
		return nil, err
	} else if err != nil {
		return still, nil
	}
	return o.still, nil
}

// At returns the picture of the last keyframe at or before a time: one that the stream's ring still holds, or that was recorded.
func (s *Stills) At(ctx context.Context, st *sfu.Stream, t time.Time) (*Still, error) {
	at, load, ok := s.find(st, t)
	if !ok {
		return nil, ErrPast
	}
	m := moment{st.Name, st.Created.UnixNano(), at.UnixNano()}
	s.mu.Lock()
	if v := s.all[st.Name]; v != nil && v.created == st.Created && v.still != nil && v.still.Time.Equal(at) {
		defer s.mu.Unlock()
		return v.still, nil
	}
	o := s.past[m]
	if o == nil {
		o = &order{stream: st, load: load, moment: m, done: make(chan struct{})}
		if err := s.place(o); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		s.past[m] = o
	}
	o.waits++
	s.mu.Unlock()
	err := await(ctx, o)
	s.mu.Lock()
	o.waits--
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return o.still, nil
}

// find the keyframe of a time, in memory or on disk.
func (s *Stills) find(st *sfu.Stream, t time.Time) (at time.Time, load func() (*media.Frame, error), ok bool) {
	if f := keyframeAt(st, t); f != nil {
		return time.Unix(0, f.Server), func() (*media.Frame, error) { return f, nil }, true
	}
	if s.Recorded == nil {
		return at, nil, false
	}
	return s.Recorded(st.Name, t)
}

// place puts an order in line.
func (s *Stills) place(o *order) error {
	if err := s.ffmpeg.Err(); err != nil {
		return err
	}
	select {
	case s.orders <- o:
		return nil
	default:
		return ErrBusy
	}
}

func await(ctx context.Context, o *order) error {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-o.done:
		return o.err
	case <-t.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// view of a stream, made if there is none.
func (s *Stills) view(st *sfu.Stream) *view {
	v := s.all[st.Name]
	if v == nil || v.created != st.Created {
		if len(s.all) >= views {
			s.forgetOldest()
		}
		v = &view{created: st.Created}
		s.all[st.Name] = v
	}
	return v
}

func (s *Stills) forgetOldest() {
	var oldest id.Stream
	for name, v := range s.all {
		if o := s.all[oldest]; o == nil || v.asked.Before(o.asked) {
			oldest = name
		}
	}
	delete(s.all, oldest)
}

// kept is the picture that there is, or the error that explains why there is none.
func (v *view) kept(otherwise error) (*Still, error) {
	if v.still != nil {
		return v.still, nil
	}
	return nil, otherwise
}

// make makes an order's picture and tells who waits.
func (s *Stills) make(ctx context.Context, o *order) {
	f, err := s.frame(o)
	if err == nil {
		o.still, err = s.ffmpeg.still(ctx, f)
	}
	o.err = err
	if err != nil && err != ErrNoPicture && err != errNobody && ctx.Err() == nil {
		s.log.Warn("no picture", "stream", o.stream.Name, "error", err)
	}
	s.mu.Lock()
	if o.load == nil {
		v := s.view(o.stream)
		v.order, v.tried, v.err = nil, time.Now(), o.err
		if o.err == nil {
			v.still = o.still
		}
	} else {
		s.keep(o)
	}
	s.mu.Unlock()
	close(o.done)
}

// errNobody is of an order that its customers did not wait for.
var errNobody = errors.New("nobody waits for this picture any more")

// frame that an order is for.
func (s *Stills) frame(o *order) (*media.Frame, error) {
	if o.load == nil {
		if f := newestKeyframe(o.stream); f != nil {
			return f, nil
		}
		return nil, ErrNoPicture
	}
	s.mu.Lock()
	wanted := o.waits > 0
	if !wanted {
		delete(s.past, o.moment)
	}
	s.mu.Unlock()
	if !wanted {
		return nil, errNobody
	}
	return o.load()
}

// keep a picture of the past for who asks next, and forget the oldest.
func (s *Stills) keep(o *order) {
	if o.err != nil {
		if s.past[o.moment] == o {
			delete(s.past, o.moment)
		}
		return
	}
	o.load = nil // lets go of the frame
	s.made = append(s.made, o.moment)
	if len(s.made) > moments {
		delete(s.past, s.made[0])
		s.made = s.made[1:]
	}
}

// of reports whether the picture shows this frame.
func (s *Still) of(f *media.Frame) bool { return s.frame == f.Config && s.pts == f.PTS }

// decodeTime is how long one picture may take: a 4K keyframe takes 200 ms on one core.
const decodeTime = 5 * time.Second

// stillNiceness: nobody waits for a poster as for a frame.
const stillNiceness = 10

// still decodes one keyframe.
func (f *FFmpeg) still(ctx context.Context, frame *media.Frame) (*Still, error) {
	if err := f.canDecode(frame.Config.Codec); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, decodeTime)
	defer cancel()
	c, err := f.start(ctx, confinement{niceness: stillNiceness}, f.stillArgs(frame.Config))
	if err != nil {
		return nil, err
	}
	var feeding sync.WaitGroup
	feeding.Go(func() {
		defer c.close()
		if w, err := nut.NewWriter(c.in, source(frame.Config)); err == nil {
			w.Write(0, true, parts(frame)...) // what fails here, the child tells
		}
	})
	jpeg, err := io.ReadAll(c.out)
	feeding.Wait()
	if exit := c.wait(); exit != nil {
		return nil, exit
	}
	if err == nil && !bytes.HasPrefix(jpeg, []byte{0xff, 0xd8}) {
		err = &Failure{Exit: errors.New("no picture came out"), Words: c.stderr.String()}
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(jpeg)
	return &Still{
		JPEG: jpeg, Time: time.Unix(0, frame.Server), ETag: `"` + hex.EncodeToString(sum[:12]) + `"`,
		taken: time.Now(), frame: frame.Config, pts: frame.PTS,
	}, nil
}

func (f *FFmpeg) stillArgs(cfg *media.Config) []string {
	const longSide = "scale=w='if(gte(iw,ih),min(640,iw),-2)':h='if(gte(iw,ih),-2,min(640,ih))',format=yuvj420p"
	return append(f.inputArgs(cfg), "-an", "-frames:v", "1", "-vf", longSide, "-c:v", "mjpeg", "-q:v", "5", "-f", "image2pipe", "pipe:1")
}

// pictureLayers are the layers that pictures are taken from: the smallest that is wide enough first, because it is decoded soonest.
func pictureLayers(st *sfu.Stream) (layers []*sfu.Layer) {
	t := st.Track(media.Video)
	if t == nil {
		return nil
	}
	for _, l := range t.Layers() { // best first
		switch {
		case l.Converted:
		case len(layers) > 0 && max(l.Config().Width, l.Config().Height) >= 640:
			layers = append([]*sfu.Layer{l}, layers...)
		default:
			layers = append(layers, l)
		}
	}
	return layers
}

// newestKeyframe that the stream's rings hold, or nil.
func newestKeyframe(st *sfu.Stream) *media.Frame {
	for _, l := range pictureLayers(st) {
		if f := l.Ring().Picture(); f != nil {
			return f
		}
	}
	return nil
}

// keyframeAt is the last keyframe at or before a time, or nil if the rings do not reach so far back.
func keyframeAt(st *sfu.Stream, t time.Time) *media.Frame {
	at := t.UnixNano()
	for _, l := range pictureLayers(st) {
		r := l.Ring()
		for n := r.Next(); n > r.Tail(); n-- {
			f := r.At(n - 1)
			if f != nil && f.Keyframe && f.Server <= at {
				return f
			}
		}
	}
	return nil
}
