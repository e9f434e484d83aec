package sfu

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"watershed/sfu/codec"
	"watershed/sfu/media"
	"watershed/sfu/rtpfmt"
	"watershed/sfu/timeline"
)

// TrackSpec is one encoding that a source brings.
type TrackSpec struct {
	Label  string // of the layer; "" is "main"
	Config media.Config
}

// SessionOptions say how a source behaves.
type SessionOptions struct {
	Tracks   []TrackSpec        // video layers best first
	Keyframe func(label string) // asks the source for a keyframe; nil for cameras, which cannot be asked
	Part     Part
	Pushed   bool               // somebody publishes: not one of the stream's own inputs
	Takeover bool               // replace another publisher
	Kicked   func(reason error) // told when the session must end: taken over, stream gone
	Closed   func(reason error) // told once when the session ended, for whatever reason
	Name     string             // of the publisher or the input, for people; no credentials
}

// Part is which of a stream's layers a source brings: a camera has its main stream, and sometimes a smaller one behind another URL.
type Part string

// The parts of a stream. They come and go independently, each by a session of its own.
const (
	MainPart Part = ""    // all tracks
	LowPart  Part = "low" // one more layer of the video track
)

// Session is one connection of one source to a stream.
type Session struct {
	stream *Stream
	clock  *timeline.Session
	pushed bool
	opts   SessionOptions
	began  time.Time

	last   atomic.Int64 // Unix nanoseconds of the last picture, or sound if the stream has no pictures
	media  atomic.Bool
	closed atomic.Bool
}

// Begin opens a session and a Writer for each of its tracks, in order; nil for those whose codec is not known here. A stream
// has one session at a time. Its layers stay when the codec is the same, so viewers go on where they were.
func (st *Stream) Begin(o SessionOptions) (*Session, []*Writer, error) {
	s := &Session{stream: st, clock: st.line.Session(), pushed: o.Pushed, opts: o, began: time.Now()}
	s.last.Store(s.began.UnixNano())
	st.mu.Lock()
	old := st.sessions[o.Part]
	switch {
	case st.ended:
		st.mu.Unlock()
		return nil, nil, ErrStreamGone
	case o.Pushed && len(st.spec.Inputs) > 0:
		st.mu.Unlock()
		return nil, nil, ErrPulled
	case old != nil && o.Pushed && !o.Takeover:
		st.mu.Unlock()
		return nil, nil, ErrBusy
	}
	st.sessions[o.Part] = s
	writers, slots := st.adoptLocked(s, o.Tracks)
	st.notifyLocked()
	st.mu.Unlock()
	if old != nil {
		old.Kick(ErrTakenOver)
	}
	if o.Part == MainPart {
		st.setState(Starting, NoReason, "")
	}
	st.convert()
	for _, sl := range slots {
		sl.reselect()
	}
	if !slices.ContainsFunc(writers, func(w *Writer) bool { return w != nil }) {
		s.Close(&SourceError{ReasonCodec, ErrNotSupported})
		return nil, nil, &SourceError{ReasonCodec, ErrNotSupported}
	}
	return s, writers, nil
}

// adoptLocked makes the stream's tracks and layers those of the session, keeping what fits.
func (st *Stream) adoptLocked(s *Session, specs []TrackSpec) ([]*Writer, []*Slot) {
	var layers [3][]*Layer
	writers := make([]*Writer, len(specs))
	for i, spec := range specs {
		if spec.Config.Codec == 0 || spec.Config.ClockRate == 0 {
			continue
		}
		kind := spec.Config.Codec.Kind()
		switch {
		case s.opts.Part == LowPart && (kind != media.Video || len(layers[kind]) > 0):
			continue // its sound is the main part's
		case s.opts.Part == LowPart:
			spec.Label = LowLabel
		case spec.Label == "":
			spec.Label = "main"
		}
		parser := codec.NewParser(spec.Config)
		if st.tracks[kind] == nil {
			st.tracks[kind] = &Track{Kind: kind, Stream: st}
		}
		l := st.reuse(st.tracks[kind], spec.Label, parser.Config())
		l.part = s.opts.Part
		l.keyframes.set(s.opts.Keyframe)
		layers[kind] = append(layers[kind], l)
		writers[i] = newWriter(s, l, parser)
	}
	for kind, t := range st.tracks {
		if t == nil || s.opts.Part != MainPart && len(layers[kind]) == 0 {
			continue
		}
		l := slices.Concat(layers[kind], t.others(s.opts.Part))
		if len(l) == 0 {
			st.tracks[kind] = nil
			continue
		}
		l = arrange(l)
		t.layers.Store(&l)
	}
	return writers, st.slotsLocked()
}

// others are the layers that a new session of this part leaves as they are: other parts', and conversions, which notice by themselves when their
// source went away.
func (t *Track) others(p Part) (keep []*Layer) {
	for _, l := range t.Layers() {
		if l.Converted || l.part != p {
			keep = append(keep, l)
		}
	}
	return keep
}

// rank orders layers: the source's main ones, its small one, what is made here.
func (l *Layer) rank() int {
	switch {
	case l.Converted:
		return 2
	case l.part != MainPart:
		return 1
	}
	return 0
}

func (st *Stream) reuse(t *Track, label string, cfg *media.Config) *Layer {
	for _, l := range t.Layers() {
		if l.Label == label && l.Codec == cfg.Codec && l.Config().ClockRate == cfg.ClockRate && !l.Converted {
			return l
		}
	}
	return st.newLayer(t, label, cfg, false)
}

// Close ends the session; the stream waits for its next one, viewers stay. The reason is shown to people.
func (s *Session) Close(reason error) {
	if s.closed.Swap(true) {
		return
	}
	st := s.stream
	st.mu.Lock()
	part := s.opts.Part
	mine := st.sessions[part] == s
	if mine {
		delete(st.sessions, part)
		for _, t := range st.tracks {
			if t == nil {
				continue
			}
			for _, l := range t.Layers() {
				if l.part == part {
					l.keyframes.set(nil)
				}
			}
		}
		if part == LowPart {
			st.dropLayersLocked(media.Video, func(l *Layer) bool { return l.part == part && !l.Converted })
		}
	}
	slots := st.slotsLocked()
	st.mu.Unlock()
	if mine && part == LowPart {
		for _, sl := range slots {
			sl.reselect()
		}
	}
	if mine && s.pushed {
		st.setState(Offline, ReasonWaiting, "the publisher left")
	}
	if s.opts.Closed != nil {
		s.opts.Closed(reason)
	}
}

// Kick ends the session and tells its adapter.
func (s *Session) Kick(reason error) {
	s.Close(reason)
	if s.opts.Kicked != nil {
		s.opts.Kicked(reason)
	}
}

func (s *Session) lastShown() time.Time { return time.Unix(0, s.last.Load()) }
func (s *Session) gotMedia() bool       { return s.media.Load() }

// Unit is one access unit as an adapter got it.
type Unit struct {
	Parts   [][]byte // NAL units without start codes, OBUs, or one element; kept, so not to be reused
	PTS     int64    // ticks of the track's clock, from any zero that all tracks of the session share
	DTS     int64    // as PTS; used only if HasDTS
	HasDTS  bool
	Arrival time.Time
	Capture time.Time // the camera's clock, zero if unknown
	Lost    bool      // something before this unit was lost
}

// Writer is where an adapter delivers one layer. One goroutine uses it.
type Writer struct {
	session    *Session
	layer      *Layer
	parser     *codec.Parser
	clock      *timeline.Clock
	packetizer *rtpfmt.Packetizer
	from       *Layer // of a conversion: its times are the timeline's already
	lastDTS    int64
	fresh      bool // nothing written yet: start at a keyframe
	jumped     bool // tell the next frame
}

func newWriter(s *Session, l *Layer, p *codec.Parser) *Writer {
	w := &Writer{session: s, layer: l, parser: p, clock: s.clock.Clock(p.Config().ClockRate), fresh: true, jumped: true}
	w.packetizer, _ = rtpfmt.New(l.Codec) // nil for codecs that WebRTC does not carry
	return w
}

// Layer that the writer fills.
func (w *Writer) Layer() *Layer { return w.layer }

// Write delivers one access unit. Nothing before the first keyframe is forwarded: nobody could decode it. It fails only when the
// session is over.
func (w *Writer) Write(u Unit) error {
	if w.session != nil {
		if w.session.closed.Load() {
			return ErrTakenOver
		}
		w.session.media.Store(true)
	}
	parts, key := w.parser.Parse(u.Parts)
	if len(parts) == 0 || w.fresh && !key {
		return nil
	}
	if u.HasDTS {
		w.parser.Shown(u.PTS)
	} else {
		u.DTS = w.parser.DTS(parts, u.PTS)
	}
	f := &media.Frame{Keyframe: key, Discontinuity: w.jumped, Config: w.parser.Config(), Units: parts}
	if !u.Capture.IsZero() {
		f.Capture = u.Capture.UnixNano()
	}
	for _, p := range parts {
		f.Size += len(p)
	}
	if w.packetizer != nil {
		f.Packets = w.packetizer.Packets(parts)
	}
	first := w.fresh
	changed, err := w.publish(f, u)
	if err != nil {
		return err
	}
	st := w.layer.Track.Stream
	if w.session != nil {
		w.session.wrote(u.Arrival, first, changed, w.layer)
	} else if first {
		st.showLayer(w.layer)
		st.converts()
	}
	if changed { // other readers may be able to take it now, or no longer
		st.reconfigured()
	}
	return nil
}

// publish puts a frame on the timeline and into the layer's ring. changed says that readers may choose differently by its configuration.
func (w *Writer) publish(f *media.Frame, u Unit) (changed bool, err error) {
	l := w.layer
	l.writing.Lock()
	defer l.writing.Unlock()
	if w.session != nil && w.session.closed.Load() {
		return false, ErrTakenOver
	}
	at := w.place(u)
	f.PTS, f.DTS, f.Server = at.PTS, at.DTS, at.Server.UnixNano()
	f.Discontinuity = f.Discontinuity || at.Jump
	old := l.config.Swap(f.Config)
	changed = old != f.Config && (!w.fresh || old.BFrames != f.Config.BFrames || old.Gradual != f.Config.Gradual)
	w.fresh, w.jumped = false, false
	l.append(f)
	return changed, nil
}

// place puts a unit on the stream's timeline.
func (w *Writer) place(u Unit) timeline.Time {
	if w.from == nil {
		at := w.clock.Map(u.PTS, u.DTS, u.Arrival)
		w.layer.noteServer(at.DTS, at.Server)
		return at
	}
	dts := max(u.DTS, w.lastDTS+1)
	w.lastDTS = dts
	server := w.from.serverAt(timeline.Duration(dts, w.layer.Config().ClockRate))
	return timeline.Time{PTS: max(u.PTS, dts), DTS: dts, Server: server}
}

// newConvertedWriter returns the writer of a conversion: its units have times of the stream's timeline, in ticks of the new layer's clock, and
// their arrival is not looked at.
func newConvertedWriter(from, to *Layer) *Writer {
	w := &Writer{layer: to, from: from, parser: codec.NewParser(*to.Config()), fresh: true, jumped: true}
	if f := to.ring.Latest(); f != nil { // an earlier run of the same conversion
		w.lastDTS = f.DTS
	}
	w.packetizer, _ = rtpfmt.New(to.Codec)
	return w
}

// reconfigured lets readers choose again after a layer's parameters changed.
func (st *Stream) reconfigured() {
	st.convert()
	st.mu.Lock()
	st.notifyLocked()
	slots := st.slotsLocked()
	st.mu.Unlock()
	for _, sl := range slots {
		sl.reselect()
	}
}

// Session that the writer belongs to.
func (w *Writer) Session() *Session { return w.session }

// wrote notes a frame and makes the stream live with the first picture, or the first sound of a stream without pictures.
func (s *Session) wrote(now time.Time, first, changed bool, l *Layer) {
	st := s.stream
	st.mu.Lock()
	live := st.state == Live || st.state == Degraded
	hasVideo := st.tracks[media.Video] != nil
	st.mu.Unlock()
	if !hasVideo || l.Track.Kind == media.Video {
		s.last.Store(now.UnixNano())
	}
	if l.Converted || s.opts.Part != MainPart || live && !first && !changed || hasVideo && l.Track.Kind != media.Video {
		if first && s.opts.Part == LowPart {
			st.reconfigured() // there is one more layer to choose
		}
		return
	}
	if first { // its size is known now
		st.climb()
	}
	if reason, why := unplayable(l.Config()); reason != NoReason {
		if err := st.sfu.canConvert(l.Config(), media.H264); err != nil {
			st.setState(Degraded, reason, why+", and they cannot be converted: "+err.Error())
			return
		}
	}
	if !live || changed {
		st.setState(Live, NoReason, "")
	}
}

// unplayable says what keeps browsers from playing a layer of a codec that they know.
func unplayable(c *media.Config) (r Reason, why string) {
	switch {
	case c.BFrames:
		return ReasonBFrames, "pictures are sent out of order, which browsers do not play over WebRTC"
	case c.Gradual:
		return ReasonNoKey, "pictures are renewed piece by piece (intra refresh) without a keyframe, at which browsers could start"
	}
	return NoReason, ""
}

// String names the session for logs.
func (s *Session) String() string { return fmt.Sprintf("%s by %s", s.stream.Name, s.opts.Name) }
