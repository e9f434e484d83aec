// Package whip takes what WebRTC clients publish: WHIP (RFC 9725) and the rooms of the WebSocket protocol alike.
//
// It knows an offer and an answer, not HTTP. A publisher is a pion PeerConnection on the node's one media port; it is few per node and
// both ends must react to loss, so here the comfort of a PeerConnection is worth its price, as it is not for viewers (package leg).
package whip

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"watershed/sfu"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/depacket"
	"watershed/sfu/ingest/reorder"
	"watershed/sfu/ingest/rtpclock"
	"watershed/sfu/leg"
	"watershed/sfu/media"
)

const (
	connectTimeout = 15 * time.Second // from the offer, as browsers give up ICE
	gatherTimeout  = 5 * time.Second  // our own addresses: they take milliseconds

	// A missing packet is asked for again every nackInterval, nackRepeats times, and awaited for as long as that takes and a
	// round trip of 100 ms. Sound is not repeated: it waits for reordering only.
	nackInterval = 30 * time.Millisecond
	nackRepeats  = 5
	videoWait    = nackInterval*nackRepeats + 100*time.Millisecond
	audioWait    = 60 * time.Millisecond
)

// Server makes publishers' sessions on a port.
type Server struct {
	port        *leg.Port
	log         *slog.Logger
	settings    webrtc.SettingEngine
	certificate webrtc.Certificate
	wait        time.Duration // for a missing packet of video
}

// New uses the port's muxes, so there is one Server for a Port.
func New(port *leg.Port, log *slog.Logger) (*Server, error) {
	own := port.Certificate()
	x, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("read the port's certificate: %w", err)
	}
	s := &Server{port: port, log: log, certificate: webrtc.CertificateFromX509(own.PrivateKey, x), wait: videoWait}
	e := &s.settings
	e.LoggerFactory = quiet{}
	e.SetLite(true) // the node is answered to, never dials: RFC 8445 section 2.5
	e.SetICEUDPMux(port.UDPMux())
	e.SetICETCPMux(port.TCPMux())
	e.DisableActiveTCP(true)
	e.SetIncludeLoopbackCandidate(true)
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6})
	e.SetICETimeouts(5*time.Second, 25*time.Second, 2*time.Second) // 30 s without consent end it, RFC 7675 section 5.1
	e.SetSRTPReplayProtectionWindow(1024)                          // repeats come late
	return s, e.SetAnsweringDTLSRole(webrtc.DTLSRoleServer)
}

// Options of one publisher.
type Options struct {
	Permit *ingest.Permit
	Offer  string
	Name   string                // for people
	Closed func(*Session, error) // once, when it ended for whatever reason
}

// Session is one publisher.
type Session struct {
	Answer string // SDP, complete: candidates need no trickle

	server *Server
	opts   Options
	pc     *webrtc.PeerConnection
	media  *sfu.Session
	clock  *rtpclock.Session
	inputs []*input
	voice  voice
	tasks  sync.WaitGroup
	timer  *time.Timer
	ready  chan struct{} // closed when all of the above is set

	mu     sync.Mutex // guards what follows
	ended  bool
	remote string // the offer in force
}

// input is one encoding that is expected.
type input struct {
	source *source
	rid    string
	label  string
	writer *sfu.Writer

	mu    sync.Mutex // guards what follows
	taken bool       // its RTP has come
	ssrc  webrtc.SSRC
}

// Answer opens a session of the stream and answers the offer. The error is the publisher's: of sfu.Stream.Begin, or of the offer.
func (s *Server) Answer(ctx context.Context, o Options) (*Session, error) {
	sources, err := readOffer(o.Offer)
	if err != nil {
		return nil, &OfferError{err}
	}
	p := &Session{server: s, opts: o, remote: o.Offer, clock: rtpclock.New(time.Now()), ready: make(chan struct{})}
	if p.pc, err = s.peer(sources); err != nil {
		return nil, err
	}
	if err := p.negotiate(ctx, o.Offer); err != nil {
		p.pc.Close()
		return nil, err
	}
	if err := p.begin(sources); err != nil {
		p.pc.Close()
		return nil, err
	}
	p.timer = time.AfterFunc(connectTimeout, p.checkConnected)
	close(p.ready)
	p.pc.OnTrack(p.track)
	p.pc.OnConnectionStateChange(p.state)
	return p, nil
}

// OfferError is an offer that cannot be answered.
type OfferError struct{ Err error }

func (e *OfferError) Error() string { return e.Err.Error() }
func (e *OfferError) Unwrap() error { return e.Err }

// peer makes a PeerConnection that knows just the codecs that were chosen, so that the answer has no others.
func (s *Server) peer(sources []*source) (*webrtc.PeerConnection, error) {
	m := &webrtc.MediaEngine{}
	registry := &interceptor.Registry{}
	for _, src := range sources {
		kind := webrtc.RTPCodecTypeVideo
		if src.kind == media.Audio {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := register(m, kind, src); err != nil {
			return nil, &OfferError{err}
		}
	}
	if err := intercept(m, registry); err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(s.settings))
	return api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{s.certificate}, BundlePolicy: webrtc.BundlePolicyMaxBundle,
	})
}

func register(m *webrtc.MediaEngine, kind webrtc.RTPCodecType, src *source) error {
	if err := m.RegisterCodec(src.main, kind); err != nil {
		return err
	}
	if src.rtx.PayloadType != 0 {
		if err := m.RegisterCodec(src.rtx, kind); err != nil {
			return err
		}
	}
	extensions := []string{sdp.TransportCCURI, sdp.SDESMidURI}
	if kind == webrtc.RTPCodecTypeAudio {
		extensions = append(extensions, sdp.AudioLevelURI)
	} else {
		extensions = append(extensions, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI)
	}
	for _, uri := range extensions {
		if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
			return err
		}
	}
	return nil
}

// intercept adds what a receiver needs and no more: repeats, reports, and the feedback that lets the sender find its rate.
func intercept(m *webrtc.MediaEngine, r *interceptor.Registry) error {
	repeats, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(nackInterval), nack.GeneratorMaxNacksPerPacket(nackRepeats),
		nack.GeneratorSize(1024), nack.WithGeneratorLoggerFactory(quiet{}))
	if err != nil {
		return err
	}
	reports, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(quiet{}))
	if err != nil {
		return err
	}
	feedback, err := twcc.NewSenderInterceptor(twcc.SendInterval(100 * time.Millisecond))
	if err != nil {
		return err
	}
	r.Add(repeats)
	r.Add(reports)
	r.Add(feedback)
	return nil
}

// negotiate applies an offer and sets Answer.
func (p *Session) negotiate(ctx context.Context, offer string) error {
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return &OfferError{fmt.Errorf("apply the offer: %w", err)}
	}
	answer, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return &OfferError{fmt.Errorf("answer the offer: %w", err)}
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(answer); err != nil {
		return fmt.Errorf("apply the answer: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	select {
	case <-gathered:
	case <-ctx.Done():
		return fmt.Errorf("gather addresses: %w", ctx.Err())
	}
	text, err := withCandidates(p.pc.LocalDescription().SDP, p.server.port.Candidates())
	p.mu.Lock()
	p.Answer = text
	p.mu.Unlock()
	return err
}

// begin opens the stream's session for what will come.
func (p *Session) begin(sources []*source) error {
	var specs []sfu.TrackSpec
	for _, src := range sources {
		rids := src.rids
		if len(rids) == 0 {
			rids = []string{""}
		}
		for i, rid := range rids {
			in := &input{source: src, rid: rid, label: label(i, len(rids))}
			p.inputs = append(p.inputs, in)
			specs = append(specs, sfu.TrackSpec{Label: in.label, Config: src.format().Config})
		}
	}
	session, writers, err := p.opts.Permit.Begin(sfu.SessionOptions{
		Tracks: specs, Name: p.opts.Name,
		Keyframe: p.askKeyframe,
		Kicked: func(reason error) {
			go func() {
				<-p.ready
				p.Close(reason)
			}()
		},
	})
	if err != nil {
		return err
	}
	p.media = session
	for i, w := range writers {
		p.inputs[i].writer = w
	}
	return nil
}

// askKeyframe relays a viewer's wish; label is a layer's, "main" for a single one.
func (p *Session) askKeyframe(label string) {
	for _, in := range p.inputs {
		if in.source.kind == media.Video && (in.label == label || in.label == "") {
			p.pictureLost(in)
		}
	}
}

func (p *Session) pictureLost(in *input) {
	in.mu.Lock()
	ssrc, taken := in.ssrc, in.taken
	in.mu.Unlock()
	if taken {
		p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(ssrc)}}) // lost ones are asked again
	}
}

// track reads one encoding; pion calls it on its own goroutine when the first packet comes.
func (p *Session) track(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	in := p.claim(t)
	if in == nil {
		return
	}
	clock := p.clock.Track(in.source.format().Config.ClockRate)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	level := levelExtension(r)
	p.tasks.Go(func() { p.read(t, in, clock, level) })
	p.tasks.Go(func() { readReports(t, r, clock) })
}

func (p *Session) claim(t *webrtc.TrackRemote) *input {
	for _, in := range p.inputs {
		if in.source.kind.String() != t.Kind().String() || in.rid != t.RID() {
			continue
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.taken {
			return nil
		}
		in.taken, in.ssrc = true, t.SSRC()
		return in
	}
	return nil
}

// read moves packets from the track to the stream until the connection ends.
func (p *Session) read(t *webrtc.TrackRemote, in *input, clock *rtpclock.Track, level uint8) {
	order := reorder.Buffer{Wait: audioWait}
	if in.source.kind == media.Video {
		order.Wait = p.server.wait
		p.pictureLost(in) // what was sent before the keys were ready is gone
	}
	receiver := depacket.Receiver{Format: in.source.format(), Writer: in.writer}
	for {
		pkt, _, err := t.ReadRTP()
		if errors.Is(err, io.EOF) || err != nil && p.pc.ConnectionState() == webrtc.PeerConnectionStateClosed {
			return
		}
		if err != nil { // a malformed packet, or a payload type that was not negotiated
			continue
		}
		now := time.Now()
		if in.source.kind == media.Audio {
			p.voice.hear(pkt, level, now)
			if p.voice.silent.Load() {
				pkt.Payload = silence(in.source.codec, pkt.Payload)
			}
		}
		for _, o := range order.Push(pkt, now) {
			if o.Lost {
				receiver.Lose()
				if in.source.kind == media.Video {
					in.writer.Layer().RequestKeyframe()
				}
			}
			pts := clock.PTS(o.Timestamp, now)
			if err := receiver.Receive(o.Packet, pts, clock.Capture(pts), now); err != nil {
				go p.Close(err) // it waits for this goroutine
				return
			}
		}
	}
}

// readReports follows the peer's sender reports.
func readReports(t *webrtc.TrackRemote, r *webrtc.RTPReceiver, clock *rtpclock.Track) {
	next := r.ReadRTCP
	if rid := t.RID(); rid != "" {
		next = func() ([]rtcp.Packet, interceptor.Attributes, error) { return r.ReadSimulcastRTCP(rid) }
	}
	for {
		packets, _, err := next()
		if err != nil {
			return
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == uint32(t.SSRC()) {
				clock.Report(rtpclock.NTP(sr.NTPTime), sr.RTPTime, time.Now())
			}
		}
	}
}

// Reasons for which a session ends by itself.
var (
	ErrNoConnection = errors.New("the publisher did not connect in 15 s: UDP and TCP to the media port are both blocked, or it gave up")
	ErrLost         = errors.New("the connection to the publisher was lost")
)

func (p *Session) checkConnected() {
	if p.pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
		p.Close(ErrNoConnection)
	}
}

func (p *Session) state(s webrtc.PeerConnectionState) {
	switch s {
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		go p.Close(ErrLost) // pion waits for this callback when it closes
	}
}

// Close ends the session; it may be called twice. What it started has ended when it returns.
func (p *Session) Close(reason error) {
	p.mu.Lock()
	ended := p.ended
	p.ended = true
	p.mu.Unlock()
	if ended {
		return
	}
	p.timer.Stop()
	p.media.Close(reason)
	p.pc.Close()
	p.tasks.Wait()
	if p.opts.Closed != nil {
		p.opts.Closed(p, reason)
	}
}
