package camera

import (
	"bytes"
	"embed"
	"fmt"
	"slices"

	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/pion/rtp"
)

//go:embed clips/*.h264 clips/*.nut
var clipFiles embed.FS

// Clips by name: what a camera can show. "river" is 720p at 2 Mb/s, "heavy" the same with keyframes of eight times the size of other pictures;
// the others are 360p; "bframes" has pictures out of order.
var clipNames = []string{"river", "heavy", "coast", "lake", "bframes"}

// heavier is how many times the size of the others the keyframes of the clip "heavy" have.
const heavier = 8

// Rate and length of every clip.
const (
	FPS    = 25
	Frames = 200 // 8 s
)

// clip is a loop of pictures, cut into RTP payloads once for all cameras that show it.
type clip struct {
	sps, pps []byte
	frames   [Frames]frame
}

type frame struct {
	packets []*rtp.Packet // sequence numbers, timestamps and SSRC are the camera's
	key     bool
	pts     int // position in display order: differs from the index with B-frames
}

// maxPayload of a camera's packets: what many send, so that receivers must cut them anew.
const maxPayload = 1400

func loadClip(name string) (*clip, error) {
	file := name
	if name == "heavy" {
		file = "river"
	}
	data, err := clipFiles.ReadFile("clips/" + file + ".h264")
	if err != nil {
		return nil, fmt.Errorf("no clip %q: there are %v", name, clipNames)
	}
	c := &clip{}
	n := 0
	size := 0 // of keyframes
	if name == "heavy" {
		size = len(data) / Frames * heavier
	}
	var au [][]byte
	flush := func() error {
		if len(au) == 0 {
			return nil
		}
		if n == Frames {
			return fmt.Errorf("clip %s has more than %d pictures", name, Frames)
		}
		if c.frames[n].key {
			au = stuff(au, size)
		}
		err := c.frames[n].cut(au)
		n++
		au = nil
		return err
	}
	for _, nal := range splitAnnexB(data) {
		switch nal[0] & 0x1f {
		case 9: // access unit delimiter: the next picture
			if err := flush(); err != nil {
				return nil, err
			}
			continue
		case 7:
			c.sps = nal
		case 8:
			c.pps = nal
		case 5:
			c.frames[n].key = true
		}
		au = append(au, nal)
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if n != Frames {
		return nil, fmt.Errorf("clip %s has %d pictures, not %d", name, n, Frames)
	}
	c.order(name == "bframes")
	return c, nil
}

// stuff brings an access unit to a size with an SEI message of unregistered user data, which decoders leave alone (H.264 annex D.1.7).
func stuff(au [][]byte, size int) [][]byte {
	missing := size
	for _, nal := range au {
		missing -= len(nal)
	}
	if missing < 64 {
		return au
	}
	sei := []byte{6, 5}
	left := missing * 254 / 255 // the length itself is written as a sum of bytes
	for n := left; ; n -= 255 {
		sei = append(sei, byte(min(n, 255)))
		if n < 255 {
			break
		}
	}
	sei = append(sei, bytes.Repeat([]byte("watershed stuffs"), left/16+1)[:left]...)
	last := len(au) - 1 // the slice; parameter sets come first
	return slices.Insert(slices.Clone(au), last, append(sei, 0x80))
}

func (f *frame) cut(au [][]byte) error {
	enc := rtph264.Encoder{PayloadType: 96, PayloadMaxSize: maxPayload, PacketizationMode: 1}
	if err := enc.Init(); err != nil {
		return err
	}
	var err error
	f.packets, err = enc.Encode(au)
	return err
}

// order fills in display positions. The clip "bframes" was made with two B-frames between others and GOPs of 50: I P B B P B B ...
func (c *clip) order(bframes bool) {
	for i := range c.frames {
		c.frames[i].pts = i
		if g := i % 50; bframes && g > 0 {
			last := 49 - (49 % 3) // the GOP's tail has no full group
			switch {
			case g > last:
			case g%3 == 1:
				c.frames[i].pts = i + 2
			default:
				c.frames[i].pts = i - 1
			}
		}
	}
}

func splitAnnexB(data []byte) (nals [][]byte) {
	start := []byte{0, 0, 1}
	for {
		i := bytes.Index(data, start)
		if i < 0 {
			return nals
		}
		data = data[i+3:]
		end := bytes.Index(data, start)
		nal := data
		if end >= 0 {
			nal = data[:end]
		}
		nals = append(nals, bytes.TrimRight(nal, "\x00"))
	}
}
