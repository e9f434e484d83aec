package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// reference is the way of servers that render a playlist for each request: under the lock that guards the list, tag by tag, with net/http. What it serves
// are a playlist and a part of ours. Its playlist is there plain, which is less work than ours, and compressed for each request, which is more.
type reference struct {
	mu   sync.Mutex // guards what follows
	tags []tag
	part []byte
}

// tag is a line, taken apart as a server holds it: with numbers that are to be formatted.
type tag struct {
	name  string
	attrs []attr
	plain string // instead: a line without attributes
}

type attr struct {
	name, text string
	number     float64
	isNumber   bool
}

// parseTags takes a playlist apart.
func parseTags(text string) (tags []tag) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, list, ok := strings.Cut(line, ":")
		if !ok || !strings.Contains(list, "=") || !strings.HasPrefix(line, "#") {
			tags = append(tags, tag{plain: line})
			continue
		}
		t := tag{name: name}
		for a := range strings.SplitSeq(list, ",") {
			key, value, _ := strings.Cut(a, "=")
			n, err := strconv.ParseFloat(value, 64)
			t.attrs = append(t.attrs, attr{name: key, text: value, number: n, isNumber: err == nil})
		}
		tags = append(tags, t)
	}
	return tags
}

func (l *reference) find() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.part
}

func (l *reference) render() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for i := range l.tags {
		l.tags[i].render(&b)
	}
	return b.String()
}

func (t *tag) render(b *strings.Builder) {
	if t.name == "" {
		b.WriteString(t.plain + "\n")
		return
	}
	b.WriteString(t.name)
	for i, a := range t.attrs {
		sep := ","
		if i == 0 {
			sep = ":"
		}
		if a.isNumber {
			b.WriteString(sep + a.name + "=" + strconv.FormatFloat(a.number, 'f', -1, 64))
		} else {
			b.WriteString(sep + a.name + "=" + a.text)
		}
	}
	b.WriteString("\n")
}

// serveReference serves copies, and prints its address, until it is killed: it runs in a process of its own, as a server does.
func serveReference(list, part string) error {
	text, err := read(list)
	if err != nil {
		return err
	}
	media, err := read(part)
	if err != nil {
		return err
	}
	l := &reference{tags: parseTags(text), part: []byte(media)}
	zippers := sync.Pool{New: func() any {
		z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid, and ours
		return z
	}}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(tcp.Addr())
	return http.Serve(tcp, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, kind := l.find(), "video/mp4"
		if strings.HasSuffix(r.URL.Path, ".m3u8") {
			body, kind = []byte(l.render()), "application/vnd.apple.mpegurl"
		}
		h := w.Header()
		if strings.HasSuffix(r.URL.Path, "/zipped.m3u8") {
			z, buf := zippers.Get().(*gzip.Writer), &bytes.Buffer{}
			z.Reset(buf)
			z.Write(body) // to memory
			z.Close()
			zippers.Put(z)
			body = buf.Bytes()
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cache-Control", "max-age=1")
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}))
}

// server that somebody else's figures are from.
type server struct {
	list, zipped, part string // addresses
	pid                int
}

// reference starts it with a copy of a playlist and a part.
func (b *bench) reference(list, part string) (s server, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return s, nil, err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cmd := exec.CommandContext(ctx, self, "reference", list, part)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return s, nil, err
	}
	stop = func() {
		cancel()
		cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return s, nil, err
	}
	base := "http://" + strings.TrimSpace(line)
	return server{base + "/index.m3u8", base + "/zipped.m3u8", base + "/part.m4s", cmd.Process.Pid}, stop, nil
}
