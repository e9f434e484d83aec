package sfu

import "watershed/sfu/media"

// ConvertedConfig is the configuration that a conversion of a track begins with. Audio is resampled to 48 kHz, which is all that Opus
// knows and what every player of AAC takes (frames at 8 kHz would not fit HLS parts); pictures bring their parameter sets with the first keyframe.
func ConvertedConfig(from *media.Config, to media.Codec) media.Config {
	c := media.Config{Codec: to, ClockRate: 90000}
	switch to {
	case media.Opus:
		c.ClockRate, c.Channels = 48000, 2 // always announced as two (RFC 7587 section 7); a packet says itself what it holds
	case media.AAC:
		c.ClockRate, c.Channels, c.ASC = 48000, 2, []byte{0x11, 0x90} // AAC-LC, index 3, two channels (ISO 14496-3 section 1.6.2.1)
		if from.Channels == 1 {
			c.Channels, c.ASC = 1, []byte{0x11, 0x88}
		}
	}
	return c
}
