package hlsbridge

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"watershed/sfu/id"
)

// past is what a packager of a stream leaves to the next, which goes on under the same addresses: nothing that was a number's may become another's.
type past struct {
	Number uint64        `json:"number"` // above every media sequence number used so far
	Cuts   uint64        `json:"cuts"`   // the same of discontinuity sequences
	Part   time.Duration `json:"part"`   // targets of the last epoch; zero if there was none
	Target int           `json:"target"`
}

// plan of the last epoch, as far as the next must keep to it; nil if there was none.
func (p *past) plan() *plan {
	if p.Target == 0 {
		return nil
	}
	return &plan{part: p.Part, target: p.Target}
}

// numbers keeps the past of every stream, and of those that were removed, in a file each: the clock alone (firstNumber) knows nothing of an hour's
// discontinuities. Packagers only leave word; its own goroutine writes.
type numbers struct {
	folder string // "" keeps nothing over a restart
	log    *slog.Logger
	wake   chan struct{} // holds one

	mu    sync.Mutex // guards what follows
	known map[id.Stream]past
	dirty map[id.Stream]struct{}
}

// mostKnown bounds what is in memory when names come and go: what is forgotten is read from its file again, or goes on by the clock.
const mostKnown = 10_000

func newNumbers(folder string, log *slog.Logger) *numbers {
	return &numbers{folder: folder, log: log, wake: make(chan struct{}, 1), known: map[id.Stream]past{}, dirty: map[id.Stream]struct{}{}}
}

func (n *numbers) path(name id.Stream) string { return filepath.Join(n.folder, string(name)+".json") }

// of a stream: zero if it has no past, or none that can be read.
func (n *numbers) of(name id.Stream) (p past) {
	n.mu.Lock()
	p, ok := n.known[name]
	n.mu.Unlock()
	if ok || n.folder == "" {
		return p
	}
	text, err := os.ReadFile(n.path(name))
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil && !os.IsNotExist(err) {
		n.log.Warn("hls: the numbers of a stream so far are lost, it goes on by the clock", "stream", name, "error", err)
		return past{}
	}
	return p
}

// leave word of a stream. It does not wait for the disk.
func (n *numbers) leave(name id.Stream, p past) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[name] == p {
		return
	}
	n.known[name] = p
	n.dirty[name] = struct{}{}
	if len(n.known) > mostKnown {
		for other := range n.known {
			if _, unwritten := n.dirty[other]; !unwritten {
				delete(n.known, other)
				break
			}
		}
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run writes what packagers leave, until ctx ends.
func (n *numbers) run(ctx context.Context) {
	for {
		select {
		case <-n.wake:
			n.write()
		case <-ctx.Done():
			return
		}
	}
}

// write brings the files up to date. One that fails is tried again with the stream's next word.
func (n *numbers) write() {
	n.mu.Lock()
	due := map[id.Stream]past{}
	for name := range n.dirty {
		due[name] = n.known[name]
	}
	clear(n.dirty)
	n.mu.Unlock()
	for name, p := range due {
		if n.folder == "" {
			continue
		}
		if err := n.replace(n.path(name), p); err != nil {
			n.log.Warn("hls: the numbers of a stream are not kept: after a restart its discontinuity sequence may go back", "stream", name, "error", err)
		}
	}
}

// replace a file at once, so that a node that is killed leaves the old or the new one.
func (n *numbers) replace(path string, p past) error {
	if err := os.MkdirAll(n.folder, 0o750); err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
