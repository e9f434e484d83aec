package cmaf

import (
	"bytes"
	"fmt"

	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"

	"watershed/sfu/media"
)

// Config of pictures that an initialisation segment as Init writes it describes: what a decoder needs, not all that the camera told.
func Config(init []byte) (*media.Config, error) {
	f, err := mp4.DecodeFile(bytes.NewReader(init))
	if err != nil || f.Init == nil || f.Init.Moov == nil || f.Init.Moov.Trak == nil {
		return nil, fmt.Errorf("initialisation segment: cannot be read: %w", err)
	}
	trak := f.Init.Moov.Trak
	stsd := trak.Mdia.Minf.Stbl.Stsd
	cfg := &media.Config{ClockRate: int(trak.Mdia.Mdhd.Timescale)}
	switch {
	case stsd.AvcX != nil && stsd.AvcX.AvcC != nil:
		c := stsd.AvcX.AvcC
		cfg.Codec, cfg.SPS = media.H264, first(c.SPSnalus)
		cfg.PPS, cfg.MorePPS = first(c.PPSnalus), more(c.PPSnalus)
		cfg.Width, cfg.Height = int(stsd.AvcX.Width), int(stsd.AvcX.Height)
	case stsd.HvcX != nil && stsd.HvcX.HvcC != nil:
		c := stsd.HvcX.HvcC
		cfg.Codec = media.H265
		pictures := c.GetNalusForType(hevc.NALU_PPS)
		cfg.VPS, cfg.SPS = first(c.GetNalusForType(hevc.NALU_VPS)), first(c.GetNalusForType(hevc.NALU_SPS))
		cfg.PPS, cfg.MorePPS = first(pictures), more(pictures)
		cfg.Width, cfg.Height = int(stsd.HvcX.Width), int(stsd.HvcX.Height)
	default:
		return nil, fmt.Errorf("initialisation segment: no pictures in it: %w", errCodec)
	}
	if cfg.SPS == nil || cfg.PPS == nil {
		return nil, fmt.Errorf("initialisation segment of %v: no parameter sets", cfg.Codec)
	}
	return cfg, nil
}

func first(nals [][]byte) []byte {
	if len(nals) == 0 {
		return nil
	}
	return nals[0]
}

// more are those behind the first.
func more(nals [][]byte) [][]byte {
	if len(nals) < 2 {
		return nil
	}
	return nals[1:]
}
