package rtsp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest/ingesttest"
	"watershed/sfu/media"
)

var pullers = map[string]sfu.Puller{"rtsp": Pull, "rtsps": Pull}

// camera is an RTSP server with one stream of numbered pictures.
type camera struct {
	server *gortsplib.Server
	stream *gortsplib.ServerStream
	port   int
	secret string // user and password; "" for none

	mu      sync.Mutex
	playing int
}

func (c *camera) OnDescribe(x *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if c.secret != "" && !x.Conn.VerifyCredentials(x.Request, c.secret, c.secret) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

func (c *camera) OnSetup(x *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

func (c *camera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.playing++
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (c *camera) plays() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.playing > 0
}

func newCamera(t *testing.T, secret string, method auth.VerifyMethod, secure *tls.Config) *camera {
	t.Helper()
	c := &camera{secret: secret}
	var err error
	for range 20 {
		var probe net.Listener
		probe, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		c.port = probe.Addr().(*net.TCPAddr).Port &^ 1
		probe.Close()
		c.server = &gortsplib.Server{
			Handler: c, RTSPAddress: fmt.Sprintf("127.0.0.1:%d", c.port), TLSConfig: secure,
			AuthMethods: []auth.VerifyMethod{method},
		}
		if secure == nil {
			c.server.UDPRTPAddress, c.server.UDPRTCPAddress = fmt.Sprintf("127.0.0.1:%d", c.port), fmt.Sprintf("127.0.0.1:%d", c.port+1)
		}
		if err = c.server.Start(); err == nil {
			break
		}
	}
	require.NoError(t, err)
	t.Cleanup(c.server.Close)
	desc := &description.Session{Medias: []*description.Media{{
		Type:    description.MediaTypeVideo,
		Formats: []format.Format{&format.H264{PayloadTyp: 96, SPS: ingesttest.SPS, PPS: ingesttest.PPS, PacketizationMode: 1}},
	}}}
	c.stream = &gortsplib.ServerStream{Server: c.server, Desc: desc}
	require.NoError(t, c.stream.Initialize())
	return c
}

// send plays pictures, four times as fast as their timestamps, which start just below their wrap, as the sequence numbers do.
func (c *camera) send(t *testing.T, change func(i int, p *rtp.Packet) []*rtp.Packet) {
	t.Helper()
	m := c.stream.Desc.Medias[0]
	start, seq := ^uint32(0)-20*ingesttest.FrameTicks, uint16(65500)
	enc, err := m.Formats[0].(*format.H264).CreateEncoder()
	require.NoError(t, err)
	enc.InitialSequenceNumber = &seq
	require.NoError(t, enc.Init())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { stop(); <-ended })
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		n := 0
		for i := 0; ctx.Err() == nil; <-tick.C {
			if !c.plays() {
				continue
			}
			packets, _ := enc.Encode(ingesttest.Picture(i))
			for _, p := range packets {
				p.Timestamp = start + uint32(i*ingesttest.FrameTicks)
				for _, out := range change(n, p) {
					c.stream.WritePacketRTP(m, out)
				}
				n++
			}
			i++
		}
	}()
}

func asIs(_ int, p *rtp.Packet) []*rtp.Packet { return []*rtp.Packet{p} }

func TestPull(t *testing.T) {
	for name, c := range map[string]struct {
		secret   string
		method   auth.VerifyMethod
		secure   *tls.Config
		fragment string
	}{
		"tcp":             {method: auth.VerifyMethodBasic},
		"udp":             {method: auth.VerifyMethodBasic, fragment: "#transport=udp"},
		"digest over udp": {secret: "me", method: auth.VerifyMethodDigestMD5, fragment: "#transport=udp"},
		"basic":           {secret: "me", method: auth.VerifyMethodBasic},
		"digest":          {secret: "me", method: auth.VerifyMethodDigestMD5},
		"digest sha-256":  {secret: "me", method: auth.VerifyMethodDigestSHA256},
		"tls":             {method: auth.VerifyMethodBasic, secure: selfSigned(t), fragment: "#insecure"},
	} {
		t.Run(name, func(t *testing.T) {
			s := ingesttest.Node(t, pullers)
			cam := newCamera(t, c.secret, c.method, c.secure)
			cam.send(t, asIs)
			st := s.Declare("river", sfu.Spec{Inputs: []sfu.Input{{High: cam.url(c.secret, c.secure != nil) + c.fragment}}})
			ingesttest.Stream(t, s, "river")
			ingesttest.Check(t, ingesttest.Layer(t, st, media.Video), 60)
		})
	}
}

// Over UDP packets change places and get lost: those that are late are waited for a little, a lost one costs its picture and no more.
func TestPullReordersAndLoses(t *testing.T) {
	s := ingesttest.Node(t, pullers)
	cam := newCamera(t, "", auth.VerifyMethodBasic, nil)
	var held *rtp.Packet
	cam.send(t, func(n int, p *rtp.Packet) []*rtp.Packet {
		switch {
		case n%5 == 3: // change places with the next
			held = p
			return nil
		case held != nil:
			late := held
			held = nil
			return []*rtp.Packet{p, late}
		case n == 100:
			return nil
		}
		return []*rtp.Packet{p}
	})
	st := s.Declare("river", sfu.Spec{Inputs: []sfu.Input{{High: cam.url("", false) + "#transport=udp"}}})
	ingesttest.Stream(t, s, "river")
	frames := ingesttest.Read(t, ingesttest.Layer(t, st, media.Video), 1, 70)
	missing := int64(0)
	for i, f := range frames[1:] {
		missing += (f.PTS-frames[i].PTS)/ingesttest.FrameTicks - 1
	}
	require.LessOrEqual(t, missing, int64(1), "one packet is lost")
}

func (c *camera) url(secret string, secure bool) string {
	scheme, user := "rtsp", ""
	if secure {
		scheme = "rtsps"
	}
	if secret != "" {
		user = secret + ":" + secret + "@"
	}
	return fmt.Sprintf("%s://%s127.0.0.1:%d/stream", scheme, user, c.port)
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// What goes wrong has a reason code that a person can act on, and shows no credentials.
func TestPullReasons(t *testing.T) {
	s := ingesttest.Node(t, pullers)
	secured := newCamera(t, "right", auth.VerifyMethodDigestMD5, nil)
	encrypted := newCamera(t, "", auth.VerifyMethodBasic, selfSigned(t))
	silent := newCamera(t, "", auth.VerifyMethodBasic, nil)
	want := map[id.Stream]sfu.Reason{}
	for name, c := range map[id.Stream]struct {
		url    string
		reason sfu.Reason
	}{
		"wrong-password": {secured.url("wrong", false), sfu.ReasonAuth},
		"no-password":    {secured.url("", false), sfu.ReasonAuth},
		"unknown-issuer": {encrypted.url("", true), sfu.ReasonTLS},
		"refused":        {"rtsp://wrong:wrong@127.0.0.1:1/", sfu.ReasonRefused},
		"no-such-host":   {"rtsp://wrong:wrong@camera.invalid/", sfu.ReasonDNS},
		"no-media":       {silent.url("", false), sfu.ReasonNoRTP},
	} {
		want[name] = c.reason
		s.Declare(name, sfu.Spec{Inputs: []sfu.Input{{High: c.url}}})
	}
	for name, reason := range want {
		st, _ := s.Stream(name)
		require.Eventually(t, func() bool { return st.Status().Reason == reason }, ingesttest.Patience, time.Millisecond, "%s: %+v", name, st.Status())
		require.NotContains(t, st.Status().Message, "wrong")
	}
}
