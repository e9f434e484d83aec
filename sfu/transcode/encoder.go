package transcode

import (
	"strconv"

	"watershed/sfu/media"
)

// encoder is how FFmpeg makes H.264 by one of its encoders. All are told to make the same: pictures in order, each as soon as it was given,
// keyframes where they are demanded, no more bits than bitrate, and the one profile that every browser must decode (RFC 7742 section 6.2).
type encoder struct {
	name    string
	signs   []string // of its device: patterns of files one of which is there; none for software
	device  string   // the file that was found, for those that are told which one to take
	global  []string // options before the input
	upload  string   // the end of a filter graph that brings pictures to the encoder
	options []string
}

// software makes pictures wherever FFmpeg runs, and for those that no device takes.
var software = &encoder{
	name:    encoders[media.H264],
	options: []string{"-preset", "superfast", "-tune", "zerolatency", "-profile:v", "baseline", "-crf", "23", "-sc_threshold", "0", "-forced-idr", "1"},
}

// hardware are the encoders that are looked for, the best first. VA-API comes before Quick Sync, which on Linux is made on top of it.
//
// h264_v4l2m2m is not among them, because it keeps no bound of the bit rate but an average, and gives parameter sets as a packet of their own;
// nor h264_amf, which in FFmpeg 5.1 makes no keyframe on demand.
func hardware() []encoder {
	return []encoder{
		{
			name:  "h264_nvenc",
			signs: []string{"/dev/nvidiactl", "/dev/dxg"}, // the latter in WSL
			options: []string{
				"-preset", "p4", "-tune", "ull", "-rc", "vbr", "-profile:v", "baseline",
				"-forced-idr", "1", "-zerolatency", "1", "-delay", "0", // without delay it keeps as many pictures as it has places for
			},
		},
		{
			name:   "h264_vaapi",
			signs:  []string{"/dev/dri/renderD*"},
			upload: ",format=nv12,hwupload",
			options: []string{
				"-rc_mode", "VBR", "-profile:v", "constrained_baseline",
				"-idr_interval", "0", "-async_depth", "1", // keyframes on demand are always IDR; a depth of 2, as by itself, is one picture of delay
				"-sei", "0",
			},
		},
		{
			name:    "h264_qsv",
			signs:   []string{"/dev/dri/renderD*"},
			upload:  ",format=nv12",
			options: []string{"-preset", "veryfast", "-profile:v", "baseline", "-forced_idr", "1", "-async_depth", "1"},
		},
		{
			name:    "h264_videotoolbox",
			signs:   []string{"/System/Library/Frameworks/VideoToolbox.framework"},
			options: []string{"-realtime", "1", "-profile:v", "baseline"},
		},
	}
}

// on returns the encoder for a device that was found.
func (e encoder) on(device string) *encoder {
	if e.name == "h264_vaapi" {
		e.device = device
		e.global = []string{"-init_hw_device", "vaapi=hw:" + device, "-filter_hw_device", "hw"}
	}
	return &e
}

// hard reports whether it needs a device.
func (e *encoder) hard() bool { return len(e.signs) > 0 }

func (e *encoder) String() string {
	if e.device != "" {
		return e.name + " on " + e.device
	}
	return e.name
}

// args of the encoder for pictures with so many pixels.
func (e *encoder) args(pixels int) []string {
	args := []string{"-c:v", e.name, "-bf", "0"}
	if !e.hard() {
		threads := 1 // up to 720p, which takes 5 ms a picture; each more means one slice more
		if pixels > 1280*720 {
			threads = 2
		}
		args = append(args, "-threads", strconv.Itoa(threads))
	}
	return append(args, e.options...)
}

// rateArgs bound the bits of the output stream that the specifier means. Hardware is given an average, too, instead of a quality: only when it is less
// than the bound do encoders save bits where a picture needs none. It leaves room for a source whose rate is not known to be 25.
func (e *encoder) rateArgs(specifier string, rate int) []string {
	args := []string{"-maxrate" + specifier, strconv.Itoa(rate), "-bufsize" + specifier, strconv.Itoa(rate)}
	if e.hard() {
		args = append(args, "-b"+specifier, strconv.Itoa(rate*3/4))
	}
	return args
}

// frameRate of pictures for a budget of bits: 25 where the source says nothing, or nothing likely.
func frameRate(fps float64) float64 {
	if fps < 5 || fps > 60 {
		return 25
	}
	return fps
}

// bitrate is what pictures of a size may take: an eighth of a bit for each pixel, 2.9 Mb/s for 720p25.
func bitrate(w, h int, fps float64) int {
	return max(300_000, int(float64(w*h)*frameRate(fps)/8))
}

// videoOutput has every picture keep its time.
func (f *FFmpeg) videoOutput() []string {
	mode := "-fps_mode"
	if !f.modern {
		mode = "-vsync"
	}
	return []string{mode, "passthrough", "-enc_time_base", "1:90000"}
}
