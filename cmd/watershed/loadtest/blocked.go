package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Blocked is a load of requests that all wait for the same reload of one playlist, each on a connection of its own: what a part's publication costs.
type Blocked struct {
	URL      string // of a multivariant or media playlist
	Requests int
	Rounds   int
	Insecure bool
	PID      int // of the server, for its memory
	Progress io.Writer
}

// BlockedResult of a load. Milliseconds count from the first answer that anybody got: that is the earliest sign of publication that a client sees.
type BlockedResult struct {
	Requests int
	Rounds   []BlockedRound
	Memory   float64 // bytes of the server for each connection with a request that waits; 0: not measured
}

// BlockedRound is one reload that all waited for.
type BlockedRound struct {
	Answers Spread
	Failed  int
	Error   string        // the first
	Held    time.Duration // from the last request to the first answer; a negative one spoils the round
	Clock   float64       // milliseconds from the last listed part's end, by the playlist's clock, to the first answer
}

// waiter is one connection.
type waiter struct {
	conn net.Conn
	in   *bufio.Reader
	at   time.Time // of the whole answer
	body string    // of one of them
	err  error
}

// longestHold of a request, of servers that know hls.js: it gives up after ten seconds.
const longestHold = 8500 * time.Millisecond

const patience = 20 * time.Second // for an answer

const dialers = 64 // at a time: more overflow the server's backlog, and SYNs are sent again after a second

// Run the load. It ends early with ctx.
func (b *Blocked) Run(ctx context.Context) (*BlockedResult, error) {
	target, err := b.media(ctx)
	if err != nil {
		return nil, err
	}
	r := &BlockedResult{Requests: b.Requests}
	before := rss(b.PID)
	all, err := b.dial(ctx, target)
	defer func() {
		for _, w := range all {
			if w.conn != nil {
				w.conn.Close()
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		for _, w := range all {
			w.conn.Close()
		}
	})
	defer stop()
	for n := range max(1, b.Rounds) {
		round, after, err := b.round(ctx, all, target)
		if err != nil {
			return nil, err
		}
		r.Rounds = append(r.Rounds, round)
		if b.PID != 0 {
			r.Memory = max(r.Memory, float64(after-before)/float64(b.Requests))
		}
		if b.Progress != nil {
			fmt.Fprintf(b.Progress, "\rround %d of %d   ", n+1, b.Rounds)
		}
	}
	if b.Progress != nil {
		fmt.Fprint(b.Progress, "\r                    \r")
	}
	return r, nil
}

// media finds the first media playlist.
func (b *Blocked) media(ctx context.Context) (string, error) {
	if b.Requests <= 0 {
		return "", errors.New("loadtest: how many requests?")
	}
	text, err := b.fetch(ctx, b.URL)
	if err != nil {
		return "", err
	}
	if all := variants(text); len(all) > 0 {
		return resolve(b.URL, all[0][0]), nil
	}
	return b.URL, nil
}

func (b *Blocked) fetch(ctx context.Context, address string) (string, error) {
	pool := (&HLS{Insecure: b.Insecure, PerConn: 1}).transport()
	defer pool.CloseIdleConnections()
	v := &hlsViewer{crowd: newCrowd(), client: &http.Client{Transport: pool}}
	return v.get(ctx, "playlist", address)
}

// dial connects all. Each reads the playlist first, as a player does: servers close a new connection that is silent for long.
func (b *Blocked) dial(ctx context.Context, target string) ([]*waiter, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(host, map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	dial := (&net.Dialer{Timeout: 20 * time.Second}).DialContext
	if u.Scheme == "https" {
		dial = (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: b.Insecure}}).DialContext //nolint:gosec // the tester's own choice, and it sends no secret
	}
	first := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: gzip\r\n\r\n", u.EscapedPath(), u.Host)
	all := make([]*waiter, b.Requests)
	slots := make(chan struct{}, dialers)
	var dials sync.WaitGroup
	for i := range all {
		w := &waiter{}
		all[i] = w
		slots <- struct{}{}
		dials.Go(func() {
			defer func() { <-slots }()
			if w.conn, w.err = dial(ctx, "tcp", host); w.err == nil {
				w.in = bufio.NewReaderSize(w.conn, 4096)
				w.ask(first)
			}
		})
	}
	dials.Wait()
	for i, w := range all {
		if w.err != nil {
			return all, fmt.Errorf("loadtest: connection %d of %d: %w", i+1, len(all), w.err)
		}
	}
	return all, nil
}

// round has everybody ask for the segment after the one that is being made: far enough away that all wait before it is there.
func (b *Blocked) round(ctx context.Context, all []*waiter, target string) (r BlockedRound, after int64, err error) {
	text, err := b.fetch(ctx, target)
	if err != nil {
		return r, 0, err
	}
	l := parseList(text)
	if !l.canBlock || l.ended {
		return r, 0, errors.New("loadtest: this playlist cannot block a reload")
	}
	u, err := url.Parse(target)
	if err != nil {
		return r, 0, err
	}
	next := l.segment + 2
	if 2*l.target > longestHold {
		next = l.segment + 1 // a server gives up on the second next
	}
	request := fmt.Sprintf("GET %s?_HLS_msn=%d HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: ", u.EscapedPath(), next, u.Host)
	players, reader := []byte(request+"gzip\r\n\r\n"), []byte(request+"identity\r\n\r\n")
	var answers sync.WaitGroup
	for i, w := range all {
		ask := players
		if i == 0 {
			ask = reader // whose answer is looked at
		}
		w.conn.SetDeadline(time.Now().Add(patience))
		if _, w.err = w.conn.Write(ask); w.err == nil {
			answers.Go(func() { w.read(i == 0) })
		}
	}
	sent := time.Now()
	if err := sleep(ctx, 500*time.Millisecond); err != nil { // until the server has read them all
		return r, 0, err
	}
	after = rss(b.PID)
	answers.Wait()
	if err := ctx.Err(); err != nil {
		return r, 0, err
	}
	r.take(all, sent)
	return r, after, nil
}

// ask for something that is there.
func (w *waiter) ask(request []byte) {
	w.conn.SetDeadline(time.Now().Add(patience))
	if _, w.err = w.conn.Write(request); w.err == nil {
		w.read(false)
	}
}

// read an answer to its last byte. It looks at no more than it must: the tester shares the machine with the server.
func (w *waiter) read(keep bool) {
	line, err := w.in.ReadSlice('\n')
	if err == nil && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		err = fmt.Errorf("answered %.60q", line)
	}
	length := -1
	for err == nil {
		if line, err = w.in.ReadSlice('\n'); len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	switch {
	case err != nil:
	case length < 0:
		err = errors.New("an answer without Content-Length")
	case keep:
		body := make([]byte, length)
		_, err = io.ReadFull(w.in, body)
		w.body = string(body)
	default:
		_, err = w.in.Discard(length)
	}
	w.at, w.err = time.Now(), err
}

func (r *BlockedRound) take(all []*waiter, sent time.Time) {
	var first time.Time
	for _, w := range all {
		if w.err == nil && (first.IsZero() || w.at.Before(first)) {
			first = w.at
		}
	}
	var after []float64
	for _, w := range all {
		if w.err != nil {
			r.Failed++
			if r.Error == "" {
				r.Error = w.err.Error()
			}
			continue
		}
		after = append(after, w.at.Sub(first).Seconds()*1e3)
	}
	r.Answers, r.Held = spread(after), first.Sub(sent)
	if l := parseList(all[0].body); len(l.parts) > 0 {
		if end := l.parts[len(l.parts)-1].end; !end.IsZero() {
			r.Clock = first.Sub(end).Seconds() * 1e3
		}
	}
}

// Err is nil if every request was answered.
func (r *BlockedResult) Err() error {
	for _, x := range r.Rounds {
		if x.Failed > 0 {
			return fmt.Errorf("%d of %d requests were not answered: %s", x.Failed, r.Requests, x.Error)
		}
	}
	return nil
}

// Print the result for people.
func (r *BlockedResult) Print(out io.Writer) {
	for i, x := range r.Rounds {
		fmt.Fprintf(out, "round %-22d %d of %d answered, after the first answer p50 %.1f  p99 %.1f  max %.1f ms\n", i+1, r.Requests-x.Failed, r.Requests, x.Answers.P50, x.Answers.P99, x.Answers.Max)
		if x.Held < 0 {
			fmt.Fprintf(out, "%-28s %v before the last request was sent: this round does not count\n", "  published", -x.Held)
		} else {
			fmt.Fprintf(out, "%-28s all waited %v; the first answer came %.1f ms after the end of the last part, by the playlist's clock\n", "  published", x.Held.Round(time.Millisecond), x.Clock)
		}
	}
	if r.Memory > 0 {
		fmt.Fprintf(out, "%-28s %.1f KiB a request, its connection included (resident memory over that before: right for a node that has just started)\n", "server memory", r.Memory/1024)
	}
}
