package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"watershed/sfu/id"
	"watershed/sfu/leg"
)

// remote is what the answer says.
type remote struct {
	addr            *net.UDPAddr
	ufrag, password string
	fingerprint     string
}

const videoLines = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101 102 103\r\n" +
	"a=rtpmap:96 H264/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 goog-remb\r\n" +
	"a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n" +
	"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
	"a=rtpmap:98 VP8/90000\r\na=rtcp-fb:98 nack\r\na=rtcp-fb:98 nack pli\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n" +
	"a=rtpmap:100 H265/90000\r\na=rtcp-fb:100 nack\r\na=rtpmap:101 rtx/90000\r\na=fmtp:101 apt=100\r\n" +
	"a=rtpmap:102 AV1/90000\r\na=rtcp-fb:102 nack\r\na=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n"

const audioLines = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
	"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"

func (p *Peer) offer() (sdp, ufrag string) {
	ufrag = id.Random(5)
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE")
	for i := range p.cfg.Video + p.cfg.Audio {
		fmt.Fprintf(&b, " %d", i)
	}
	b.WriteString("\r\n")
	for i := range p.cfg.Video + p.cfg.Audio {
		lines := videoLines
		if i >= p.cfg.Video {
			lines = audioLines
		}
		b.WriteString(lines)
		fmt.Fprintf(&b, "c=IN IP4 0.0.0.0\r\na=mid:%d\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\n"+
			"a=setup:active\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=recvonly\r\n",
			i, ufrag, id.Random(15), leg.Fingerprint(p.cfg.Certificate.Certificate[0]))
	}
	return b.String(), ufrag
}

func (p *Peer) readAnswer(text string) error {
	var s sdp.SessionDescription
	if err := s.UnmarshalString(text); err != nil {
		return fmt.Errorf("parse answer: %w", err)
	}
	for _, md := range s.MediaDescriptions {
		if md.MediaName.Port.Value == 0 {
			continue
		}
		t := &Track{Kind: md.MediaName.Media, peer: p}
		t.Mid, _ = md.Attribute("mid")
		t.ssrc, t.rtx = ssrcs(md)
		p.Tracks = append(p.Tracks, t)
		p.transport(&s, md)
	}
	switch {
	case p.remote.addr == nil:
		return errors.New("the answer has no UDP candidate")
	case p.remote.ufrag == "" || p.remote.fingerprint == "":
		return errors.New("the answer has no ICE credentials or fingerprint")
	}
	return nil
}

func (p *Peer) transport(s *sdp.SessionDescription, md *sdp.MediaDescription) {
	find := func(key string) string {
		if v, ok := md.Attribute(key); ok {
			return v
		}
		v, _ := s.Attribute(key)
		return v
	}
	if p.remote.ufrag == "" {
		p.remote.ufrag, p.remote.password = find("ice-ufrag"), find("ice-pwd")
		_, p.remote.fingerprint, _ = strings.Cut(find("fingerprint"), " ")
	}
	for _, a := range md.Attributes {
		f := strings.Fields(a.Value)
		if a.Key != "candidate" || len(f) < 8 || !strings.EqualFold(f[2], "udp") {
			continue
		}
		ip, err := netip.ParseAddr(f[4])
		port, err2 := strconv.ParseUint(f[5], 10, 16)
		if err != nil || err2 != nil {
			continue
		}
		// Loopback if there is one: tests and load run beside the server.
		if p.remote.addr == nil || ip.IsLoopback() {
			p.remote.addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port)))
		}
	}
}

func ssrcs(md *sdp.MediaDescription) (media, rtx uint32) {
	for _, a := range md.Attributes {
		f := strings.Fields(a.Value)
		if a.Key == "ssrc-group" && len(f) == 3 && f[0] == "FID" {
			return number(f[1]), number(f[2])
		}
		if a.Key == "ssrc" && media == 0 && len(f) > 0 {
			media = number(f[0])
		}
	}
	return media, rtx
}

func number(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}
