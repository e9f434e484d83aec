package cmaf

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"watershed/sfu/media"
)

// TrackID of the one track in every file.
const TrackID = 1

var errCodec = errors.New("HLS carries H.264, H.265 and AAC")

// Carries reports whether a track can be written as it is. Without IDR pictures it cannot: no browser takes a recovery point for a start. Nor can it with
// parameter sets that cannot be read.
func Carries(cfg *media.Config) bool {
	switch cfg.Codec {
	case media.H264, media.H265, media.AAC:
		return !cfg.Gradual && Readable(cfg)
	}
	return false
}

// Init writes the initialisation segment of a configuration. It fails while parameter sets are not known, or cannot be read.
func Init(cfg *media.Config) ([]byte, error) {
	s := mp4.CreateEmptyInit()
	t := s.AddEmptyTrack(uint32(cfg.ClockRate), cfg.Codec.Kind().String(), "und")
	if err := describe(t, cfg); err != nil {
		return nil, fmt.Errorf("initialisation segment of %v: %w", cfg.Codec, err)
	}
	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func describe(t *mp4.TrakBox, cfg *media.Config) error {
	switch {
	case cfg.Codec == media.AAC:
		return describeAAC(t, cfg)
	case cfg.SPS == nil || cfg.PPS == nil:
		return errors.New("no parameter sets yet")
	case cfg.Codec == media.H264:
		record, z, err := readAVC(cfg)
		if err == nil {
			describePictures(t, "avc1", z, &mp4.AvcCBox{DecConfRec: *record})
		}
		return err
	case cfg.Codec == media.H265 && cfg.VPS != nil:
		record, z, err := readHEVC(cfg)
		if err == nil {
			describePictures(t, "hvc1", z, &mp4.HvcCBox{DecConfRec: *record})
		}
		return err
	}
	return errCodec
}

func describeAAC(t *mp4.TrakBox, cfg *media.Config) error {
	channels := cfg.Channels
	var asc mpeg4audio.AudioSpecificConfig
	if err := asc.Unmarshal(cfg.ASC); err != nil {
		return err
	}
	if channels == 0 {
		channels = media.AACChannels(asc.ChannelConfig)
	}
	entry := mp4.CreateAudioSampleEntryBox("mp4a", uint16(channels), 16, uint16(asc.SampleRate), mp4.CreateEsdsBox(cfg.ASC))
	t.Mdia.Minf.Stbl.Stsd.AddChild(entry)
	return nil
}

// Codecs is the configuration's entry in CODECS attributes (RFC 6381), or "" when it cannot be told.
func Codecs(cfg *media.Config) string {
	switch cfg.Codec {
	case media.H264:
		if cfg.SPS != nil && Readable(cfg) {
			return fmt.Sprintf("avc1.%02X%02X%02X", cfg.SPS[1], cfg.SPS[2], cfg.SPS[3])
		}
	case media.H265:
		if cfg.SPS != nil && Readable(cfg) {
			return hevc.CodecString("hvc1", &hevc.SPS{ProfileTierLevel: profile(cfg.SPS)})
		}
	case media.AAC:
		var asc mpeg4audio.AudioSpecificConfig
		if asc.Unmarshal(cfg.ASC) == nil {
			return fmt.Sprintf("mp4a.40.%d", asc.Type)
		}
	}
	return ""
}
