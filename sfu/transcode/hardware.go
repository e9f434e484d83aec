package transcode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"watershed/sfu/id"
	"watershed/sfu/transcode/nut"
)

// choice of the encoder for pictures. That FFmpeg lists an encoder says nothing about the machine, so the first who needs one waits until those whose
// device is there have been tried: a node that converts no pictures starts no process for it, and one without such devices waits for nothing.
type choice struct {
	ffmpeg *FFmpeg
	log    *slog.Logger
	glob   func(pattern string) ([]string, error) // finds files
	limit  time.Duration                          // of a trial
	turn   chan struct{}                          // holds a token while somebody looks for hardware; guards found and told
	found  *encoder                               // nil: none yet
	told   string                                 // to the log last

	mu     sync.Mutex              // guards what follows
	rests  time.Time               // until then hardware is not tried
	spared map[id.Stream]time.Time // streams that hardware failed at, and until when software makes their pictures
}

func newChoice(f *FFmpeg, log *slog.Logger) *choice {
	return &choice{ffmpeg: f, log: log, glob: filepath.Glob, limit: tryTime, turn: make(chan struct{}, 1), spared: map[id.Stream]time.Time{}}
}

// How long failures are remembered. What one stream met, such as the most sessions that a driver allows, the next would meet, too, and may be gone after
// minutes; what happens to one stream again is in its pictures, such as a size that the device does not take.
const (
	restTime  = 5 * time.Minute
	spareTime = time.Hour
)

// encoder for a stream's pictures.
func (c *choice) encoder(ctx context.Context, stream id.Stream) *encoder {
	if !c.allowed(stream, time.Now()) {
		return software
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return software
	}
	if c.found == nil && c.allowed(stream, time.Now()) { // nobody has looked while this one waited
		c.look(ctx)
	}
	if c.found == nil {
		return software
	}
	return c.found
}

func (c *choice) allowed(stream id.Stream, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.After(c.rests) && now.After(c.spared[stream])
}

// blame hardware for what software has just done with the same stream.
func (c *choice) blame(stream id.Stream, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rests = now.Add(restTime)
	for s, until := range c.spared {
		if now.After(until) {
			delete(c.spared, s)
		}
	}
	c.spared[stream] = now.Add(spareTime)
}

// look for hardware that works. When there is none it is looked for again after a rest, because a device may be busy or come back.
func (c *choice) look(ctx context.Context) {
	var why []string
	for _, e := range hardware() {
		if !c.ffmpeg.encoders[e.name] {
			continue
		}
		devices := c.devices(&e)
		if len(devices) == 0 {
			why = append(why, e.name+" has no device here")
		}
		for _, d := range devices {
			e := e.on(d)
			err := c.ffmpeg.try(ctx, e, c.limit)
			if ctx.Err() != nil { // nobody knows
				return
			}
			if err == nil {
				c.found = e
				c.tell(e, why)
				return
			}
			why = append(why, fmt.Sprintf("%v fails: %v", e, err))
		}
	}
	if len(why) == 0 {
		why = []string{"this FFmpeg was built without hardware encoders"}
	}
	c.mu.Lock()
	c.rests = time.Now().Add(restTime)
	c.mu.Unlock()
	c.tell(software, why)
}

// tell the log what makes pictures from now on, and what is wrong with better ones, unless it knows.
func (c *choice) tell(e *encoder, why []string) {
	if c.told == e.String() {
		return
	}
	c.told = e.String()
	c.log.Info("encoder for pictures", "encoder", e, "others", strings.Join(why, "; "))
}

// devices on which an encoder may work: several only if it can be told which one to take.
func (c *choice) devices(e *encoder) (found []string) {
	for _, pattern := range e.signs {
		files, _ := c.glob(pattern) // fails only on a bad pattern
		found = append(found, files...)
	}
	if len(found) > 1 && e.on(found[0]).device == "" {
		found = found[:1]
	}
	return found
}

// tryTime is for a driver that hangs. A machine that has just been started takes ten seconds and more to load FFmpeg's libraries.
const tryTime = 15 * time.Second

var errHangs = errors.New("it hangs")

// try encodes a few pictures by an encoder, and says what is wrong with the result. It returns in time even if the driver does not: a process
// that hangs in the kernel cannot be killed, and is left behind.
func (f *FFmpeg) try(ctx context.Context, e *encoder, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- f.tryOut(ctx, e) }()
	select {
	case err := <-result:
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return errHangs
		}
		return err
	case <-time.After(limit + 5*time.Second):
		return errHangs
	}
}

// What is made when an encoder is tried: so many pictures, and a keyframe on demand.
const (
	tried    = 12
	demanded = 5
)

// tryArgs are the command line that tries an encoder, as conversions use it.
func (f *FFmpeg) tryArgs(e *encoder) []string {
	const w, h = 640, 360
	return slices.Concat(e.global, []string{"-f", "lavfi", "-i", fmt.Sprintf("testsrc=s=%dx%d:r=25", w, h), "-vf", "format=yuv420p" + e.upload, "-frames:v", strconv.Itoa(tried)},
		f.videoOutput(), e.args(w*h), e.rateArgs(":v", bitrate(w, h, 25)), []string{"-g", "600", "-force_key_frames", fmt.Sprintf("expr:eq(n,%d)", demanded)}, outputArgs)
}

func (f *FFmpeg) tryOut(ctx context.Context, e *encoder) error {
	child, err := f.start(ctx, confinement{niceness: niceness, device: e.hard()}, f.tryArgs(e))
	if err != nil {
		return err
	}
	child.close()
	wrong := check(child.out)
	io.Copy(io.Discard, child.out)
	err = child.wait()
	var failure *Failure
	if errors.As(err, &failure) && failure.Words != "" {
		return errors.New(failure.Words)
	}
	return cmp.Or(err, wrong)
}

// check reads what an encoder made when it was tried, and says what of it viewers would not bear.
func check(made io.Reader) error {
	r, err := nut.NewReader(made)
	if err != nil {
		return fmt.Errorf("it made nothing: %w", err)
	}
	first := annexB(r.Streams()[0].Extra)
	last := int64(-1)
	for n := range tried {
		frame, err := r.Next()
		if err != nil {
			return fmt.Errorf("it made %d pictures of %d: %w", n, tried, err)
		}
		units := annexB(frame.Data)
		if frame.PTS <= last {
			return errors.New("it makes pictures out of order")
		}
		if (n == 0 || n == demanded) && !has(units, h264.NALUTypeIDR) {
			return fmt.Errorf("picture %d is no keyframe, though one was demanded", n)
		}
		if n == 0 {
			first = append(first, units...)
		}
		last = frame.PTS
	}
	if !baseline(first) {
		return errors.New("it makes a profile that not every browser decodes")
	}
	return nil
}

func has(units [][]byte, t h264.NALUType) bool {
	return slices.ContainsFunc(units, func(u []byte) bool { return len(u) > 0 && h264.NALUType(u[0]&0x1f) == t })
}

// baseline reports whether a keyframe brings its parameter sets, and they are of that profile.
func baseline(units [][]byte) bool {
	for _, u := range units {
		var s h264.SPS
		if len(u) > 0 && h264.NALUType(u[0]&0x1f) == h264.NALUTypeSPS && s.Unmarshal(u) == nil {
			return s.ProfileIdc == 66
		}
	}
	return false
}
