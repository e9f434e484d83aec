package rtmp

import (
	"bytes"
	"net/url"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	"github.com/bluenviron/gortmplib/pkg/message"

	"watershed/sfu"
)

// buffer is both ends of a connection.
type buffer struct {
	*bytes.Reader
	bytes.Buffer
}

func (b *buffer) Read(p []byte) (int, error) { return b.Reader.Read(p) }

// Whatever messages come, the demultiplexer returns.
func FuzzDemux(f *testing.F) {
	var clip bytes.Buffer
	w := message.NewReadWriter(&clip, bytecounter.NewReadWriter(&clip), false)
	for _, m := range []message.Message{
		&message.Video{ChunkStreamID: 6, Codec: message.CodecH264, Type: message.VideoTypeConfig, AVCConfig: avcConfig()},
		&message.Video{ChunkStreamID: 6, Codec: message.CodecH264, Type: message.VideoTypeAU, AU: []byte{0, 0, 0, 2, 0x65, 1}, DTS: time.Second},
		&message.AudioExSequenceStart{ChunkStreamID: 4, FourCC: message.FourCCMP3},
		&message.VideoExFramesX{ChunkStreamID: 6, FourCC: message.FourCCHEVC, Payload: []byte{0, 0, 0, 3, 0x26, 1, 1}, DTS: 3 * time.Second},
	} {
		if err := w.Write(m); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(clip.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		b := &buffer{Reader: bytes.NewReader(data)}
		r := message.NewReadWriter(b, bytecounter.NewReadWriter(b), false)
		d := demux{begin: func(specs []sfu.TrackSpec) ([]*sfu.Writer, error) { return make([]*sfu.Writer, len(specs)), nil }}
		for now := time.Unix(0, 0); ; now = now.Add(300 * time.Millisecond) {
			m, err := r.Read()
			if err != nil || d.handle(m, now) != nil {
				return
			}
		}
	})
}

func FuzzWish(f *testing.F) {
	f.Add("rtmp://h/live/river?key=K&takeover=1")
	f.Add("rtmp://h/live?key=K/river")
	f.Fuzz(func(t *testing.T, raw string) {
		if u, err := url.Parse(raw); err == nil {
			wish(u)
			withStream(u)
		}
	})
}
