package transcode

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"watershed/sfu/media"
	"watershed/sfu/timeline"
	"watershed/sfu/transcode/nut"
)

// A codec as FFmpeg knows it.
var (
	fourCC   = map[media.Codec]string{media.H264: "H264", media.H265: "HEVC", media.VP8: "VP80", media.VP9: "VP90", media.AV1: "AV01", media.Opus: "Opus", media.AAC: "\xff\x00", media.PCMU: "\x07\x00", media.PCMA: "\x06\x00"}
	decoders = map[media.Codec][]string{
		media.H264: {"h264"}, media.H265: {"hevc"}, media.VP8: {"vp8", "libvpx"}, media.VP9: {"vp9", "libvpx-vp9"}, media.AV1: {"libdav1d", "libaom-av1"},
		media.Opus: {"opus", "libopus"}, media.AAC: {"aac"}, media.PCMU: {"pcm_mulaw"}, media.PCMA: {"pcm_alaw"},
	}
	encoders = map[media.Codec]string{media.H264: "libx264", media.Opus: "libopus", media.AAC: "aac"}
)

// can says why a conversion is not possible on this machine, or nil.
func (f *FFmpeg) can(from *media.Config, to media.Codec) error {
	encoder, made := encoders[to]
	switch {
	case !made || from.Codec.Kind() != to.Kind():
		return fmt.Errorf("%v is never converted to %v", from.Codec, to)
	case f.missing != nil:
		return f.missing
	case !f.encoders[encoder]:
		return fmt.Errorf("FFmpeg %s was built without %s, which makes %v", f.Version, encoder, to)
	}
	return f.canDecode(from.Codec)
}

func (f *FFmpeg) canDecode(c media.Codec) error {
	if f.missing != nil {
		return f.missing
	}
	for _, d := range decoders[c] {
		if f.decoders[d] {
			return nil
		}
	}
	return fmt.Errorf("FFmpeg %s was built without a decoder for %v", f.Version, c)
}

// lead is put before the first frame's time, so that no time is negative: encoders label their first frame earlier than its samples by
// what they look ahead (Opus 6.5 ms, AAC 21 ms).
const lead = time.Second

// source describes a layer to FFmpeg.
func source(cfg *media.Config) nut.Stream {
	s := nut.Stream{
		Video: cfg.Codec.Kind() == media.Video, FourCC: fourCC[cfg.Codec], Num: 1, Den: cfg.ClockRate,
		Width: cfg.Width, Height: cfg.Height, Rate: cfg.ClockRate, Channels: max(1, cfg.Channels),
	}
	if s.Video {
		s.Millihertz = int(math.Round(1000 * frameRate(cfg.FPS)))
	}
	switch cfg.Codec {
	case media.AAC:
		s.Extra = cfg.ASC
	case media.Opus:
		s.Extra = opusHead(s.Channels)
	}
	return s
}

// opusHead is the identification header (RFC 7845 section 5.1) of a stream from which nothing is to be skipped.
func opusHead(channels int) []byte {
	b := append([]byte("OpusHead"), 1, byte(channels), 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 48000)
	return append(b, 0, 0, 0)
}

// inputArgs make FFmpeg begin with the first frame that it gets. (The flag nobuffer, which others recommend, throws away the frames
// that it looked at first: a keyframe among them.)
func (f *FFmpeg) inputArgs(cfg *media.Config) []string {
	args := []string{"-protocol_whitelist", "pipe", "-f", "nut", "-probesize", "32", "-analyzeduration", "0"}
	switch cfg.Codec {
	case media.VP8, media.VP9, media.AV1: // has no pictures out of order, so the decoder may return each at once
		args = append(args, "-flags", "low_delay")
	}
	if cfg.Codec.Kind() == media.Video {
		args = append(args, "-threads", "2", "-thread_type", "slice") // threads by frame would each hold one back
	}
	return append(args, "-i", "pipe:0")
}

// convertArgs are the command line of a conversion. live is the time, after lead, from which pictures are shown: those before it are only decoded.
// The encoder is for pictures.
func (f *FFmpeg) convertArgs(from, to *media.Config, live time.Duration, e *encoder) []string {
	if to.Codec != media.H264 {
		return slices.Concat([]string{"-copyts"}, f.inputArgs(from), audioArgs(from, to), outputArgs)
	}
	w, h := limited(from.Width, from.Height)
	if w == 0 || h == 0 { // not known yet
		w, h = 1280, 720
	}
	filters := shown(live) + fmt.Sprintf(",scale=w=trunc(min(%d\\,iw)/2)*2:h=-2,format=yuv420p", widest) + e.upload
	// Nobody can ask FFmpeg for a keyframe, so one comes every two seconds of the timeline.
	keys := []string{"-g", "600", "-force_key_frames", "expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+2))"}
	return slices.Concat(e.global, []string{"-copyts"}, f.inputArgs(from), []string{"-an", "-vf", filters},
		f.videoOutput(), e.args(w*h), e.rateArgs(":v", bitrate(w, h, from.FPS)), keys, outputArgs)
}

// ladderArgs are the command line of a ladder: one decoder, then a scaler and an encoder for each rung, whose shorter side has so many lines.
func (f *FFmpeg) ladderArgs(from *media.Config, rungs []int, live time.Duration, e *encoder) []string {
	graph := "[0:v]" + shown(live) + fmt.Sprintf(",format=yuv420p,split=%d", len(rungs))
	var scalers string
	var maps, rates []string
	for i, lines := range rungs {
		graph += fmt.Sprintf("[s%d]", i)
		scalers += fmt.Sprintf(";[s%d]scale=w=if(gte(iw\\,ih)\\,-2\\,%d):h=if(gte(iw\\,ih)\\,%d\\,-2)%s[r%d]", i, lines, lines, e.upload, i)
		maps = append(maps, "-map", fmt.Sprintf("[r%d]", i))
		rate := bitrate(lines*max(from.Width, from.Height)/max(1, min(from.Width, from.Height)), lines, from.FPS)
		rates = append(rates, e.rateArgs(fmt.Sprintf(":v:%d", i), rate)...)
	}
	// The source's keyframes, so that one can switch between it and any rung; and one each two seconds, if it has fewer.
	keys := []string{"-g", strconv.Itoa(int(2 * frameRate(from.FPS))), "-force_key_frames", "source"}
	return slices.Concat(e.global, []string{"-copyts"}, f.inputArgs(from), []string{"-filter_complex", graph + scalers}, maps,
		f.videoOutput(), e.args(0), rates, keys, outputArgs)
}

// shown leaves out the pictures before live. (trim passes the pictures' rate on; hardware encoders divide bits by it.)
func shown(live time.Duration) string {
	return fmt.Sprintf("trim=start=%.6f", (lead + live - time.Millisecond).Seconds())
}

// outputArgs have every frame leave at once, with its time.
var outputArgs = []string{"-avoid_negative_ts", "disabled", "-flush_packets", "1", "-f", "nut", "-write_index", "0", "pipe:1"}

// widest picture that is made; what is larger is scaled down, because a viewer who needs a conversion is not helped by one that the machine cannot make in time.
const widest = 1920

func limited(w, h int) (int, int) {
	if w <= widest {
		return w, h
	}
	return widest, h * widest / w
}

func audioArgs(from, to *media.Config) []string {
	channels := to.Channels
	args := []string{
		"-vn",
		// Keeps the samples on the timeline: silence where 40 ms or more are missing, else stretched by 2 % at most.
		"-af", "aresample=48000:async=1000:min_hard_comp=0.04",
		"-ar", "48000", "-c:a", encoders[to.Codec],
	}
	if to.Codec == media.Opus {
		args = append(args, "-application", "lowdelay", "-frame_duration", "20")
		if from.Channels == 1 { // a packet says itself how many it has
			channels = 1
		}
	}
	return append(args, "-b:a", strconv.Itoa(48000*channels), "-ac", strconv.Itoa(channels))
}

// scaled converts ticks between clocks, rounding to the nearest.
func scaled(ticks int64, num, den, rate int) int64 {
	return timeline.Ticks(timeline.Duration(ticks*int64(num), den), rate)
}
