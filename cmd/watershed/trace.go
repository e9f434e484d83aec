package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"watershed/sfu"
	"watershed/sfu/bwe"
)

// traces records what viewers' networks told, a file for each: `webrtc.trace` names the folder. The estimator's tests replay them.
type traces struct {
	folder string
	log    *slog.Logger
	lines  chan traceLine
	files  map[*sfu.Viewer]*trace // the writer's own
}

type traceLine struct {
	viewer   *sfu.Viewer
	feedback bwe.Feedback
}

type trace struct {
	began time.Time
	file  *os.File
}

// record returns what shards call, or nil without a folder. What the disk is too slow for is left out.
func record(folder string, log *slog.Logger) func(*sfu.Viewer, bwe.Feedback) {
	if folder == "" {
		return nil
	}
	t := &traces{folder: folder, log: log, lines: make(chan traceLine, 1024), files: map[*sfu.Viewer]*trace{}}
	go t.write() // as long as the process
	return func(v *sfu.Viewer, f bwe.Feedback) {
		select {
		case t.lines <- traceLine{v, f}:
		default:
		}
	}
}

func (t *traces) write() {
	for l := range t.lines {
		tr := t.files[l.viewer]
		if tr == nil {
			var err error
			if tr, err = t.open(l); err != nil {
				t.log.Warn("what viewers report is not recorded", "error", err)
				return
			}
			t.files[l.viewer] = tr
		}
		fmt.Fprint(tr.file, l.feedback.Line(tr.began))
	}
}

func (t *traces) open(l traceLine) (*trace, error) {
	if err := os.MkdirAll(t.folder, 0o700); err != nil {
		return nil, err
	}
	at := l.feedback.At
	f, err := os.Create(filepath.Join(t.folder, fmt.Sprintf("%d-%d.trace", at.UnixMilli(), len(t.files))))
	if err == nil {
		fmt.Fprintf(f, "# began %d, Unix milliseconds\n", at.UnixMilli())
	}
	return &trace{at, f}, err
}
