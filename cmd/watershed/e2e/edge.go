package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Edges are the caches that hlsbridge/edge has configurations for.
var Edges = []string{"varnish", "nginx"}

// Edge is a cache that runs with its shipped configuration in front of a node.
type Edge struct {
	URL string

	cmd   *exec.Cmd
	said  bytes.Buffer // read it after ended
	ended chan struct{}
}

// StartEdge runs a cache in a folder, in front of an origin (host and port), until Stop.
func StartEdge(name, origin, dir string) (*Edge, error) {
	program, command, configure := "varnishd", varnishCommand, configureVarnish
	if name == "nginx" {
		program, command, configure = "nginx", nginxCommand, configureNginx
	}
	path, err := exec.LookPath(program)
	if err != nil {
		path = "/usr/sbin/" + program // Debian's place, which is not in everybody's PATH
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s is not here: .ci/install installs it", program)
	}
	listen, err := freePort()
	if err != nil {
		return nil, err
	}
	file, err := configure(dir, origin, listen)
	if err != nil {
		return nil, err
	}
	e := &Edge{URL: "http://" + listen, cmd: exec.Command(path, command(dir, file, listen)...), ended: make(chan struct{})}
	e.cmd.Stdout, e.cmd.Stderr = &e.said, &e.said
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		e.cmd.Wait()
		close(e.ended)
	}()
	return e, e.waitListening(listen)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func varnishCommand(dir, config, listen string) []string {
	return []string{"-F", "-j", "none", "-a", listen, "-f", config, "-n", filepath.Join(dir, "varnish"), "-s", "malloc,64m"}
}

func nginxCommand(dir, config, _ string) []string {
	return []string{"-p", dir, "-c", config, "-g", "daemon off;"}
}

// shipped writes a configuration of hlsbridge/edge into a folder, with texts replaced that it has once each, between two others.
func shipped(name, dir, before, after string, swaps ...string) (file string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(root, "hlsbridge", "edge", name))
	if err != nil {
		return "", err
	}
	for i := 0; i < len(swaps); i += 2 {
		if n := bytes.Count(text, []byte(swaps[i])); n != 1 {
			return "", fmt.Errorf("%s has %q %d times, not once", name, swaps[i], n)
		}
		text = bytes.Replace(text, []byte(swaps[i]), []byte(swaps[i+1]), 1)
	}
	file = filepath.Join(dir, name)
	return file, os.WriteFile(file, []byte(before+string(text)+after), 0o644)
}

func configureVarnish(dir, origin, _ string) (file string, err error) {
	host, port, err := net.SplitHostPort(origin)
	if err != nil {
		return "", err
	}
	return shipped("varnish.vcl", dir, "", "", `.host = "127.0.0.1";`, fmt.Sprintf(".host = %q;", host), `.port = "8080";`, fmt.Sprintf(".port = %q;", port))
}

// configureNginx puts the configuration where Debian's has it: into an http block.
func configureNginx(dir, origin, listen string) (file string, err error) {
	before := fmt.Sprintf("user root;\nerror_log stderr;\npid %s/pid;\nevents { worker_connections 4096; }\nhttp {\nproxy_temp_path %[1]s/temp;\nclient_body_temp_path %[1]s/body;\n", dir)
	return shipped("nginx.conf", dir, before, "\n}\n", "server 127.0.0.1:8080;", "server "+origin+";", "listen 8000;", "listen "+listen+";", "/var/cache/nginx/watershed ", dir+"/cache ")
}

func (e *Edge) waitListening(listen string) error {
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
		if conn, err := net.Dial("tcp", listen); err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-e.ended:
			return fmt.Errorf("the cache ended:\n%s", e.said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.Join(fmt.Errorf("the cache does not listen on %s", listen), e.Stop())
}

// PIDs of its processes: the first is the one that was started, the others its children.
func (e *Edge) PIDs() []int {
	pid := e.cmd.Process.Pid
	pids := []int{pid}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid)) // none where the kernel does not tell
	for f := range strings.FieldsSeq(string(text)) {
		var child int
		if _, err := fmt.Sscan(f, &child); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// Stop ends the cache, and returns when it has.
func (e *Edge) Stop() error {
	e.cmd.Process.Signal(os.Interrupt)
	select {
	case <-e.ended:
		return nil
	case <-time.After(20 * time.Second):
		e.cmd.Process.Kill()
		<-e.ended
		return errors.New("the cache did not end when asked to")
	}
}

// Said is what it printed. It must have ended.
func (e *Edge) Said() string { return e.said.String() }
