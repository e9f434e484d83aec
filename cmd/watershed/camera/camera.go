// Package camera is a farm of synthetic RTSP cameras: what tests, benchmarks and the demo look at, and what fails on demand.
//
// Every picture carries its number, so that delay can be read back from a screen. In the lower left corner are 14 cells in a row, each 1/30
// of the picture's height wide and high, one cell from the left and from the bottom: white, black, ten bits of the number (most significant
// first), a bit that makes the number of ones among these eleven odd, white. A camera shows number n when the wall clock is at
// n × 40 ms, modulo the clip's 8 s, plus the camera's phase; camera 0 has phase 0 and shift 0, see Info.
package camera

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"
)

// Fault is what is wrong with a camera. The zero value is a camera that works.
type Fault struct {
	Stop        bool    `json:"stop"`        // refuses every session and ends those it has
	Freeze      bool    `json:"freeze"`      // keeps its sessions, sends nothing
	Drop        float64 `json:"drop"`        // fraction of packets never sent
	NoKeyframes bool    `json:"noKeyframes"` // leaves keyframes out
	Clip        string  `json:"clip"`        // shows another clip: other resolution, or "bframes"
	Jump        float64 `json:"jump"`        // seconds added to timestamps at once
	MaxSessions int     `json:"maxSessions"` // refuses further ones; 0 is no limit
}

// Info tells how to read a camera's pictures.
type Info struct {
	Name     string  `json:"name"`
	Clip     string  `json:"clip"`
	Audio    string  `json:"audio"`
	FPS      int     `json:"fps"`
	Frames   int     `json:"frames"`   // in the loop
	Shift    int     `json:"shift"`    // picture shown at wall clock 0 modulo the loop
	PhaseMS  float64 `json:"phaseMs"`  // delay of each picture after a multiple of 40 ms
	Sessions int     `json:"sessions"` // that are playing
	Opened   int     `json:"opened"`   // since the start
	Fault    Fault   `json:"fault"`
}

// Camera is one of a farm.
type Camera struct {
	name  string
	index int
	farm  *Farm
	phase time.Duration
	shift int

	mu       sync.Mutex // guards what follows
	fault    Fault
	clipName string
	clip     *clip
	sound    *sound // nil: none
	stream   *gortsplib.ServerStream
	medias   *description.Session
	sessions map[*gortsplib.ServerSession]struct{}
	opened   int
}

const frameTime = time.Second / FPS

func newCamera(f *Farm, i int, name, clipName string, c *clip) *Camera {
	return &Camera{
		name: name, index: i, farm: f, clip: c, clipName: clipName,
		phase: time.Duration(i*7919) * time.Microsecond % frameTime, shift: i * 37 % Frames,
		sessions: map[*gortsplib.ServerSession]struct{}{},
	}
}

// open makes the stream that sessions read, for the clip in force.
func (c *Camera) open() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.medias = &description.Session{Title: c.name, Medias: []*description.Media{{
		Type:    description.MediaTypeVideo,
		Formats: []format.Format{&format.H264{PayloadTyp: 96, SPS: c.clip.sps, PPS: c.clip.pps, PacketizationMode: 1}},
	}}}
	if c.sound != nil {
		c.medias.Medias = append(c.medias.Medias, &description.Media{Type: description.MediaTypeAudio, Formats: []format.Format{c.sound.format}})
	}
	c.stream = &gortsplib.ServerStream{Server: c.farm.server, Desc: c.medias}
	return c.stream.Initialize()
}

// Info of the camera now.
func (c *Camera) Info() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Info{
		Name: c.name, Clip: c.clipName, Audio: c.farm.audio(c.index), FPS: FPS, Frames: Frames, Shift: c.shift, PhaseMS: float64(c.phase) / 1e6,
		Sessions: len(c.sessions), Opened: c.opened, Fault: c.fault,
	}
}

// Set puts a fault into force, or ends all with the zero Fault.
func (c *Camera) Set(f Fault) error {
	var next *clip
	if f.Clip != "" {
		var err error
		if next, err = c.farm.clip(f.Clip); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.fault = f
	if next != nil {
		c.clip, c.clipName = next, f.Clip
	}
	var end []*gortsplib.ServerSession
	if f.Stop {
		for s := range c.sessions {
			end = append(end, s)
		}
	}
	c.mu.Unlock()
	for _, s := range end {
		s.Close()
	}
	return nil
}

// lateLimit is how far behind the wall clock a camera may be: further, the clock was set or the machine slept.
const lateLimit = 2 * time.Second

// run sends pictures by the wall clock until done is closed. A busy machine makes them late; none is left out, because those that follow
// are made from it.
func (c *Camera) run(done <-chan struct{}) {
	s := sender{camera: c, seq: uint16(rand.Uint32()), ssrc: rand.Uint32(), base: rand.Uint32()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n, at := c.nextFrame(time.Now()); ; n, at = n+1, at.Add(frameTime) {
		wait := time.Until(at)
		if wait.Abs() > lateLimit {
			n, at = c.nextFrame(time.Now())
			wait = time.Until(at)
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
			s.send(n, at)
		case <-done:
			return
		}
	}
}

// nextFrame is the number of frames since 1970 that is due next, and when.
func (c *Camera) nextFrame(now time.Time) (n int64, at time.Time) {
	n = (now.UnixNano()-int64(c.phase))/int64(frameTime) + 1
	return n, time.Unix(0, n*int64(frameTime)+int64(c.phase))
}

// sender is a camera's RTP state.
type sender struct {
	camera *Camera
	seq    uint16
	ssrc   uint32
	base   uint32
}

func (s *sender) send(n int64, at time.Time) {
	c := s.camera
	c.mu.Lock()
	fault, clip, stream, medias, idle := c.fault, c.clip, c.stream, c.medias, len(c.sessions) == 0
	c.mu.Unlock()
	i := int((n + int64(c.shift)) % Frames)
	f := &clip.frames[i]
	if idle || fault.Stop || fault.Freeze || f.key && fault.NoKeyframes {
		return
	}
	ts := s.base + uint32((n+int64(f.pts-i))*90000/FPS) + uint32(fault.Jump*90000)
	for _, p := range f.packets {
		s.seq++
		if fault.Drop > 0 && rand.Float64() < fault.Drop {
			continue
		}
		out := rtp.Packet{Header: p.Header, Payload: p.Payload}
		out.SequenceNumber, out.Timestamp, out.SSRC = s.seq, ts, s.ssrc
		stream.WritePacketRTPWithNTP(medias.Medias[0], &out, at) // a slow reader is the library's to close
	}
}
