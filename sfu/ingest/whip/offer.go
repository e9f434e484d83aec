package whip

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"watershed/sfu/ingest/depacket"
	"watershed/sfu/media"
)

// Errors of offers that cannot be answered.
var (
	ErrNothingSent = errors.New("the offer sends no audio or video with a codec known here (H264, VP8, VP9, AV1, H265; opus, PCMU, PCMA)")
	ErrTooMany     = errors.New("the offer sends more than one video or more than one audio: publish each as a stream of its own")
)

// source is one m-line that the peer sends, with the codec that we choose.
type source struct {
	kind  media.Kind
	codec media.Codec
	main  webrtc.RTPCodecParameters
	rtx   webrtc.RTPCodecParameters // payload type 0: none
	rids  []string                  // simulcast, best first; empty for a single encoding
}

// readOffer finds what an offer sends: at most one video and one audio.
func readOffer(text string) ([]*source, error) {
	var s sdp.SessionDescription
	if err := s.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("parse SDP offer: %w", err)
	}
	var sources []*source
	for _, m := range s.MediaDescriptions {
		src := readMedia(m)
		if src == nil {
			continue
		}
		if slices.ContainsFunc(sources, func(o *source) bool { return o.kind == src.kind }) {
			return nil, ErrTooMany
		}
		sources = append(sources, src)
	}
	if len(sources) == 0 {
		return nil, ErrNothingSent
	}
	return sources, nil
}

func readMedia(m *sdp.MediaDescription) *source {
	src := &source{}
	switch m.MediaName.Media {
	case "video":
		src.kind = media.Video
	case "audio":
		src.kind = media.Audio
	default:
		return nil
	}
	_, recvonly := m.Attribute("recvonly")
	_, inactive := m.Attribute("inactive")
	if recvonly || inactive {
		return nil
	}
	if !src.choose(m) {
		return nil
	}
	if src.kind == media.Video {
		src.rids = readRIDs(m)
	}
	return src
}

var codecs = []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1, media.Opus, media.PCMU, media.PCMA}

// choose takes the best payload type that the m-line offers: what most viewers can take as it is.
func (src *source) choose(m *sdp.MediaDescription) bool {
	one := &sdp.SessionDescription{MediaDescriptions: []*sdp.MediaDescription{m}}
	best := 0
	var rtx []webrtc.RTPCodecParameters
	for _, f := range m.MediaName.Formats {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		c, err := one.GetCodecForPayloadType(uint8(pt))
		if err != nil {
			continue
		}
		p := parameters(src.kind, uint8(pt), c)
		if strings.EqualFold(c.Name, "rtx") {
			rtx = append(rtx, p)
			continue
		}
		i := slices.IndexFunc(codecs, func(k media.Codec) bool { return strings.EqualFold(c.Name, k.String()) && k.Kind() == src.kind })
		if i < 0 {
			continue
		}
		if r := rank(codecs[i], c.Fmtp); r > best {
			best, src.codec, src.main = r, codecs[i], p
		}
	}
	for _, p := range rtx {
		if p.SDPFmtpLine == fmt.Sprintf("apt=%d", src.main.PayloadType) {
			src.rtx = p
		}
	}
	return best > 0
}

// rank orders what is offered: H.264 first, of its profiles constrained baseline, which every decoder takes; then the offer's own order. 0 is no use.
func rank(c media.Codec, fmtp string) int {
	switch c {
	case media.H264:
		switch p := strings.ToLower(param(fmtp, "profile-level-id")); {
		case param(fmtp, "packetization-mode") != "1": // without fragments a picture must fit a packet (RFC 6184 section 6.2)
			return 0
		case strings.HasPrefix(p, "42e0"):
			return 5
		case strings.HasPrefix(p, "42"):
			return 4
		default:
			return 3
		}
	case media.VP9:
		if p := param(fmtp, "profile-id"); p != "" && p != "0" {
			return 0
		}
	case media.Opus:
		return 2
	}
	return 1
}

func param(fmtp, key string) string {
	for kv := range strings.SplitSeq(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(kv), "=")
		if strings.EqualFold(k, key) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func parameters(k media.Kind, pt uint8, c sdp.Codec) webrtc.RTPCodecParameters {
	channels, _ := strconv.ParseUint(c.EncodingParameters, 10, 8)
	p := webrtc.RTPCodecParameters{PayloadType: webrtc.PayloadType(pt)}
	p.MimeType = k.String() + "/" + c.Name
	p.ClockRate, p.Channels, p.SDPFmtpLine = c.ClockRate, uint16(channels), c.Fmtp
	p.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "transport-cc"}}
	if k == media.Video {
		p.RTCPFeedback = append(p.RTCPFeedback, webrtc.RTCPFeedback{Type: "nack"},
			webrtc.RTCPFeedback{Type: "nack", Parameter: "pli"}, webrtc.RTCPFeedback{Type: "ccm", Parameter: "fir"})
	}
	if strings.EqualFold(c.Name, "rtx") {
		p.RTCPFeedback = nil
	}
	return p
}

// format that depacketizes the source.
func (src *source) format() *depacket.Format {
	pt := uint8(src.main.PayloadType)
	var f format.Format
	switch src.codec {
	case media.H264:
		f = &format.H264{PayloadTyp: pt, PacketizationMode: 1}
	case media.H265:
		f = &format.H265{PayloadTyp: pt}
	case media.VP8:
		f = &format.VP8{PayloadTyp: pt}
	case media.VP9:
		f = &format.VP9{PayloadTyp: pt}
	case media.AV1:
		f = &format.AV1{PayloadTyp: pt}
	case media.Opus:
		f = &format.Opus{PayloadTyp: pt, ChannelCount: 2}
	default:
		f = &format.G711{PayloadTyp: pt, MULaw: src.codec == media.PCMU, SampleRate: 8000, ChannelCount: 1}
	}
	return depacket.New(f)
}

// maxLayers bounds simulcast; browsers send three.
const maxLayers = 4

// readRIDs lists the simulcast encodings that the m-line sends, best first.
func readRIDs(m *sdp.MediaDescription) []string {
	value, _ := m.Attribute("simulcast")
	fields := strings.Fields(value)
	i := slices.Index(fields, "send")
	if i < 0 || i+1 >= len(fields) {
		return nil
	}
	var rids []string
	for alternatives := range strings.SplitSeq(fields[i+1], ";") { // RFC 8853 section 5.1
		rid, _, _ := strings.Cut(alternatives, ",")
		rid = strings.TrimPrefix(rid, "~") // paused at first
		if rid != "" && len(rids) < maxLayers && !slices.Contains(rids, rid) {
			rids = append(rids, rid)
		}
	}
	sortRIDs(rids, m)
	return rids
}

// wellKnown are sets of names by which senders tell what is best.
var wellKnown = [][]string{{"f", "h", "q"}, {"h", "m", "l"}, {"high", "mid", "low"}, {"high", "medium", "low"}, {"hi", "mid", "lo"}, {"full", "half", "quarter"}}

// sortRIDs puts the best first: by well-known names, else by the largest width or bit rate that a=rid lines name, else as the offer
// has them, which is by preference (RFC 8853 section 5.2).
func sortRIDs(rids []string, m *sdp.MediaDescription) {
	for _, set := range wellKnown {
		if !slices.ContainsFunc(rids, func(r string) bool { return !slices.Contains(set, strings.ToLower(r)) }) {
			slices.SortStableFunc(rids, func(a, b string) int {
				return slices.Index(set, strings.ToLower(a)) - slices.Index(set, strings.ToLower(b))
			})
			return
		}
	}
	size := map[string]int{}
	for _, a := range m.Attributes {
		id, rest, _ := strings.Cut(a.Value, " ")
		_, restrictions, _ := strings.Cut(rest, " ")
		if a.Key != "rid" {
			continue
		}
		for _, key := range []string{"max-br", "max-width"} {
			if n, err := strconv.Atoi(param(restrictions, key)); err == nil {
				size[id] = n
			}
		}
	}
	slices.SortStableFunc(rids, func(a, b string) int { return size[b] - size[a] })
}

// label of the layer that is i-th best of n.
func label(i, n int) string {
	switch {
	case n <= 1:
		return ""
	case i == 0:
		return "high"
	case i == n-1:
		return "low"
	case n == 3:
		return "mid"
	}
	return "mid" + strconv.Itoa(i)
}
