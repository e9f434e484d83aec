package hlsbridge

import (
	"context"
	"net/http"
	"slices"
	"time"

	"watershed/hlsbridge/cmaf"
	"watershed/hlsbridge/flv"
	"watershed/sfu"
	"watershed/sfu/media"
	"watershed/sfu/ring"
	"watershed/sfu/timeline"
)

// A viewer of FLV who takes nothing for so long is gone.
const flvPatience = 10 * time.Second

func isH264(c *media.Config) bool { return c.Codec == media.H264 && cmaf.Readable(c) }
func isAAC(c *media.Config) bool  { return c.Codec == media.AAC }

// serveFLV sends a stream as FLV, from the last keyframe on, until the stream is removed or other layers take the place of these: an FLV cannot go on with them, and
// players connect again. Each viewer reads the rings on its own; one who falls behind goes on at a later keyframe.
func (b *Bridge) serveFLV(w http.ResponseWriter, r *http.Request, st *sfu.Stream, token string) {
	defer st.Hold("flv")()
	defer st.Require(media.Video, media.H264, isH264)()
	defer st.Require(media.Audio, media.AAC, isAAC)()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	defer b.cfg.Hold(r, token, st, func(error) { cancel() })()
	v := awaitFLV(ctx, st)
	if v == nil {
		unavailable(w, "the stream has no H.264 or AAC to show yet")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "video/x-flv")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	v.out, v.control = w, http.NewResponseController(w)
	v.send(flv.Header(v.video != nil, v.audio != nil))
	v.run(ctx, func() bool {
		now, ok := b.cfg.SFU.Stream(st.Name)
		return ok && now == st && v.video.in(st.Track(media.Video)) && v.audio.in(st.Track(media.Audio))
	}, st.Changed)
}

// flvViewer is one response.
type flvViewer struct {
	out     http.ResponseWriter
	control *http.ResponseController
	err     error
	buf     []byte

	video, audio *flvTrack
	began        bool
	base         time.Duration
}

type flvTrack struct {
	layer  *sfu.Layer
	reader *ring.Reader
	config *media.Config
	ahead  *media.Frame
	missed uint64
	lost   bool // wait for a keyframe
}

// awaitFLV waits for the layers to send: both tracks if the stream has both, but not long for the second.
func awaitFLV(ctx context.Context, st *sfu.Stream) *flvViewer {
	ctx, cancel := context.WithTimeout(ctx, firstSegment)
	defer cancel()
	late := time.NewTimer(awaitConversion)
	defer late.Stop()
	expired := false
	for {
		changed := st.Changed()
		v := &flvViewer{video: flvLayer(st, media.Video, isH264), audio: flvLayer(st, media.Audio, isAAC)}
		missing := v.video == nil && st.Track(media.Video) != nil || v.audio == nil && st.Track(media.Audio) != nil
		if (v.video != nil || v.audio != nil) && (!missing || expired) {
			return v
		}
		var wake <-chan struct{}
		if t := st.Track(media.Video); t != nil && len(t.Layers()) > 0 {
			wake = t.Layers()[0].Ring().Wake()
		}
		select {
		case <-changed:
		case <-wake:
		case <-late.C:
			expired = true
		case <-ctx.Done():
			return nil
		}
	}
}

// flvLayer is a layer that can be sent and has a keyframe, or nil.
func flvLayer(st *sfu.Stream, k media.Kind, accept func(*media.Config) bool) *flvTrack {
	t := st.Track(k)
	if t == nil {
		return nil
	}
	for _, l := range t.Layers() {
		n, ok := l.Ring().Keyframe()
		if !accept(l.Config()) || !ok {
			continue
		}
		if k == media.Audio {
			n = l.Ring().Tail()
		}
		return &flvTrack{layer: l, reader: l.Ring().ReadFrom(n)}
	}
	return nil
}

func (t *flvTrack) time() time.Duration {
	return timeline.Duration(t.ahead.DTS, t.ahead.Config.ClockRate)
}

// in reports whether a track still has the layer.
func (t *flvTrack) in(track *sfu.Track) bool {
	return t == nil || track != nil && slices.Contains(track.Layers(), t.layer)
}

// wake is closed with the next frame.
func (t *flvTrack) wake() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.layer.Ring().Wake()
}

// peek reads ahead by one frame. After a loss pictures go on at a keyframe.
func (t *flvTrack) peek() bool {
	for t != nil && t.ahead == nil {
		f := t.reader.TryNext()
		if f == nil {
			return false
		}
		if s := t.reader.Skipped(); s != t.missed {
			t.missed, t.lost = s, true
		}
		if t.lost && !f.Keyframe {
			continue
		}
		t.ahead, t.lost = f, false
	}
	return t != nil
}

// run sends frames in the order of their times until the viewer is gone or the layers are not there any more. Sound goes on without pictures that do not come.
func (v *flvViewer) run(ctx context.Context, there func() bool, changes func() <-chan struct{}) {
	lead := v.video
	if lead == nil {
		lead = v.audio
	}
	changed := changes()
	for on := there(); on && v.err == nil && ctx.Err() == nil; {
		pictures, sound := v.video.wake(), v.audio.wake()
		hasVideo, hasAudio := v.video.peek(), v.audio.peek()
		switch {
		case hasAudio && v.began && (!hasVideo || v.audio.time() < v.video.time()):
			v.frame(v.audio)
			continue
		case hasVideo || hasAudio && v.video == nil:
			v.begin(lead)
			v.frame(lead)
			continue
		}
		v.flush()
		select {
		case <-pictures:
		case <-sound:
		case <-changed:
			changed = changes()
			on = there()
		case <-ctx.Done():
		}
	}
}

// begin fixes the file's zero at the first picture.
func (v *flvViewer) begin(lead *flvTrack) {
	if v.began {
		return
	}
	v.began, v.base = true, lead.time()
	var video, audio *media.Config
	if v.video != nil {
		video = v.video.layer.Config()
	}
	if v.audio != nil {
		audio = v.audio.layer.Config()
	}
	_, _, _, fps := lead.layer.Frames()
	v.buf = append(v.buf, flv.Metadata(video, audio, fps)...)
}

func (v *flvViewer) frame(t *flvTrack) {
	f := t.ahead
	t.ahead = nil
	at := timeline.Duration(f.DTS, f.Config.ClockRate) - v.base
	if at < 0 { // sound from before the first picture
		return
	}
	if f.Config != t.config {
		if !cmaf.Readable(f.Config) { // nor can a decoder's configuration be made of it
			return
		}
		t.config = f.Config
		v.buf = append(v.buf, flv.Configuration(f.Config, at)...)
	}
	v.buf = flv.Frame(v.buf, f, at)
	if len(v.buf) > 64<<10 {
		v.flush()
	}
}

func (v *flvViewer) flush() {
	if len(v.buf) > 0 {
		v.send(v.buf)
		v.buf = v.buf[:0]
	}
}

func (v *flvViewer) send(data []byte) {
	if v.err != nil {
		return
	}
	v.control.SetWriteDeadline(time.Now().Add(flvPatience))
	if _, v.err = v.out.Write(data); v.err == nil {
		v.err = v.control.Flush()
	}
}
