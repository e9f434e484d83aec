package cmaf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"watershed/sfu/media"
)

// Parameter sets come from cameras, which may send anything. They are read by mediacommon, which bounds what they count; mp4ff, which writes the boxes, would
// allocate as much as a set asks for.

// Readable reports whether pictures' parameter sets can be read, or are not known yet.
func Readable(cfg *media.Config) bool {
	if cfg.SPS == nil {
		return true
	}
	var err error
	switch cfg.Codec {
	case media.H264:
		_, _, err = readAVC(cfg)
	case media.H265:
		_, _, err = readHEVC(cfg)
	}
	return err == nil
}

var errSize = errors.New("parameter sets of impossible sizes")

// size of pictures, which boxes hold in 16 bits, as they do a parameter set's length.
type size struct{ width, height int }

func checked(s size, cfg *media.Config) (size, error) {
	if s.width <= 0 || s.height <= 0 || s.width > math.MaxUint16 || s.height > math.MaxUint16 {
		return s, errSize
	}
	for _, set := range cfg.ParameterSets() {
		if len(set) > math.MaxUint16 {
			return s, errSize
		}
	}
	return s, nil
}

// readAVC makes a decoder's configuration record (ISO/IEC 14496-15 section 5.3.3.1).
func readAVC(cfg *media.Config) (*avc.DecConfRec, size, error) {
	var s h264.SPS
	if err := s.Unmarshal(cfg.SPS); err != nil {
		return nil, size{}, fmt.Errorf("SPS: %w", err)
	}
	z, err := checked(size{s.Width(), s.Height()}, cfg)
	if err != nil {
		return nil, size{}, err
	}
	return &avc.DecConfRec{
		AVCProfileIndication: cfg.SPS[1], ProfileCompatibility: cfg.SPS[2], AVCLevelIndication: cfg.SPS[3],
		SPSnalus: [][]byte{cfg.SPS}, PPSnalus: append([][]byte{cfg.PPS}, cfg.MorePPS...),
		ChromaFormat: byte(s.ChromaFormatIdc) & 3, BitDepthLumaMinus1: byte(s.BitDepthLumaMinus8) & 7, BitDepthChromaMinus1: byte(s.BitDepthChromaMinus8) & 7,
		NoTrailingInfo: s.ProfileIdc != 100 && s.ProfileIdc != 110 && s.ProfileIdc != 122, // mp4ff counts it for others, but does not write it
	}, z, nil
}

// readHEVC does the same for H.265 (section 8.3.3.1).
func readHEVC(cfg *media.Config) (*hevc.DecConfRec, size, error) {
	var s h265.SPS
	if err := s.Unmarshal(cfg.SPS); err != nil {
		return nil, size{}, fmt.Errorf("SPS: %w", err)
	}
	z, err := checked(size{s.Width(), s.Height()}, cfg)
	if err != nil {
		return nil, size{}, err
	}
	t := profile(cfg.SPS)
	sets := func(kind hevc.NaluType, nals ...[]byte) hevc.NaluArray { return hevc.NewNaluArray(true, kind, nals) }
	return &hevc.DecConfRec{
		ConfigurationVersion: 1,
		GeneralProfileSpace:  t.GeneralProfileSpace, GeneralTierFlag: t.GeneralTierFlag, GeneralProfileIDC: t.GeneralProfileIDC,
		GeneralProfileCompatibilityFlags: t.GeneralProfileCompatibilityFlags,
		GeneralConstraintIndicatorFlags:  t.GeneralConstraintIndicatorFlags,
		GeneralLevelIDC:                  t.GeneralLevelIDC,
		ChromaFormatIDC:                  byte(s.ChromaFormatIdc), BitDepthLumaMinus8: byte(s.BitDepthLumaMinus8) & 7, BitDepthChromaMinus8: byte(s.BitDepthChromaMinus8) & 7,
		LengthSizeMinusOne: 3,
		NaluArrays: []hevc.NaluArray{
			sets(hevc.NALU_VPS, cfg.VPS), sets(hevc.NALU_SPS, cfg.SPS), sets(hevc.NALU_PPS, append([][]byte{cfg.PPS}, cfg.MorePPS...)...),
		},
	}, z, nil
}

// profile is profile_tier_level of an SPS of H.265 that was read (ITU-T H.265 section 7.3.3): twelve bytes at a fixed place.
func profile(sps []byte) (t hevc.ProfileTierLevel) {
	b := h264.EmulationPreventionRemove(sps)[3:]
	t.GeneralProfileSpace, t.GeneralTierFlag, t.GeneralProfileIDC = b[0]>>6, b[0]&0x20 != 0, b[0]&0x1f
	t.GeneralProfileCompatibilityFlags = binary.BigEndian.Uint32(b[1:])
	t.GeneralConstraintIndicatorFlags = uint64(binary.BigEndian.Uint32(b[5:]))<<16 | uint64(binary.BigEndian.Uint16(b[9:]))
	t.GeneralLevelIDC = b[11]
	return t
}

// describePictures enters a sample description into an initialisation segment.
func describePictures(t *mp4.TrakBox, name string, z size, record mp4.Box) {
	t.Tkhd.Width, t.Tkhd.Height = mp4.Fixed32(z.width<<16), mp4.Fixed32(z.height<<16)
	t.Mdia.Minf.Stbl.Stsd.AddChild(mp4.CreateVisualSampleEntryBox(name, uint16(z.width), uint16(z.height), record))
}
