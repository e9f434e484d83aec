package answer

import (
	"fmt"
	"slices"
	"strings"

	"watershed/sfu/media"
)

// Transport is our side of the bundled transport.
type Transport struct {
	SessionID       uint64
	Ufrag, Password string
	Fingerprint     string
	Candidates      []string
}

// Source names what we send in one m-line.
type Source struct {
	SSRC, RTX uint32
	StreamID  string        // msid: what plays in one element together
	First     []media.Codec // codecs to list first, best first
}

// fullFeedback are the messages that we act on; what the peer did not offer is left out.
var fullFeedback = []string{"goog-remb", "nack", "nack pli", "ccm fir"}

// Write makes the answer. sources has one entry for each m-line that is served, by index.
func (o *Offer) Write(t Transport, sources map[int]Source) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0")
	line("o=- %d 2 IN IP4 127.0.0.1", t.SessionID)
	line("s=-")
	line("t=0 0")
	var mids []string
	for _, m := range o.Medias {
		if _, ok := sources[m.Index]; ok {
			mids = append(mids, m.Mid)
		}
	}
	line("a=group:BUNDLE %s", strings.Join(mids, " "))
	line("a=ice-lite")
	line("a=msid-semantic: WMS *")
	first := true
	for _, m := range o.Medias {
		src, ok := sources[m.Index]
		if !ok {
			m.reject(line)
			continue
		}
		m.write(line, t, src, first)
		first = false
	}
	return b.String()
}

func (m *Media) reject(line func(string, ...any)) {
	format := "0"
	if m.name == "application" {
		format = "webrtc-datachannel"
	}
	line("m=%s 0 %s %s", m.name, m.protos, format)
	line("c=IN IP4 0.0.0.0")
	if m.Mid != "" {
		line("a=mid:%s", m.Mid)
	}
	line("a=inactive")
}

func (m *Media) write(line func(string, ...any), t Transport, src Source, first bool) {
	order := m.ordered(src.First)
	var pts []string
	for _, c := range order {
		p := m.Codecs[c]
		pts = append(pts, fmt.Sprint(p.PT))
		if p.RTX != 0 {
			pts = append(pts, fmt.Sprint(p.RTX))
		}
	}
	line("m=%s 9 %s %s", m.name, m.protos, strings.Join(pts, " "))
	line("c=IN IP4 0.0.0.0")
	line("a=mid:%s", m.Mid)
	line("a=ice-ufrag:%s", t.Ufrag)
	line("a=ice-pwd:%s", t.Password)
	line("a=fingerprint:sha-256 %s", t.Fingerprint)
	line("a=setup:passive")
	line("a=sendonly")
	line("a=rtcp-mux")
	line("a=rtcp-rsize")
	for _, c := range order {
		m.Codecs[c].write(line)
	}
	line("a=msid:%s %s", src.StreamID, m.name+m.Mid)
	if src.RTX != 0 {
		line("a=ssrc-group:FID %d %d", src.SSRC, src.RTX)
	}
	line("a=ssrc:%d cname:watershed", src.SSRC)
	if src.RTX != 0 {
		line("a=ssrc:%d cname:watershed", src.RTX)
	}
	if first { // one transport: candidates once
		for _, c := range t.Candidates {
			line("a=candidate:%s", c)
		}
		line("a=end-of-candidates")
	}
}

func (p Payload) write(line func(string, ...any)) {
	channels := ""
	if p.encoding == "opus" {
		channels = "/2"
	}
	line("a=rtpmap:%d %s/%d%s", p.PT, p.encoding, p.ClockRate, channels)
	for _, fb := range fullFeedback {
		if slices.Contains(p.feedback, fb) {
			line("a=rtcp-fb:%d %s", p.PT, fb)
		}
	}
	if p.fmtp != "" {
		line("a=fmtp:%d %s", p.PT, p.fmtp)
	}
	if p.RTX != 0 {
		line("a=rtpmap:%d rtx/%d", p.RTX, p.ClockRate)
		line("a=fmtp:%d apt=%d", p.RTX, p.PT)
	}
}

// ordered lists the accepted codecs, wanted ones first.
func (m *Media) ordered(want []media.Codec) []media.Codec {
	var order []media.Codec
	for _, c := range append(slices.Clone(want), m.order...) {
		if _, ok := m.Codecs[c]; ok && !slices.Contains(order, c) {
			order = append(order, c)
		}
	}
	return order
}
