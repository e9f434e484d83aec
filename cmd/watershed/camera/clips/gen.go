//go:build ignore

// Gen draws the synthetic cameras' clips and has FFmpeg encode them: go run gen.go (sounds only: go run gen.go sounds). The results are committed, so that
// nobody needs FFmpeg to run a camera.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"

	"watershed/cmd/watershed/camera"
	"watershed/sfu/transcode/nut"
)

type rgb struct{ r, g, b float64 }

func mix(a, b rgb, t float64) rgb {
	t = min(max(t, 0), 1)
	return rgb{a.r + (b.r-a.r)*t, a.g + (b.g-a.g)*t, a.b + (b.b-a.b)*t}
}

type scene struct {
	name          string
	w, h          int
	args          []string
	skyTop, skyLo rgb
	sun           rgb
	sunX, sunY    float64
	hills         []rgb
	water         rgb
	horizon       float64
	grain         float64
	seed          float64
}

const (
	fps    = 25
	frames = 200 // 8 s, a loop: everything that moves has a whole number of periods in it
)

// One GOP is 4 s, as many cameras have it; no B-frames, one slice, constrained rate.
func rate(kbps int, extra ...string) []string {
	return append([]string{
		"-c:v", "libx264", "-preset", "slower", "-profile:v", "high", "-pix_fmt", "yuv420p", "-threads", "1",
		"-b:v", fmt.Sprintf("%dk", kbps), "-maxrate", fmt.Sprintf("%dk", kbps), "-bufsize", fmt.Sprintf("%dk", kbps/2),
		"-x264-params", "keyint=100:min-keyint=100:scenecut=0:bframes=0:aud=1:repeat-headers=1:sliced-threads=0:rc-lookahead=40",
	}, extra...)
}

var scenes = []scene{
	{
		name: "river", w: 1280, h: 720, args: rate(1950), skyTop: rgb{58, 110, 165}, skyLo: rgb{222, 230, 224}, sun: rgb{255, 246, 214}, sunX: .72, sunY: .2,
		hills: []rgb{{126, 150, 168}, {84, 120, 116}, {42, 84, 66}}, water: rgb{70, 120, 140}, horizon: .56, grain: 5, seed: 1,
	},
	{
		name: "coast", w: 640, h: 360, args: rate(240), skyTop: rgb{34, 52, 96}, skyLo: rgb{250, 170, 110}, sun: rgb{255, 220, 150}, sunX: .4, sunY: .44,
		hills: []rgb{{120, 92, 112}, {66, 56, 84}}, water: rgb{92, 78, 110}, horizon: .52, grain: 1.5, seed: 4,
	},
	{
		name: "lake", w: 640, h: 360, args: rate(240), skyTop: rgb{120, 160, 190}, skyLo: rgb{236, 240, 238}, sun: rgb{255, 255, 250}, sunX: .2, sunY: .16,
		hills: []rgb{{176, 190, 196}, {120, 146, 150}, {70, 104, 96}, {30, 62, 48}}, water: rgb{88, 128, 126}, horizon: .6, grain: 1.5, seed: 9,
	},
	{
		name: "bframes", w: 640, h: 360, args: append(rate(220), "-x264-params", "keyint=50:min-keyint=50:scenecut=0:bframes=2:b-adapt=0:b-pyramid=0:aud=1:repeat-headers=1:sliced-threads=0"), skyTop: rgb{90, 84, 120}, skyLo: rgb{214, 200, 214}, sun: rgb{255, 240, 240}, sunX: .6, sunY: .3,
		hills: []rgb{{130, 120, 150}, {84, 84, 110}}, water: rgb{100, 100, 130}, horizon: .55, grain: 1.5, seed: 13,
	},
}

func (s *scene) pixel(x, y, n int) rgb {
	u, v := float64(x)/float64(s.w), float64(y)/float64(s.h)
	a := float64(s.w) / float64(s.h)
	t := 2 * math.Pi * float64(n) / frames
	if v > s.horizon {
		return s.waterAt(u, v, a, t)
	}
	return s.skyAt(u, v, a, t)
}

func (s *scene) skyAt(u, v, a, t float64) rgb {
	c := mix(s.skyTop, s.skyLo, math.Pow(v/s.horizon, 1.3))
	cloud := math.Sin(u*9+s.seed+math.Sin(t)*.12) + math.Sin(v*31+u*5+s.seed*2) + math.Sin(u*17-v*23+math.Cos(t)*.2)
	c = mix(c, rgb{255, 255, 255}, (cloud-1.1)*.22*(1-v/s.horizon))
	d := math.Hypot((u-s.sunX)*a, v-s.sunY)
	c = mix(c, s.sun, math.Exp(-d*7)*.8)
	if d < .035 {
		c = s.sun
	}
	for i, hill := range s.hills {
		f := float64(i)
		top := s.horizon - (.26-.07*f)*(.45+.3*math.Sin(u*(3.1+f)+s.seed*(1+f))+.16*math.Sin(u*(8+3*f)+s.seed*3)+.05*math.Sin(u*(29+7*f)+f)+.02*math.Sin(u*(83+9*f)))
		if v > top {
			c = mix(hill, s.skyLo, .25*(v-top)/(.3))
		}
	}
	for b := range 3 { // birds: their way is one loop
		f := float64(b)
		bx := math.Mod(float64(b)*.3+t/(2*math.Pi)+.1, 1)
		by := .16 + .05*f + .02*math.Sin(2*t+f)
		dx, dy := (u-bx)*a*60, (v-by)*60
		wing := math.Abs(dx) * (.5 + .5*math.Sin(8*t+f*2))
		if math.Abs(dx) < 1.1 && math.Abs(dy+wing*.6) < .16 {
			c = rgb{40, 44, 50}
		}
	}
	return c
}

func (s *scene) waterAt(u, v, a, t float64) rgb {
	depth := (v - s.horizon) / (1 - s.horizon)
	persp := 1 / (depth + .06)
	ripple := math.Sin(persp*7+3*t+math.Sin(u*12)*2) + math.Sin(u*a*14*persp*.25+2*t) + math.Sin(persp*19-u*9+5*t)
	mirror := s.skyAt(u+ripple*.006*depth, s.horizon-(v-s.horizon)*.8-ripple*.006, a, t)
	c := mix(mirror, s.water, .35+.4*depth)
	glint := math.Exp(-math.Abs(u-s.sunX)*a*6) * math.Max(0, ripple-1.2)
	return mix(c, s.sun, glint*.8)
}

func (s *scene) frame(n int) []byte {
	noise := rand.New(rand.NewPCG(uint64(n), uint64(s.seed)))
	out := make([]byte, 0, s.w*s.h*3)
	for y := range s.h {
		for x := range s.w {
			c := s.pixel(x, y, n)
			g := noise.NormFloat64() * s.grain
			if v := counter(n, x, y, s.h); v >= 0 {
				c, g = rgb{v, v, v}, 0
			}
			out = append(out, clamp(c.r+g), clamp(c.g+g), clamp(c.b+g))
		}
	}
	return out
}

func clamp(v float64) byte { return byte(min(max(v, 0), 255)) }

// counter draws the frame number: see package camera. It returns a grey level, or -1 outside.
func counter(n, x, y, h int) float64 {
	cell := h / 30
	col, row := x/cell-1, (h-y)/cell
	if row != 1 || col < 0 || col >= 14 {
		return -1
	}
	bits, ones := n<<1, 0
	for i := range 10 {
		ones += n >> i & 1
	}
	if ones%2 == 0 {
		bits |= 1
	}
	pattern := 1<<13 | bits<<1 | 1 // white, black, ten bits, odd parity, white
	if pattern>>(13-col)&1 == 1 {
		return 235
	}
	return 16
}

func (s *scene) encode() error {
	args := append([]string{"-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", fmt.Sprintf("%dx%d", s.w, s.h), "-r", fmt.Sprint(fps), "-i", "-"}, s.args...)
	cmd := exec.Command("ffmpeg", append(args, "-f", "h264", s.name+".h264")...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := s.draw(in); err != nil {
		return err
	}
	in.Close()
	return cmd.Wait()
}

func (s *scene) draw(w io.Writer) error {
	const batch = 8
	for n := 0; n < frames; n += batch {
		var drawn [batch][]byte
		var wg sync.WaitGroup
		for i := range batch {
			wg.Go(func() { drawn[i] = s.frame(n + i) })
		}
		wg.Wait()
		for _, f := range drawn {
			if _, err := w.Write(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// sounds are encoded from three loops, of which the middle one is kept: so it begins and ends as if it went on.
var sounds = []struct {
	name string
	args []string
}{
	{"opus", []string{"-c:a", "libopus", "-b:a", "16k", "-application", "audio", "-frame_duration", "20"}},
	{"aac", []string{"-c:a", "aac", "-b:a", "24k"}},
}

func encodeSound(name string, args []string) error {
	const rate, loop = 48000, frames / fps
	var pcm bytes.Buffer
	for i := range 3 * loop * rate {
		binary.Write(&pcm, binary.LittleEndian, int16(camera.Tone(float64(i%(loop*rate))/rate)*math.MaxInt16))
	}
	cmd := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-f", "s16le", "-ar", "48000", "-ac", "1", "-i", "-"}, args...), "-output_ts_offset", "1", "-f", "nut", "-")...)
	cmd.Stdin, cmd.Stderr = &pcm, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	r, err := nut.NewReader(bytes.NewReader(out))
	if err != nil {
		return err
	}
	var clip bytes.Buffer
	s := r.Streams()[0]
	w, err := nut.NewWriter(&clip, s)
	if err != nil {
		return err
	}
	for {
		f, err := r.Next()
		if err == io.EOF {
			return os.WriteFile("sound."+name+".nut", clip.Bytes(), 0o644)
		}
		if err != nil {
			return err
		}
		// The frame's time in samples, from the start of the middle loop. The first one kept begins at the loop's start or up to a frame before it.
		at := f.PTS*int64(s.Num)*rate/int64(s.Den) - (loop+1)*rate
		if at > -960 && at+frameSamples(name) <= loop*rate {
			if err := w.Write(f.PTS-int64(loop)*int64(s.Den)/int64(s.Num), true, f.Data); err != nil {
				return err
			}
		}
	}
}

func frameSamples(name string) int64 {
	if name == "aac" {
		return 1024
	}
	return 960
}

func main() {
	for _, s := range sounds {
		if err := encodeSound(s.name, s.args); err != nil {
			log.Fatal(s.name, ": ", err)
		}
	}
	if len(os.Args) > 1 && os.Args[1] == "sounds" {
		return
	}
	for _, s := range scenes {
		if err := s.encode(); err != nil {
			log.Fatal(s.name, ": ", err)
		}
	}
}
