package camera

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"watershed/sfu/transcode/nut"
)

// Sounds that a camera can make, beside "none".
var soundNames = []string{"pcmu", "opus", "aac"}

// Loop is the length of every clip.
const Loop = Frames * time.Second / FPS

// Tone is what every camera's sound is made of: the sample, between -1 and 1, at t seconds of the loop. It is a quiet chord that swells, and a tick of
// 20 ms at every whole second: where the picture's number is a multiple of 25.
func Tone(t float64) float64 {
	if math.Mod(t, 1) < .02 {
		return .6 * math.Sin(2*math.Pi*900*t)
	}
	v := 0.
	for i, f := range []float64{110, 165, 220.125, 277.25} { // whole numbers of periods in 8 s
		v += .03 * math.Sin(2*math.Pi*f*t) * (1 + .8*math.Sin(2*math.Pi*t/8*float64(i+1)))
	}
	return v
}

// sound is a loop of audio packets, made once for all cameras that have it.
type sound struct {
	format   format.Format
	rate     int           // samples a second
	samples  int           // in a packet
	marker   bool          // of each packet: AAC's says that its frames are whole (RFC 3640 section 3.1)
	early    time.Duration // how long before the loop's start the first packet begins: what its encoder looked ahead
	payloads [][]byte      // RTP payloads; together as long as the loop
}

func loadSound(name string) (*sound, error) {
	switch name {
	case "pcmu":
		return pcmu()
	case "opus":
		s := &sound{format: &format.Opus{PayloadTyp: 97, ChannelCount: 1}, rate: 48000, samples: 960}
		return s, s.load("clips/sound.opus.nut", func(p []byte) []byte { return p })
	case "aac":
		cfg := &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 1}
		s := &sound{
			format: &format.MPEG4Audio{PayloadTyp: 97, Config: cfg, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3},
			rate:   48000, samples: 1024, marker: true,
		}
		return s, s.load("clips/sound.aac.nut", oneAU)
	}
	return nil, fmt.Errorf("no sound %q: there are none and %v", name, soundNames)
}

// oneAU is the RTP payload of one AAC frame: the size of the headers in bits, and one header with the size in bytes (RFC 3640 section 3.3.6).
func oneAU(p []byte) []byte {
	return append([]byte{0, 16, byte(len(p) >> 5), byte(len(p) << 3)}, p...)
}

func pcmu() (*sound, error) {
	s := &sound{format: &format.G711{PayloadTyp: 0, MULaw: true, SampleRate: 8000, ChannelCount: 1}, rate: 8000, samples: 160}
	const samples = int(Loop / time.Second * 8000)
	pcm := make([]byte, 0, 2*samples)
	for i := range samples {
		v := int16(Tone(float64(i)/8000) * math.MaxInt16)
		pcm = append(pcm, byte(v>>8), byte(v))
	}
	all, err := g711.Mulaw(pcm).Marshal()
	for len(all) > 0 {
		s.payloads = append(s.payloads, all[:s.samples])
		all = all[s.samples:]
	}
	return s, err
}

// load reads a clip that gen.go made: one loop, which begins at its second 1.
func (s *sound) load(file string, payload func([]byte) []byte) error {
	data, err := clipFiles.ReadFile(file)
	if err != nil {
		return err
	}
	r, err := nut.NewReader(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if s.payloads == nil {
			s.early = s.duration(int64(s.rate) - f.PTS)
		}
		s.payloads = append(s.payloads, payload(f.Data))
	}
	if got := s.duration(int64(len(s.payloads) * s.samples)); got != Loop {
		return fmt.Errorf("%s is %v long, not %v", file, got, Loop)
	}
	return nil
}

func (s *sound) duration(samples int64) time.Duration {
	return time.Duration(samples) * time.Second / time.Duration(s.rate)
}

// soundSender is the RTP state of a camera's sound.
type soundSender struct {
	camera *Camera
	sound  *sound
	origin int64 // Unix nanoseconds at which some loop began
	seq    uint16
	ssrc   uint32
	base   uint32
}

func newSoundSender(c *Camera) *soundSender {
	return &soundSender{
		camera: c, sound: c.sound, origin: int64(c.phase) - int64(c.shift)*int64(frameTime) - int64(c.sound.early),
		seq: uint16(rand.Uint32()), ssrc: rand.Uint32(), base: rand.Uint32(),
	}
}

// at is when packet k since the origin begins.
func (s *soundSender) at(k int64) time.Time {
	n := int64(len(s.sound.payloads))
	return time.Unix(0, s.origin+k/n*int64(Loop)+int64(s.sound.duration(k%n*int64(s.sound.samples))))
}

// next is the first packet that begins after now.
func (s *soundSender) next(now time.Time) int64 {
	n := int64(len(s.sound.payloads))
	k := (now.UnixNano() - s.origin) / int64(Loop) * n
	for !s.at(k).After(now) {
		k++
	}
	return k
}

// run sends sound by the wall clock until done is closed.
func (s *soundSender) run(done <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for k := s.next(time.Now()); ; k++ {
		if time.Until(s.at(k)).Abs() > lateLimit {
			k = s.next(time.Now())
		}
		timer.Reset(time.Until(s.at(k)))
		select {
		case <-timer.C:
			s.send(k)
		case <-done:
			return
		}
	}
}

func (s *soundSender) send(k int64) {
	c := s.camera
	c.mu.Lock()
	fault, stream, medias, idle := c.fault, c.stream, c.medias, len(c.sessions) == 0
	c.mu.Unlock()
	if idle || fault.Stop || fault.Freeze {
		return
	}
	s.seq++
	if fault.Drop > 0 && rand.Float64() < fault.Drop {
		return
	}
	out := rtp.Packet{
		Header: rtp.Header{
			Version: 2, Marker: s.sound.marker, PayloadType: s.sound.format.PayloadType(), SequenceNumber: s.seq, SSRC: s.ssrc,
			Timestamp: s.base + uint32(k*int64(s.sound.samples)) + uint32(int64(fault.Jump*float64(s.sound.rate))),
		},
		Payload: s.sound.payloads[k%int64(len(s.sound.payloads))],
	}
	stream.WritePacketRTPWithNTP(medias.Medias[1], &out, s.at(k))
}
