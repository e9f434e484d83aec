// Package codec reads access units: is this one a keyframe, which configuration does it carry, when is it decoded.
package codec

import (
	"bytes"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp8"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"

	"watershed/sfu/media"
)

// Parser follows one encoding of a track. One goroutine uses it.
type Parser struct {
	cfg     *media.Config
	lastPTS int64
	reorder bool // the parameter sets allow pictures out of order
	h264DTS *h264.DTSExtractor
	h265DTS *h265.DTSExtractor
	lastDTS int64
	started bool // lastPTS is set
	decoded bool // lastDTS is set
	refresh refresh
}

// NewParser starts from what is known before the first frame: the codec and clock at least, parameter sets if
// the source announced them.
func NewParser(cfg media.Config) *Parser {
	p := &Parser{cfg: &cfg}
	p.readParameters()
	return p
}

// Config is the configuration in force. It changes identity, and Version, when the source changes.
func (p *Parser) Config() *media.Config { return p.cfg }

// Parse prepares one access unit: parameter sets are learned and put before every keyframe, delimiters removed.
// The result may be empty: nothing to forward.
func (p *Parser) Parse(units [][]byte) (out [][]byte, keyframe bool) {
	switch p.cfg.Codec {
	case media.H264:
		return p.parseNAL(units, h264NAL)
	case media.H265:
		return p.parseNAL(units, h265NAL)
	case media.AV1:
		return p.parseAV1(units)
	case media.VP8:
		key := len(units) > 0 && vp8.IsRandomAccess(units[0])
		if key && len(units[0]) >= 10 { // RFC 6386 section 9.1
			u := units[0]
			p.resize(int(u[6])|int(u[7]&0x3f)<<8, int(u[8])|int(u[9]&0x3f)<<8)
		}
		return units, key
	case media.VP9:
		var h vp9.Header
		if len(units) == 0 || h.Unmarshal(units[0]) != nil {
			return units, false
		}
		key := !h.ShowExistingFrame && !h.NonKeyFrame
		if key {
			p.resize(h.Width(), h.Height())
		}
		return units, key
	}
	return units, true // every audio frame can be decoded by itself
}

// Shown tells when an access unit of a source that knows its decoding times, too, is shown: B-frames show.
func (p *Parser) Shown(pts int64) {
	if p.started && pts < p.lastPTS-int64(p.cfg.ClockRate) { // a second is more than pictures are out of order: its clock began anew
		p.started = false
		p.forget()
	}
	if p.started && pts < p.lastPTS && p.cfg.Codec.Kind() == media.Video && !p.cfg.BFrames {
		p.change(func(c *media.Config) { c.BFrames = true })
	}
	p.lastPTS, p.started = pts, true
}

// DTS of an access unit that is shown at pts, for sources that do not know it. The result grows, but for a source whose clock goes back by more than a second.
func (p *Parser) DTS(units [][]byte, pts int64) int64 {
	p.Shown(pts)
	dts := pts
	var err error
	if p.reorder {
		switch p.cfg.Codec {
		case media.H264:
			if p.h264DTS == nil {
				p.h264DTS = &h264.DTSExtractor{}
				p.h264DTS.Initialize()
			}
			dts, err = p.h264DTS.Extract(units, pts)
			if err != nil {
				p.h264DTS = nil
			}
		case media.H265:
			if p.h265DTS == nil {
				p.h265DTS = &h265.DTSExtractor{}
				p.h265DTS.Initialize()
			}
			dts, err = p.h265DTS.Extract(units, pts)
			if err != nil {
				p.h265DTS = nil
			}
		}
	}
	if err != nil {
		dts = pts
	}
	if p.decoded && dts <= p.lastDTS {
		dts = p.lastDTS + 1
	}
	p.lastDTS, p.decoded = dts, true
	return dts
}

// forget the decoding times so far, not the parameters.
func (p *Parser) forget() { p.decoded, p.h264DTS, p.h265DTS = false, nil, nil }

// nalRole is what a NAL unit is to us.
type nalRole uint8

const (
	slice nalRole = iota
	keySlice
	vps
	sps
	pps
	delimiter
	sei
	other
)

func h264NAL(nal []byte) nalRole {
	switch h264.NALUType(nal[0] & 0x1f) {
	case h264.NALUTypeIDR:
		return keySlice
	case h264.NALUTypeSPS:
		return sps
	case h264.NALUTypePPS:
		return pps
	case h264.NALUTypeAccessUnitDelimiter:
		return delimiter
	case h264.NALUTypeSEI:
		return sei
	case h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA, h264.NALUTypeDataPartitionB, h264.NALUTypeDataPartitionC:
		return slice
	}
	return other
}

func h265NAL(nal []byte) nalRole {
	if len(nal) < 2 {
		return delimiter
	}
	switch t := h265.NALUType(nal[0] >> 1 & 0x3f); {
	case t >= h265.NALUType_BLA_W_LP && t <= h265.NALUType_CRA_NUT:
		return keySlice
	case t == h265.NALUType_VPS_NUT:
		return vps
	case t == h265.NALUType_SPS_NUT:
		return sps
	case t == h265.NALUType_PPS_NUT:
		return pps
	case t == h265.NALUType_AUD_NUT:
		return delimiter
	case t == h265.NALUType_PREFIX_SEI_NUT:
		return sei
	case t < 32:
		return slice
	}
	return other
}

func (p *Parser) parseNAL(units [][]byte, role func([]byte) nalRole) (out [][]byte, keyframe bool) {
	out = make([][]byte, 0, len(units))
	v, s := p.cfg.VPS, p.cfg.SPS
	var pictures [][]byte // parameter sets
	picture, recovery := false, false
	for _, nal := range units {
		if len(nal) == 0 {
			continue
		}
		switch role(nal) {
		case vps:
			v = nal
		case sps:
			s = nal
		case pps:
			pictures = append(pictures, nal)
		case delimiter:
		case keySlice:
			keyframe, picture = true, true
			out = append(out, nal)
		case slice:
			picture = true
			out = append(out, nal)
		case sei:
			recovery = recovery || recoveryPoint(nal[headerLen[p.cfg.Codec]:])
			out = append(out, nal)
		default:
			out = append(out, nal)
		}
	}
	p.setParameters(v, s, pictures)
	if !picture {
		return nil, false
	}
	gradual := p.refresh.starts(keyframe, recovery)
	if !keyframe && !gradual {
		return out, false
	}
	keyframe = true
	if p.cfg.Gradual != gradual {
		p.change(func(c *media.Config) { c.Gradual = gradual })
	}
	if p.cfg.SPS == nil || p.cfg.PPS == nil { // nobody could decode it
		return nil, false
	}
	return append(p.cfg.ParameterSets(), out...), true
}

// setParameters learns what an access unit brings: video and sequence sets, and new picture sets.
func (p *Parser) setParameters(v, s []byte, pictures [][]byte) {
	same := bytes.Equal(v, p.cfg.VPS) && bytes.Equal(s, p.cfg.SPS)
	if same && len(pictures) == 0 {
		return
	}
	all := p.pictureSets(s, pictures)
	if same && slices.EqualFunc(all, p.pictureSets(s, nil), bytes.Equal) {
		return
	}
	p.change(func(c *media.Config) {
		c.VPS, c.SPS, c.PPS, c.MorePPS = bytes.Clone(v), bytes.Clone(s), nil, nil
		if len(all) > 0 {
			c.PPS = bytes.Clone(all[0])
			for _, q := range all[1:] {
				c.MorePPS = append(c.MorePPS, bytes.Clone(q))
			}
		}
		c.BFrames = false
	})
	p.readParameters()
	p.h264DTS, p.h265DTS = nil, nil
}

// mostPictureSets that a source may use side by side: those that use several use two or three.
const mostPictureSets = 16

// pictureSets are those in force once some more have come: of each id the last. With another sequence come sets of its own.
func (p *Parser) pictureSets(s []byte, more [][]byte) (all [][]byte) {
	if p.cfg.PPS != nil && (len(more) == 0 || bytes.Equal(s, p.cfg.SPS)) {
		all = append([][]byte{p.cfg.PPS}, p.cfg.MorePPS...)
	}
	for _, q := range more {
		i := slices.IndexFunc(all, func(other []byte) bool { return p.setID(other) == p.setID(q) })
		switch {
		case i >= 0:
			all[i] = q
		case len(all) < mostPictureSets:
			all = append(all, q)
		}
	}
	return all
}

// setID of a picture parameter set (ITU-T H.264 section 7.3.2.2, H.265 section 7.3.2.3).
func (p *Parser) setID(set []byte) uint32 {
	pos := 0
	id, err := bits.ReadGolombUnsigned(set[min(len(set), headerLen[p.cfg.Codec]):], &pos)
	if err != nil {
		return 0
	}
	return id
}

// readParameters fills in what the parameter sets say, in place: only on a Config that nobody has seen.
func (p *Parser) readParameters() {
	c := p.cfg
	p.reorder = false
	switch {
	case c.Codec == media.H264 && c.SPS != nil:
		var s h264.SPS
		if s.Unmarshal(c.SPS) == nil {
			c.Width, c.Height, c.FPS = s.Width(), s.Height(), s.FPS()
			p.reorder = s.PicOrderCntType != 2 && s.ProfileIdc != 66 &&
				(s.VUI == nil || s.VUI.BitstreamRestriction == nil || s.VUI.BitstreamRestriction.MaxNumReorderFrames > 0)
		}
	case c.Codec == media.H265 && c.SPS != nil:
		var s h265.SPS
		if s.Unmarshal(c.SPS) == nil {
			c.Width, c.Height, c.FPS = s.Width(), s.Height(), s.FPS()
			n := len(s.MaxNumReorderPics)
			p.reorder = n == 0 || s.MaxNumReorderPics[n-1] > 0
		}
	case c.Codec == media.AV1 && c.SequenceHeader != nil:
		var s av1.SequenceHeader
		if s.Unmarshal(c.SequenceHeader) == nil {
			c.Width, c.Height = s.Width(), s.Height()
		}
	}
}

func (p *Parser) parseAV1(units [][]byte) (out [][]byte, keyframe bool) {
	for _, obu := range units {
		if len(obu) == 0 {
			continue
		}
		switch av1.OBUType(obu[0] >> 3 & 0x0f) {
		case av1.OBUTypeTemporalDelimiter:
			continue
		case av1.OBUTypeSequenceHeader:
			keyframe = true
			if !bytes.Equal(obu, p.cfg.SequenceHeader) {
				p.change(func(c *media.Config) { c.SequenceHeader = bytes.Clone(obu) })
				p.readParameters()
			}
		}
		out = append(out, obu)
	}
	return out, keyframe
}

func (p *Parser) resize(w, h int) {
	if w != p.cfg.Width || h != p.cfg.Height {
		p.change(func(c *media.Config) { c.Width, c.Height = w, h })
	}
}

func (p *Parser) change(edit func(*media.Config)) {
	c := *p.cfg
	c.Version++
	edit(&c)
	p.cfg = &c
}
