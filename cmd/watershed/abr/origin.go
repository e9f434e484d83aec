package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"watershed/cmd/watershed/camera"
	"watershed/hlsbridge"
	"watershed/sfu"
	"watershed/sfu/leg"
	"watershed/sfu/media"
)

// origin is a media plane and a bridge in this process, fed with the ladder's loops in real time: the code that a node runs, without encoders.
type origin struct {
	rungs  []*rung
	sound  bool // silence beside the pictures
	sfu    *sfu.SFU
	bridge *hlsbridge.Bridge
	stream *sfu.Stream

	first atomic.Uint64 // number of the first picture in the source's ring
	began time.Time
}

// silence is an AAC-LC frame of stereo without sound.
var silence = []byte{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}

func newOrigin(ctx context.Context, rungs []*rung, sound bool, part time.Duration) (*origin, error) {
	port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1})
	if err != nil {
		return nil, err
	}
	o := &origin{rungs: rungs, sound: sound}
	o.sfu = sfu.New(sfu.Config{Port: port, Converter: o})
	o.bridge = hlsbridge.New(hlsbridge.Config{SFU: o.sfu, Part: part, Segment: time.Second})
	spec := sfu.Spec{Public: true}
	for _, r := range rungs[1:] {
		spec.Ladder = append(spec.Ladder, r.label)
	}
	o.stream = o.sfu.Declare("abr", spec)
	return o, nil
}

// run feeds and serves until ctx ends. The address is the origin's.
func (o *origin) run(ctx context.Context, l net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- o.sfu.Run(ctx) }()
	go func() { ended <- o.bridge.Run(ctx) }()
	srv := &http.Server{Handler: o.bridge}
	go srv.Serve(l)
	err := o.feed(ctx)
	srv.Close()
	stop()
	<-ended
	<-ended
	return err
}

// feed sends the first rung as a source does.
func (o *origin) feed(ctx context.Context) error {
	tracks := []sfu.TrackSpec{{Config: media.Config{Codec: media.H264, ClockRate: 90000}}}
	if o.sound {
		tracks = append(tracks, sfu.TrackSpec{Config: media.Config{Codec: media.AAC, ClockRate: 48000, Channels: 2, ASC: []byte{0x11, 0x90}}})
	}
	_, writers, err := o.stream.Begin(sfu.SessionOptions{Pushed: true, Name: "loops", Tracks: tracks})
	if err != nil {
		return err
	}
	clock := time.NewTicker(time.Second / camera.FPS)
	defer clock.Stop()
	o.began = time.Now()
	for i, sound := int64(0), int64(0); ; i++ {
		due := time.Duration(i) * time.Second / camera.FPS
		for time.Since(o.began) < due {
			select {
			case <-clock.C:
			case <-ctx.Done():
				return nil
			}
		}
		if err := writers[0].Write(sfu.Unit{Parts: o.rungs[0].loop[i%camera.Frames], PTS: i * 90000 / camera.FPS, Arrival: time.Now()}); err != nil {
			return err
		}
		if i == 0 {
			o.first.Store(writers[0].Layer().Ring().Latest().Number)
		}
		for ; o.sound && sound < (i+1)*48000/camera.FPS; sound += 1024 {
			if err := writers[1].Write(sfu.Unit{Parts: [][]byte{silence}, PTS: sound, Arrival: time.Now()}); err != nil {
				return err
			}
		}
	}
}

// clock is what a picture's number tells of the time, for browser.Pictures.
func (o *origin) clock() camera.Info {
	return camera.Info{FPS: camera.FPS, Frames: camera.Frames, PhaseMS: float64(o.began.UnixMicro()%(8e6)) / 1000}
}

// CanConvert, Convert and Ladder are of sfu.Converter: rungs are not encoded but taken from their loops.
func (o *origin) CanConvert(*media.Config, media.Codec) error { return nil }

func (o *origin) Convert(ctx context.Context, _ *sfu.Layer, _ *sfu.Writer) error {
	<-ctx.Done()
	return ctx.Err()
}

func (o *origin) Ladder(ctx context.Context, from *sfu.Layer, to []*sfu.Writer) error {
	number, _ := from.Ring().Keyframe()
	for r := from.Ring().ReadFrom(number); ; {
		f, err := r.Next(ctx)
		if err != nil {
			return err
		}
		for i, w := range to {
			unit := o.rungs[i+1].loop[(f.Number-o.first.Load())%camera.Frames]
			if err := w.Write(sfu.Unit{Parts: unit, PTS: f.PTS, DTS: f.DTS, HasDTS: true, Arrival: time.Unix(0, f.Server)}); err != nil {
				return err
			}
		}
	}
}

var _ sfu.Converter = (*origin)(nil)
