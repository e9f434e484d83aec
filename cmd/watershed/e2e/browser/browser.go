// Package browser drives a headless Chromium for tests and benchmarks, through a small Node script and playwright-core.
//
// Every document runs reader.js first: it notes for each <video> when pictures were presented and which camera frame they showed.
package browser

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

//go:embed driver.mjs
var driver []byte

//go:embed reader.js
var reader []byte

// Browser is a running Chromium.
type Browser struct {
	Version string

	cmd    *exec.Cmd
	in     io.WriteCloser
	folder string        // of the scripts
	done   chan struct{} // closed when the driver has ended

	mu      sync.Mutex // guards what follows, and writing to in
	last    int
	waiting map[int]chan answer
	pages   map[int]*Page
}

// answer is a line of the driver.
type answer struct {
	ID      int
	Ready   string
	Page    int
	Console string
	Result  json.RawMessage
	Error   string
}

// Launch starts Chromium, with further flags if need be. The folder holds playwright-core in its node_modules.
func Launch(nodeModules string, flags ...string) (*Browser, error) {
	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = "chromium"
	}
	chromium, err := exec.LookPath(chromium)
	if err != nil {
		return nil, fmt.Errorf("chromium is missing: apt-get install chromium, or put the path of one into CHROMIUM: %w", err)
	}
	if _, err := os.Stat(filepath.Join(nodeModules, "node_modules", "playwright-core")); err != nil {
		return nil, fmt.Errorf("playwright-core is missing: run npm ci in %s", nodeModules)
	}
	b := &Browser{done: make(chan struct{}), waiting: map[int]chan answer{}, pages: map[int]*Page{}}
	if err := b.start(nodeModules, chromium, flags); err != nil {
		b.Close()
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	return b, nil
}

func (b *Browser) start(nodeModules, chromium string, flags []string) (err error) {
	if b.folder, err = os.MkdirTemp("", "watershed-browser-"); err != nil {
		return err
	}
	script, first := filepath.Join(b.folder, "driver.mjs"), filepath.Join(b.folder, "reader.js")
	if err := errors.Join(os.WriteFile(script, driver, 0o600), os.WriteFile(first, reader, 0o600)); err != nil {
		return err
	}
	b.cmd = exec.Command("node", append([]string{script, nodeModules, chromium, first}, flags...)...)
	b.cmd.Stderr = os.Stderr
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan string, 1)
	go b.read(out, ready)
	select {
	case b.Version = <-ready:
		return nil
	case <-b.done:
		return errors.New("the driver ended; what it said is above")
	case <-time.After(time.Minute):
		return errors.New("no answer within a minute")
	}
}

func (b *Browser) read(out io.Reader, ready chan<- string) {
	defer close(b.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var a answer
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			continue
		}
		switch {
		case a.Ready != "":
			ready <- a.Ready
		case a.Console != "":
			b.note(a)
		default:
			b.deliver(a)
		}
	}
}

func (b *Browser) note(a answer) {
	b.mu.Lock()
	p := b.pages[a.Page]
	b.mu.Unlock()
	if p != nil {
		p.mu.Lock()
		p.console = append(p.console, a.Console)
		p.mu.Unlock()
	}
}

func (b *Browser) deliver(a answer) {
	b.mu.Lock()
	c := b.waiting[a.ID]
	delete(b.waiting, a.ID)
	b.mu.Unlock()
	if c != nil {
		c <- a
	}
}

// answerWithin is for a Chromium that hangs. What it is asked for has shorter limits of its own, a minute at most.
const answerWithin = 2 * time.Minute

// command runs one of the driver's commands.
func (b *Browser) command(fields map[string]any, out any) error {
	c := make(chan answer, 1)
	b.mu.Lock()
	if fields["id"] == nil {
		b.last++
		fields["id"] = b.last
	}
	b.waiting[fields["id"].(int)] = c
	line, err := json.Marshal(fields)
	if err == nil {
		_, err = b.in.Write(append(line, '\n'))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case a := <-c:
		if a.Error != "" {
			return errors.New(a.Error)
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(a.Result, out)
	case <-b.done:
		return errors.New("the browser has ended")
	case <-time.After(answerWithin):
		return fmt.Errorf("no answer from Chromium within %v", answerWithin)
	}
}

// Close ends Chromium and waits for it.
func (b *Browser) Close() {
	if b.in != nil {
		b.in.Close()
	}
	if b.cmd != nil && b.cmd.Process != nil {
		select {
		case <-b.done:
		case <-time.After(10 * time.Second):
			b.cmd.Process.Kill()
		}
		b.cmd.Wait()
	}
	os.RemoveAll(b.folder)
}
