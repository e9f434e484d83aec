// Package e2e runs the real binary as a node of its own, for tests from end to end and for benchmarks.
//
// Tests start a Node and a farm of synthetic cameras, and look at the node with clients that nobody here wrote: Chromium (package
// browser), FFmpeg, aiortc. They wait for events, never for time to pass. Figures are the business of cmd/watershed/bench.
package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"

	"watershed/cmd/watershed/config"
)

// Root is the folder of go.mod, above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("no go.mod above the working directory")
}

// Build puts the binary into a folder; with the race detector if the caller has it too.
func Build(folder string) (binary string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	binary = filepath.Join(folder, "watershed")
	args := []string{"build", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/watershed")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return binary, nil
}

// Config for a node in a folder: the defaults, but on loopback, on ports that the system chooses, and open to everybody.
func Config(data string) config.Config {
	c := config.Default()
	c.Data, c.Auth.Mode, c.Log.Format = data, "open", "json"
	for _, listen := range []*string{
		&c.HTTP.Listen, &c.WebRTC.Listen, &c.RTSP.Listen, &c.RTMP.Listen, &c.SRT.Listen, &c.Metrics.Listen, &c.Cluster.Listen,
	} {
		*listen = "127.0.0.1:0"
	}
	return c
}

// Node is a running `watershed serve`.
type Node struct {
	URL       string            // of the HTTP listener
	Listening map[string]string // address by configuration key: "http", "webrtc", "metrics", ...
	Config    config.Config     // with the HTTP and media addresses in it: Start again with it for the same

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // of the process; read after done

	mu   sync.Mutex // guards what follows
	log  []string
	more chan struct{} // closed when a line comes
}

// Start runs a node until it says that it is ready.
func Start(binary string, c config.Config) (*Node, error) {
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(c.Data, "watershed.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	n := &Node{Config: c, cmd: exec.Command(binary, "serve", "-c", file), done: make(chan struct{}), more: make(chan struct{})}
	n.cmd.Dir = c.Data
	out, err := n.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	n.cmd.Stdout = n.cmd.Stderr // what it prints for people is with the log
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	go n.read(out)
	return n, n.waitReady()
}

func (n *Node) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n.mu.Lock()
		n.log = append(n.log, lines.Text())
		close(n.more)
		n.more = make(chan struct{})
		n.mu.Unlock()
	}
	n.err = n.cmd.Wait()
	close(n.done)
}

func (n *Node) waitReady() error {
	line, err := n.WaitLog(`"msg":"ready"`, 30*time.Second)
	if err != nil {
		n.Kill()
		return err
	}
	var ready map[string]any
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	n.Listening = map[string]string{}
	for key, v := range ready {
		if s, ok := v.(string); ok {
			n.Listening[key] = s
		}
	}
	// Started again with this Config it is found where pages look for it; the other ports may be somebody else's by then.
	for key, listen := range map[string]*string{"http": &n.Config.HTTP.Listen, "webrtc": &n.Config.WebRTC.Listen} {
		if _, _, err := net.SplitHostPort(n.Listening[key]); err == nil {
			*listen = n.Listening[key]
		}
	}
	if n.Listening["http"] == "" {
		n.Kill()
		return fmt.Errorf("no address of the HTTP listener in %s", line)
	}
	n.URL = "http://" + n.Listening["http"]
	if n.Config.HTTP.TLS.Cert != "" {
		n.URL = "https://" + n.Listening["http"]
	}
	return nil
}

// WaitLog waits for a line of the log with a text in it, also one that came before.
func (n *Node) WaitLog(text string, timeout time.Duration) (string, error) {
	limit := time.After(timeout)
	for seen := 0; ; {
		n.mu.Lock()
		lines, more := n.log, n.more
		n.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if strings.Contains(lines[seen], text) {
				return lines[seen], nil
			}
		}
		select {
		case <-more:
		case <-n.done:
			return "", fmt.Errorf("the node ended (%v) without %s in its log:\n%s", n.err, text, n.Log())
		case <-limit:
			return "", fmt.Errorf("no %s in the node's log within %v:\n%s", text, timeout, n.Log())
		}
	}
}

// Log is what the node has said so far.
func (n *Node) Log() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.log, "\n")
}

// PID of the process.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Held is what the node holds now, after a collection.
type Held struct {
	Resident   float64 // MiB that the system has given it
	Live       float64 // MiB of Go's heap
	Goroutines int
}

// Held looks at the node.
func (n *Node) Held() (h Held, err error) {
	base := "http://" + n.Listening["metrics"]
	profile, err := http.Get(base + "/debug/pprof/heap?gc=1")
	if err != nil {
		return h, err
	}
	profile.Body.Close()
	metrics, err := http.Get(base + "/metrics")
	if err != nil {
		return h, err
	}
	defer metrics.Body.Close()
	for lines := bufio.NewScanner(metrics.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "go_memstats_heap_alloc_bytes":
			h.Live = v / (1 << 20)
		case "process_resident_memory_bytes":
			h.Resident = v / (1 << 20)
		case "go_goroutines":
			h.Goroutines = int(v)
		}
	}
	if h.Resident == 0 || h.Goroutines == 0 {
		return h, errors.New("the node does not tell its memory and goroutines")
	}
	return h, nil
}

// Stop asks the node to end, as a service manager does, and waits. It fails if that takes longer than the limit, or the node does not end well.
func (n *Node) Stop(limit time.Duration) error {
	n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
		return n.err
	case <-time.After(limit):
		n.Kill()
		return fmt.Errorf("the node did not end within %v of SIGTERM", limit)
	}
}

// Kill ends the node at once, as a power cut does.
func (n *Node) Kill() {
	n.cmd.Process.Kill()
	<-n.done
}
