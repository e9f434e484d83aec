// Package answer reads a viewer's SDP offer and writes the answer: which codecs, which SSRCs, one bundled transport.
//
// It is plain text work without state. The answer does not depend on what a stream sends just now: every
// codec that both sides know is accepted for every m-line, so a slot can carry another stream, or another layer, without negotiating again.
package answer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"watershed/sfu/media"
)

// Payload types of one codec in one m-line.
type Payload struct {
	PT, RTX   uint8 // RTX is 0 when the peer does not take retransmissions
	ClockRate int
	fmtp      string
	encoding  string // as in rtpmap, with its parameters
	feedback  []string
}

// Media is one m-line of the offer.
type Media struct {
	Index  int
	Mid    string
	Kind   media.Kind
	Codecs map[media.Codec]Payload // empty when the m-line cannot be served
	order  []media.Codec
	protos string
	name   string
}

// Offer is what matters of an offer to receive.
type Offer struct {
	Ufrag, Password string
	Fingerprint     string // sha-256
	Medias          []Media
}

// Errors of offers that cannot be answered at all.
var (
	ErrNoTransport   = errors.New("the offer has no ice-ufrag, ice-pwd and sha-256 fingerprint")
	ErrNothingToSend = errors.New("the offer has no audio or video that it wants to receive, or none with a codec known here")
	ErrSetup         = errors.New("the offer's a=setup is passive: offer actpass or active (RFC 5763 section 5)")
)

// maxMedias bounds a hostile offer: a wall of 64 tiles with sound has 128.
const maxMedias = 256

// Parse reads an offer. profile, if not empty, is the profile-level-id of the stream's H.264: of several H.264 payload
// types the one with the same profile is taken.
func Parse(offer, profile string) (*Offer, error) {
	var s sdp.SessionDescription
	if err := s.UnmarshalString(offer); err != nil {
		return nil, fmt.Errorf("parse SDP offer: %w", err)
	}
	if len(s.MediaDescriptions) > maxMedias {
		return nil, fmt.Errorf("the offer has %d m-lines: at most %d", len(s.MediaDescriptions), maxMedias)
	}
	o := &Offer{}
	for i, md := range s.MediaDescriptions {
		o.transport(&s, md)
		if v := attribute(&s, md, "setup"); v == "passive" {
			return nil, ErrSetup
		}
		o.Medias = append(o.Medias, readMedia(i, md, profile))
	}
	if o.Ufrag == "" || o.Password == "" || o.Fingerprint == "" {
		return nil, ErrNoTransport
	}
	for _, m := range o.Medias {
		if len(m.Codecs) > 0 {
			return o, nil
		}
	}
	return nil, ErrNothingToSend
}

// transport keeps the first m-line's: everything is bundled.
func (o *Offer) transport(s *sdp.SessionDescription, md *sdp.MediaDescription) {
	if o.Ufrag == "" {
		o.Ufrag = attribute(s, md, "ice-ufrag")
		o.Password = attribute(s, md, "ice-pwd")
	}
	if o.Fingerprint == "" {
		hash, value, _ := strings.Cut(attribute(s, md, "fingerprint"), " ")
		if strings.EqualFold(hash, "sha-256") {
			o.Fingerprint = strings.ToUpper(value)
		}
	}
}

func attribute(s *sdp.SessionDescription, md *sdp.MediaDescription, key string) string {
	if v, ok := md.Attribute(key); ok {
		return v
	}
	v, _ := s.Attribute(key)
	return v
}

func readMedia(i int, md *sdp.MediaDescription, profile string) Media {
	m := Media{
		Index: i, name: md.MediaName.Media, protos: strings.Join(md.MediaName.Protos, "/"),
		Codecs: map[media.Codec]Payload{},
	}
	m.Mid, _ = md.Attribute("mid")
	switch m.name {
	case "video":
		m.Kind = media.Video
	case "audio":
		m.Kind = media.Audio
	}
	_, sendonly := md.Attribute("sendonly")
	_, inactive := md.Attribute("inactive")
	if m.Kind == 0 || sendonly || inactive || md.MediaName.Port.Value == 0 && !hasBundleOnly(md) {
		return m
	}
	m.readCodecs(md, profile)
	return m
}

func hasBundleOnly(md *sdp.MediaDescription) bool {
	_, ok := md.Attribute("bundle-only")
	return ok
}

// line is what an offer says of one payload type.
type line struct {
	pt       uint8
	codec    media.Codec
	encoding string
	rate     int
	fmtp     string
	feedback []string
}

func (m *Media) readCodecs(md *sdp.MediaDescription, profile string) {
	lines := readLines(md)
	for _, l := range lines {
		if l.codec == 0 || l.codec.Kind() != m.Kind {
			continue
		}
		old, seen := m.Codecs[l.codec]
		if seen && !better(l, old, profile) {
			continue
		}
		if !usable(l) {
			continue
		}
		if !seen {
			m.order = append(m.order, l.codec)
		}
		m.Codecs[l.codec] = Payload{
			PT: l.pt, RTX: rtxFor(lines, l.pt), ClockRate: l.rate,
			fmtp: l.fmtp, encoding: l.encoding, feedback: l.feedback,
		}
	}
}

// usable: H.264 fragments need packetization-mode 1 (RFC 6184 section 5.4); VP9 beyond profile 0 is not 8-bit 4:2:0.
func usable(l line) bool {
	switch l.codec {
	case media.H264:
		return param(l.fmtp, "packetization-mode") == "1"
	case media.VP9:
		p := param(l.fmtp, "profile-id")
		return p == "" || p == "0"
	}
	return true
}

// better reports whether a further payload type of one codec suits the stream more. Constrained baseline is what all decoders take.
func better(l line, old Payload, profile string) bool {
	if l.codec != media.H264 || !usable(l) {
		return false
	}
	return h264Rank(l.fmtp, profile) > h264Rank(old.fmtp, profile)
}

func h264Rank(fmtp, profile string) int {
	p := strings.ToLower(param(fmtp, "profile-level-id"))
	switch {
	case len(p) == 6 && len(profile) == 6 && p[:2] == strings.ToLower(profile[:2]):
		return 2
	case strings.HasPrefix(p, "42e0"):
		return 1
	}
	return 0
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

func rtxFor(lines []line, pt uint8) uint8 {
	for _, l := range lines {
		if strings.EqualFold(l.encoding, "rtx") && param(l.fmtp, "apt") == strconv.Itoa(int(pt)) {
			return l.pt
		}
	}
	return 0
}

func readLines(md *sdp.MediaDescription) []line {
	var lines []line
	for _, f := range md.MediaName.Formats {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		lines = append(lines, line{pt: uint8(pt)})
	}
	find := func(value string) (*line, string) {
		num, rest, _ := strings.Cut(value, " ")
		pt, err := strconv.ParseUint(num, 10, 7)
		if err != nil {
			return nil, ""
		}
		i := slices.IndexFunc(lines, func(l line) bool { return l.pt == uint8(pt) })
		if i < 0 {
			return nil, ""
		}
		return &lines[i], rest
	}
	for _, a := range md.Attributes {
		l, rest := find(a.Value)
		if l == nil {
			continue
		}
		switch a.Key {
		case "rtpmap":
			l.encoding, l.rate, l.codec = readRTPMap(rest)
		case "fmtp":
			l.fmtp = rest
		case "rtcp-fb":
			l.feedback = append(l.feedback, rest)
		}
	}
	for i := range lines { // static payload types need no rtpmap (RFC 3551 section 6)
		if l := &lines[i]; l.encoding == "" && (l.pt == 0 || l.pt == 8) {
			l.encoding, l.rate, l.codec = "PCMU", 8000, media.PCMU
			if l.pt == 8 {
				l.encoding, l.codec = "PCMA", media.PCMA
			}
		}
	}
	return lines
}

var webrtcCodecs = []media.Codec{media.H264, media.H265, media.VP8, media.VP9, media.AV1, media.Opus, media.PCMU, media.PCMA}

func readRTPMap(v string) (encoding string, rate int, c media.Codec) {
	parts := strings.Split(v, "/")
	encoding = parts[0]
	if len(parts) > 1 {
		rate, _ = strconv.Atoi(parts[1])
	}
	for _, known := range webrtcCodecs {
		if strings.EqualFold(encoding, known.String()) {
			return encoding, rate, known
		}
	}
	return encoding, rate, 0
}

// Accepts reports whether some m-line of the kind can carry the codec.
func (o *Offer) Accepts(c media.Codec) bool {
	for _, m := range o.Medias {
		if _, ok := m.Codecs[c]; ok {
			return true
		}
	}
	return false
}
