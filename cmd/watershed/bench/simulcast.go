package main

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	rtpcodecs "github.com/pion/rtp/codecs"
	"github.com/pion/sdp/v3"
	pion "github.com/pion/webrtc/v4"

	"watershed/sfu/mediatest"
)

// simulcast is a browser that publishes clips as the layers of one video, but for the encoding.
type simulcast struct {
	pc     *pion.PeerConnection
	sender *pion.RTPSender
	layers []*rid
}

// rid is one of its layers.
type rid struct {
	track *pion.TrackLocalStaticRTP
	clip  [][][]byte
	next  int
	seq   uint16
	asked atomic.Bool // for a keyframe: clips have one every 100 pictures
}

// publishSimulcast by WHIP until the returned function is called; clips are best first.
func publishSimulcast(ctx context.Context, url string, clips ...string) (end func(), err error) {
	m := &pion.MediaEngine{}
	err = m.RegisterDefaultCodecs()
	for _, uri := range []string{sdp.SDESMidURI, sdp.SDESRTPStreamIDURI} {
		err = errors.Join(err, m.RegisterHeaderExtension(pion.RTPHeaderExtensionCapability{URI: uri}, pion.RTPCodecTypeVideo))
	}
	if err != nil {
		return nil, err
	}
	var e pion.SettingEngine
	e.SetIncludeLoopbackCandidate(true)
	api := pion.NewAPI(pion.WithMediaEngine(m), pion.WithInterceptorRegistry(&interceptor.Registry{}), pion.WithSettingEngine(e))
	p := &simulcast{}
	if p.pc, err = api.NewPeerConnection(pion.Configuration{}); err != nil {
		return nil, err
	}
	if err := errors.Join(p.add(clips), p.connect(ctx, url)); err != nil {
		return nil, errors.Join(err, p.pc.Close())
	}
	run, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	for _, l := range p.layers {
		go p.listen(l) // ends with the connection
	}
	tasks.Go(func() { p.run(run) })
	return func() { stop(); tasks.Wait(); p.pc.Close() }, nil
}

func (p *simulcast) add(clips []string) error {
	for i, name := range clips {
		clip, err := mediatest.LoadClip(name)
		if err != nil {
			return err
		}
		codec := pion.RTPCodecCapability{MimeType: pion.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"}
		track, err := pion.NewTrackLocalStaticRTP(codec, "video", "bench", pion.WithRTPStreamID([]string{"h", "m", "l"}[i]))
		if err != nil {
			return err
		}
		p.layers = append(p.layers, &rid{track: track, clip: clip})
		if i > 0 {
			err = p.sender.AddEncoding(track)
		} else {
			var t *pion.RTPTransceiver
			t, err = p.pc.AddTransceiverFromTrack(track, pion.RTPTransceiverInit{Direction: pion.RTPTransceiverDirectionSendonly})
			if err == nil {
				p.sender = t.Sender()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *simulcast) connect(ctx context.Context, url string) error {
	connected := make(chan struct{})
	var once sync.Once
	p.pc.OnConnectionStateChange(func(s pion.PeerConnectionState) {
		if s == pion.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := pion.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	answer, err := post(ctx, url, p.pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	if err := p.pc.SetRemoteDescription(pion.SessionDescription{Type: pion.SDPTypeAnswer, SDP: answer}); err != nil {
		return err
	}
	select {
	case <-connected:
		return nil
	case <-time.After(patience):
		return errors.New("the publisher did not connect")
	}
}

// listen for requests for keyframes.
func (p *simulcast) listen(l *rid) {
	for buf := make([]byte, 1500); ; {
		n, _, err := p.sender.ReadSimulcast(buf, l.track.RID())
		if err != nil {
			return
		}
		packets, _ := rtcp.Unmarshal(buf[:n])
		for _, pkt := range packets {
			if _, ok := pkt.(*rtcp.PictureLossIndication); ok {
				l.asked.Store(true)
			}
		}
	}
}

// run sends 25 pictures a second of each layer.
func (p *simulcast) run(ctx context.Context) {
	extensions := map[string]uint8{}
	for _, e := range p.sender.GetParameters().HeaderExtensions {
		extensions[e.URI] = uint8(e.ID)
	}
	mid := p.pc.GetTransceivers()[0].Mid()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ctx.Err() == nil; <-tick.C {
		ts := uint32(time.Since(began).Milliseconds() * 90)
		for _, l := range p.layers {
			l.send(ts, extensions[sdp.SDESMidURI], mid, extensions[sdp.SDESRTPStreamIDURI])
		}
	}
}

func (l *rid) send(ts uint32, midID uint8, mid string, ridID uint8) {
	if l.asked.Swap(false) {
		l.next = (l.next/100 + 1) * 100
	}
	var annexB bytes.Buffer
	for _, nal := range l.clip[l.next%len(l.clip)] {
		annexB.Write(append([]byte{0, 0, 0, 1}, nal...))
	}
	l.next++
	var payloader rtpcodecs.H264Payloader
	payloads := payloader.Payload(1100, annexB.Bytes())
	for i, payload := range payloads {
		pkt := &rtp.Packet{Payload: payload, Header: rtp.Header{Version: 2, Marker: i == len(payloads)-1, SequenceNumber: l.seq, Timestamp: ts}}
		pkt.SetExtension(midID, []byte(mid))
		pkt.SetExtension(ridID, []byte(l.track.RID()))
		l.track.WriteRTP(pkt) // one that is lost is the path's affair
		l.seq++
	}
}
