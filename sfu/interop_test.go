package sfu_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/mediatest"
)

// pionViewer watches with a full WebRTC stack that is not ours, over the given networks.
func pionViewer(t *testing.T, s *sfu.SFU, st *sfu.Stream, change func(answer string) string, networks ...webrtc.NetworkType) (*webrtc.PeerConnection, *sfu.Viewer, <-chan rtp.Header) {
	t.Helper()
	var e webrtc.SettingEngine
	e.SetNetworkTypes(networks)
	e.SetIncludeLoopbackCandidate(true)
	m := &webrtc.MediaEngine{}
	require.NoError(t, m.RegisterDefaultCodecs())
	api := webrtc.NewAPI(webrtc.WithSettingEngine(e), webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	t.Cleanup(func() { pc.GracefulClose() })
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	require.NoError(t, err)
	packets := make(chan rtp.Header, 10000)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			packets <- p.Header
		}
	})
	v := offerTo(t, s, pc, change)
	v.Slots[0].Bind(st, "")
	return pc, v, packets
}

func offerTo(t *testing.T, s *sfu.SFU, pc *webrtc.PeerConnection, change func(string) string) *sfu.Viewer {
	t.Helper()
	offer, err := pc.CreateOffer(nil)
	require.NoError(t, err)
	require.NoError(t, pc.SetLocalDescription(offer))
	v, err := s.Answer(sfu.ViewerOptions{Offer: offer.SDP})
	require.NoError(t, err)
	answer := v.Answer
	if change != nil {
		answer = change(answer)
	}
	require.NoError(t, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	return v
}

// receive takes whole pictures of which no packet may be missing.
func receive(t *testing.T, packets <-chan rtp.Header, pictures int) {
	t.Helper()
	var last rtp.Header
	for i := 0; pictures > 0; i++ {
		select {
		case h := <-packets:
			if i > 0 {
				require.Equal(t, last.SequenceNumber+1, h.SequenceNumber)
			}
			last = h
		case <-time.After(10 * time.Second):
			t.Fatalf("packet %d did not come", i)
		}
		if last.Marker {
			pictures--
		}
	}
}

// showAll writes pictures one after the other to a viewer whose socket holds but a few of them.
func (s *source) showAll(packets <-chan rtp.Header, pictures int) {
	s.t.Helper()
	for range pictures {
		s.write(1)
		receive(s.t, packets, 1)
	}
}

func TestAnotherStackWatches(t *testing.T) {
	for name, c := range map[string]struct {
		listen  string
		network webrtc.NetworkType
	}{
		"UDP":               {"127.0.0.1:0", webrtc.NetworkTypeUDP4},
		"ICE-TCP":           {"127.0.0.1:0", webrtc.NetworkTypeTCP4},
		"UDP over IPv6":     {"[::1]:0", webrtc.NetworkTypeUDP6},
		"ICE-TCP over IPv6": {"[::1]:0", webrtc.NetworkTypeTCP6},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(c.listen, "[") {
				mediatest.NeedIPv6(t)
			}
			s := nodeAt(t, c.listen, nil)
			st := s.Declare("cam", sfu.Spec{})
			src := publish(t, st, "coast")
			src.write(5)
			_, _, packets := pionViewer(t, s, st, nil, c.network)
			receive(t, packets, 5)
			src.showAll(packets, 50)
		})
	}
}

func TestICERestartKeepsTheMedia(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	src := publish(t, st, "coast")
	src.write(5)
	pc, v, packets := pionViewer(t, s, st, nil, webrtc.NetworkTypeUDP4)
	receive(t, packets, 5)
	offer, err := pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	require.NoError(t, err)
	require.NoError(t, pc.SetLocalDescription(offer))
	oldUfrag, oldPwd := v.Credentials()
	ufrag, pwd := v.RestartICE(value(offer.SDP, "ice-ufrag"), value(offer.SDP, "ice-pwd"))
	require.NotEqual(t, oldUfrag, ufrag)
	answer := strings.NewReplacer(oldUfrag, ufrag, oldPwd, pwd).Replace(v.Answer)
	connected := make(chan struct{}, 1)
	pc.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) {
		if state == webrtc.ICEConnectionStateConnected || state == webrtc.ICEConnectionStateCompleted {
			select {
			case connected <- struct{}{}:
			default:
			}
		}
	})
	require.NoError(t, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	select {
	case <-connected:
	case <-time.After(10 * time.Second):
		t.Fatal("not connected after the restart")
	}
	src.showAll(packets, 20)
}

func value(sdp, key string) string {
	_, after, _ := strings.Cut(sdp, "a="+key+":")
	v, _, _ := strings.Cut(after, "\r\n")
	return v
}

// TestWrongCertificateIsRefused answers an offer whose fingerprint is another's: whoever shakes hands is not who signaled.
func TestWrongCertificateIsRefused(t *testing.T) {
	s := node(t, nil)
	st := s.Declare("cam", sfu.Spec{})
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	t.Cleanup(func() { pc.GracefulClose() })
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	require.NoError(t, err)
	offer, err := pc.CreateOffer(nil)
	require.NoError(t, err)
	require.NoError(t, pc.SetLocalDescription(offer))
	print := value(offer.SDP, "fingerprint")
	forged := strings.ReplaceAll(offer.SDP, print[8:], strings.Repeat("AB:", 31)+"AB")
	closed := make(chan error, 1)
	v, err := s.Answer(sfu.ViewerOptions{Offer: forged, Closed: func(_ *sfu.Viewer, reason error) { closed <- reason }})
	require.NoError(t, err)
	v.Slots[0].Bind(st, "")
	require.NoError(t, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: v.Answer}))
	select {
	case reason := <-closed:
		require.ErrorContains(t, reason, "fingerprint")
	case <-time.After(10 * time.Second):
		t.Fatal("a peer with another certificate was let in")
	}
	require.False(t, v.Connected())
}
