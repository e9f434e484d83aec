package whip

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/rtp"
	rtpcodecs "github.com/pion/rtp/codecs"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/ingesttest"
	"watershed/sfu/media"
)

// publisher is a pion client that sends numbered pictures, four times as fast as their timestamps.
type publisher struct {
	pc     *webrtc.PeerConnection
	tracks []*webrtc.TrackLocalStaticRTP
	sender *webrtc.RTPSender
	mid    string
}

// lossy drops every nth packet that is not a repeat.
type lossy struct {
	interceptor.NoOp
	n       uint32
	dropped *atomic.Uint32
}

func (l *lossy) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *lossy) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	sent := uint32(0)
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if h.SSRC == info.SSRC {
			if sent++; l.n > 0 && sent%l.n == 0 {
				l.dropped.Add(1)
				return len(payload), nil
			}
		}
		return w.Write(h, payload, a)
	})
}

func newPublisher(t *testing.T, networks []webrtc.NetworkType, loss *lossy, rids ...string) *publisher {
	t.Helper()
	m := &webrtc.MediaEngine{}
	require.NoError(t, m.RegisterDefaultCodecs())
	r := &interceptor.Registry{}
	r.Add(loss)
	repeats, err := nack.NewResponderInterceptor()
	require.NoError(t, err)
	r.Add(repeats)
	for _, uri := range []string{sdp.SDESMidURI, sdp.SDESRTPStreamIDURI} {
		require.NoError(t, m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo))
	}
	var e webrtc.SettingEngine
	e.SetNetworkTypes(networks)
	e.SetIncludeLoopbackCandidate(true)
	p := &publisher{}
	p.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(e)).
		NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	t.Cleanup(func() { p.pc.GracefulClose() })
	p.add(t, rids)
	return p
}

func (p *publisher) add(t *testing.T, rids []string) {
	t.Helper()
	h264 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000}
	if len(rids) == 0 {
		rids = []string{""}
	}
	for i, rid := range rids {
		var options []func(*webrtc.TrackLocalStaticRTP)
		if rid != "" {
			options = append(options, webrtc.WithRTPStreamID(rid))
		}
		track, err := webrtc.NewTrackLocalStaticRTP(h264, "video", "stream", options...)
		require.NoError(t, err)
		p.tracks = append(p.tracks, track)
		if i > 0 {
			require.NoError(t, p.sender.AddEncoding(track))
			continue
		}
		tr, err := p.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(t, err)
		p.sender = tr.Sender()
	}
}

func (p *publisher) offer(t *testing.T) string {
	t.Helper()
	o, err := p.pc.CreateOffer(nil)
	require.NoError(t, err)
	gathered := webrtc.GatheringCompletePromise(p.pc)
	require.NoError(t, p.pc.SetLocalDescription(o))
	<-gathered
	return p.pc.LocalDescription().SDP
}

// publish connects and starts to send.
func (p *publisher) publish(t *testing.T, s *Server, st *sfu.Stream) *Session {
	t.Helper()
	session, err := s.Answer(context.Background(), Options{Permit: &ingest.Permit{Stream: st}, Offer: p.offer(t), Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { session.Close(errors.New("the test ended")) })
	connected := make(chan struct{}, 10) // again after a restart
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			connected <- struct{}{}
		}
	})
	require.NoError(t, p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: session.Answer}))
	select {
	case <-connected:
	case <-time.After(ingesttest.Patience):
		t.Fatal("no connection")
	}
	p.mid = p.pc.GetTransceivers()[0].Mid()
	go func() { // requests for repeats are handled where they are read
		for buf := make([]byte, 1500); ; {
			if _, _, err := p.sender.Read(buf); err != nil {
				return
			}
		}
	}()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { stop(); <-ended })
	go func() {
		defer close(ended)
		p.send(ctx)
	}()
	return session
}

// send begins just below the wraps of timestamps and sequence numbers.
func (p *publisher) send(ctx context.Context) {
	extension := map[string]uint8{}
	for _, e := range p.sender.GetParameters().HeaderExtensions {
		extension[e.URI] = uint8(e.ID)
	}
	payloader := make([]rtpcodecs.H264Payloader, len(p.tracks))
	seq := uint16(65500)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		<-tick.C
		for k, track := range p.tracks {
			var annexB bytes.Buffer
			for _, nal := range ingesttest.Picture(i) {
				annexB.Write(append([]byte{0, 0, 0, 1}, nal...))
			}
			payloads := payloader[k].Payload(1100, annexB.Bytes())
			for j, payload := range payloads {
				pkt := &rtp.Packet{Payload: payload, Header: rtp.Header{
					Version: 2, Marker: j == len(payloads)-1, SequenceNumber: seq + uint16(j), Timestamp: ^uint32(0) - 20*3600 + uint32(i*3600),
				}}
				if rid := track.RID(); rid != "" {
					pkt.SetExtension(extension[sdp.SDESMidURI], []byte(p.mid))
					pkt.SetExtension(extension[sdp.SDESRTPStreamIDURI], []byte(rid))
				}
				track.WriteRTP(pkt)
			}
			if k == len(p.tracks)-1 {
				seq += uint16(len(payloads))
			}
		}
	}
}

func newServer(t *testing.T) (*Server, *sfu.Stream) {
	t.Helper()
	plane := ingesttest.Node(t, nil)
	s, err := New(plane.Port(), nil)
	require.NoError(t, err)
	return s, plane.Ensure("stage", sfu.Spec{})
}

var (
	udp = []webrtc.NetworkType{webrtc.NetworkTypeUDP4}
	tcp = []webrtc.NetworkType{webrtc.NetworkTypeTCP4}
)

func TestPublish(t *testing.T) {
	for name, networks := range map[string][]webrtc.NetworkType{"udp": udp, "tcp": tcp} {
		t.Run(name, func(t *testing.T) {
			s, st := newServer(t)
			newPublisher(t, networks, &lossy{}).publish(t, s, st)
			require.NoError(t, st.WaitLive(deadline(t)))
			ingesttest.Check(t, ingesttest.Layer(t, st, media.Video), 60)
		})
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), ingesttest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// What gets lost on the way is repeated: no picture is missing. How long a repeat takes here is the machine's affair, so it is awaited.
func TestPublishWithLoss(t *testing.T) {
	s, st := newServer(t)
	s.wait = ingesttest.Patience
	var dropped atomic.Uint32
	newPublisher(t, udp, &lossy{n: 11, dropped: &dropped}).publish(t, s, st)
	require.NoError(t, st.WaitLive(deadline(t)))
	ingesttest.Check(t, ingesttest.Layer(t, st, media.Video), 70)
	require.Positive(t, dropped.Load())
}

func TestPublishSimulcast(t *testing.T) {
	s, st := newServer(t)
	newPublisher(t, udp, &lossy{}, "q", "f", "h").publish(t, s, st)
	require.NoError(t, st.WaitLive(deadline(t)))
	var labels []string
	for _, l := range st.Track(media.Video).Layers() {
		labels = append(labels, l.Label)
		ingesttest.Check(t, l, 60)
	}
	require.Equal(t, []string{"high", "mid", "low"}, labels)
}

func TestRestartICE(t *testing.T) {
	s, st := newServer(t)
	p := newPublisher(t, udp, &lossy{})
	session := p.publish(t, s, st)
	require.NoError(t, st.WaitLive(deadline(t)))
	before, _ := session.Credentials()

	o, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	require.NoError(t, err)
	require.NoError(t, p.pc.SetLocalDescription(o))
	ufrag, password, err := session.RestartICE(credentials(o.SDP))
	require.NoError(t, err)
	require.NotEqual(t, before, ufrag)
	answer, err := withCredentials(session.Answer, ufrag, password)
	require.NoError(t, err)
	answer, err = withCandidates(answer, s.port.Candidates())
	require.NoError(t, err)
	require.NoError(t, p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	l := ingesttest.Layer(t, st, media.Video)
	ingesttest.Read(t, l, l.Ring().Next(), 100)
}

// offerOf makes an offer's m-line out of attribute lines.
func offerOf(lines ...string) string {
	return "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" + strings.Join(lines, "\r\n") + "\r\n"
}

func TestReadOffer(t *testing.T) {
	video := func(rest ...string) string {
		return offerOf(append([]string{
			"m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendonly",
			"a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96",
			"a=rtpmap:98 H264/90000", "a=fmtp:98 packetization-mode=1;profile-level-id=64001f",
			"a=rtpmap:99 rtx/90000", "a=fmtp:99 apt=98",
			"a=rtpmap:100 H264/90000", "a=fmtp:100 packetization-mode=0;profile-level-id=42e01f",
		}, rest...)...)
	}
	sources, err := readOffer(video())
	require.NoError(t, err)
	require.Equal(t, media.H264, sources[0].codec, "H264 before VP8")
	require.Equal(t, webrtc.PayloadType(98), sources[0].main.PayloadType, "single-NAL mode is no use")
	require.Equal(t, webrtc.PayloadType(99), sources[0].rtx.PayloadType)

	for lines, want := range map[string][]string{
		"a=simulcast:send q;h;f": {"f", "h", "q"},
		"a=simulcast:send l;~h":  {"h", "l"},
		"a=simulcast:send 0;1;2": {"0", "1", "2"},
		"a=rid:a send max-width=320\r\na=rid:b send max-width=1280\r\na=simulcast:send a;b": {"b", "a"},
		"a=simulcast:recv q;h;f": nil,
	} {
		sources, err := readOffer(video(lines))
		require.NoError(t, err)
		require.Equal(t, want, sources[0].rids, lines)
	}
	for _, bad := range []string{
		"", "v=0", offerOf("m=audio 9 UDP/TLS/RTP/SAVPF 101", "a=rtpmap:101 telephone-event/8000", "a=sendonly"),
		strings.Replace(video(), "a=sendonly", "a=recvonly", 1),
		video() + strings.TrimPrefix(video(), offerOf()),
	} {
		_, err := readOffer(bad)
		require.Error(t, err, bad)
	}
}

func TestLabels(t *testing.T) {
	for n, want := range [][]string{{}, {""}, {"high", "low"}, {"high", "mid", "low"}, {"high", "mid1", "mid2", "low"}} {
		for i := range n {
			require.Equal(t, want[i], label(i, n))
		}
	}
}

// An offer that cannot be read is refused with words, whatever it is.
func FuzzReadOffer(f *testing.F) {
	f.Add(offerOf("m=video 9 UDP/TLS/RTP/SAVPF 98", "a=rtpmap:98 H264/90000", "a=fmtp:98 packetization-mode=1", "a=simulcast:send q;h;f", "a=rid:q send"))
	f.Fuzz(func(t *testing.T, text string) {
		sources, err := readOffer(text)
		for _, s := range sources {
			if s.format() == nil || len(s.rids) > maxLayers {
				t.Fatalf("%+v", s)
			}
		}
		if err == nil && len(sources) == 0 {
			t.Fatal("nothing and no error")
		}
		if changed, err := withCredentials(text, "abcd", strings.Repeat("x", 22)); err == nil {
			withCandidates(changed, nil)
		}
	})
}
