package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/e2e"
)

// rung of the ladder: a loop of pictures that was encoded beforehand. The loops of all rungs show the same at the same place.
type rung struct {
	label  string
	height int
	kbps   int
	loop   [camera.Frames][][]byte // access units, without delimiters
}

// gop of every rung, in pictures: a second, and segments as long. hls.js changes its rung between segments only.
const gop = 25

// ladder that is offered, best first: small pictures, so that several players can decode on two cores.
func ladder() []*rung {
	return []*rung{
		{label: "360p", height: 360, kbps: 1200},
		{label: "270p", height: 270, kbps: 500},
		{label: "180p", height: 180, kbps: 200},
	}
}

// encode fills a rung's loop from a clip of the synthetic cameras, whose pictures are numbered.
func (r *rung) encode(ctx context.Context) error {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return fmt.Errorf("the rungs are encoded with FFmpeg: apt install ffmpeg: %w", err)
	}
	root, err := e2e.Root()
	if err != nil {
		return err
	}
	rate, buffer := fmt.Sprintf("%dk", r.kbps), fmt.Sprintf("%dk", r.kbps/3) // keyframes of a few parts' size, as cameras for low delay send them
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-r", fmt.Sprint(camera.FPS), "-i", filepath.Join(root, "cmd", "watershed", "camera", "clips", "river.h264"),
		"-vf", fmt.Sprintf("scale=-2:%d", r.height), "-c:v", "libx264", "-preset", "fast", "-tune", "zerolatency", "-b:v", rate, "-maxrate", rate, "-bufsize", buffer,
		"-x264-params", fmt.Sprintf("keyint=%d:min-keyint=%d:scenecut=0:aud=1", gop, gop), "-f", "h264", "-")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stream, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("encode %s: %w: %s", r.label, err, errs.String())
	}
	return r.cut(stream)
}

// cut takes an Annex B stream with access unit delimiters apart.
func (r *rung) cut(stream []byte) error {
	n := -1
	for _, nal := range bytes.Split(stream, []byte{0, 0, 1})[1:] {
		nal = bytes.TrimRight(nal, "\x00")
		if nal[0]&0x1f == 9 {
			n++
			continue
		}
		if n < 0 || n >= camera.Frames {
			return fmt.Errorf("%s: picture %d of %d", r.label, n, camera.Frames)
		}
		r.loop[n] = append(r.loop[n], nal)
	}
	if n != camera.Frames-1 {
		return fmt.Errorf("%s: %d pictures where the clip has %d", r.label, n+1, camera.Frames)
	}
	return nil
}
