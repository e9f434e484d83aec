package rtmp

import (
	"github.com/abema/go-mp4"

	"watershed/sfu/id"
	"watershed/sfu/ingest/ingesttest"
)

func idOf(name string) id.Stream { return id.Stream(name) }

func avcConfig() *mp4.AVCDecoderConfiguration {
	c := &mp4.AVCDecoderConfiguration{
		ConfigurationVersion: 1, Profile: 0x42, ProfileCompatibility: 0xc0, Level: 0x28, LengthSizeMinusOne: 3,
		NumOfSequenceParameterSets: 1,
		SequenceParameterSets:      []mp4.AVCParameterSet{{Length: uint16(len(ingesttest.SPS)), NALUnit: ingesttest.SPS}},
		NumOfPictureParameterSets:  1,
		PictureParameterSets:       []mp4.AVCParameterSet{{Length: uint16(len(ingesttest.PPS)), NALUnit: ingesttest.PPS}},
	}
	c.SetType(mp4.BoxTypeAvcC())
	return c
}

// h265SPS is of a 1080p stream without reordering.
var h265SPS = []byte{
	0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80,
	0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
}
