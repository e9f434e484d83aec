// Package transcode makes what a source does not bring, with FFmpeg: other codecs, and still pictures.
//
// A conversion (Converter.Convert) is one supervised FFmpeg child between two layers of a stream. A goroutine reads the source layer's
// ring and writes its frames into the child in NUT (package nut); another reads encoded frames back and writes them to the new layer.
// Times pass through unchanged: a converted picture has its source's time, and converted sound is stretched by parts of a
// thousand or filled with silence where the source's own samples do not keep its time. A ladder (Converter.Ladder) is the same
// with one decoder and several encoders in the child. Which of them run is package sfu's affair.
//
// Pictures are encoded by hardware where it works (encoder.go says how): NVENC, VA-API, Quick Sync, VideoToolbox. The first conversion of pictures
// looks for it (hardware.go): of the encoders that FFmpeg lists and whose device is there, the best that in a trial keeps what viewers rely upon. All
// else stays software, decoding and scaling too. If such a child fails, libx264 takes its place at once and in the same layers; if it can, the
// stream keeps it for an hour, and hardware rests for five minutes. The log line "encoder for pictures" says what was found and why not better,
// "converting" what each child uses, "hardware encoder failed" what happened.
//
// No device was at hand when this was written. Against the real FFmpeg it was tested that it knows all options and comes as far as the missing device;
// choice, trial and fallback were tested with libx264 in the devices' place. How it runs on devices, nobody has seen.
//
// Stills keeps a picture of each stream that somebody asks for, from the newest keyframe in its ring, by one decoder for the node.
//
// The child gets media by pipe and nothing else: no address, no credential, no file, but a device's. It runs in a process group of its own, nicer than
// we are, with bounded memory; it dies with its context, and with us, because its input ends. What it complains of is kept for the
// error's text.
package transcode
