package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"watershed/cmd/watershed/config"
	"watershed/cmd/watershed/e2e"
	"watershed/sfu/mediatest"
	"watershed/sfu/peer"
)

const (
	wide, narrow = 4_000_000, 600_000    // bits a second
	oneWay       = 20 * time.Millisecond // towards the viewer
	before       = 8 * time.Second       // on the wide path
	squeezed     = 12 * time.Second      // on the narrow one
	after        = 3 * time.Second       // on the large layer again
	large, small = 720, 360              // heights
)

// onPath is one who watches through an emulated bottleneck.
type onPath interface {
	wait(height int, limit time.Duration) error       // until such a picture is shown
	stall(from, to time.Time) (ms float64, err error) // the longest time without a new picture
	close() error
}

func shrinkingPath(b *bench) error {
	if err := b.shrinking("simulcast", nil, dialOnPath); err != nil {
		return err
	}
	sub := func(c *config.Config) {
		s := c.Streams["cam0"]
		s.Sub = c.Streams["cam1"].Source // shows "coast", 360p
		c.Streams["cam0"] = s
	}
	if err := b.shrinking("main and sub", sub, dialOnPath); err != nil {
		return err
	}
	return b.shrinking("Chromium, main and sub", sub, b.chromiumOnPath)
}

// shrinking measures one viewer of cam0, or of a simulcast if there is no change to the configuration.
func (b *bench) shrinking(who string, change func(*config.Config), open func(s *setup, stream string, p *mediatest.Path) (onPath, error)) (err error) {
	traces, err := os.MkdirTemp(b.folder, "traces-")
	if err != nil {
		return err
	}
	s, err := b.start(2, "", func(c *config.Config) {
		c.WebRTC.Trace = traces
		if change != nil {
			change(c)
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	stream := "cam0"
	if change == nil {
		stream = "stage"
		end, err := publishSimulcast(b.ctx, s.node.URL+"/whip/"+stream, "river", "coast")
		if err != nil {
			return err
		}
		defer end()
		if _, err := s.node.WaitLog(`"stream live","stream":"stage"`, patience); err != nil {
			return err
		}
	}
	media, err := netip.ParseAddrPort(s.node.Listening["webrtc"])
	if err != nil {
		return err
	}
	path, err := mediatest.OpenPath(netip.MustParseAddrPort("127.0.0.1:0"), media, oneWay)
	if err != nil {
		return err
	}
	defer path.Close()
	path.SetRate(wide)
	v, err := open(s, stream, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	shrunk, grown, err := b.follow(who, v, path)
	if b.traces == "" || shrunk.IsZero() {
		return err
	}
	return errors.Join(err, b.saveTrace(who, traces, shrunk, grown)) // also of what went wrong
}

// follow shrinks and widens the path under a viewer and prints how the pictures followed.
func (b *bench) follow(who string, v onPath, path *mediatest.Path) (shrunk, grown time.Time, err error) {
	if err := errors.Join(v.wait(large, patience), b.sleep(before), v.wait(large, patience)); err != nil { // a busy machine may have made it fall
		return shrunk, grown, err
	}
	shrunk = time.Now()
	path.SetRate(narrow)
	if err := v.wait(small, patience); err != nil {
		return shrunk, grown, err
	}
	b.figure(who+": fits after", 3, time.Since(shrunk).Seconds(), "s")
	if err := b.sleep(time.Until(shrunk.Add(squeezed))); err != nil {
		return shrunk, grown, err
	}
	grown = time.Now()
	path.SetRate(wide)
	longest, err := v.stall(shrunk, grown)
	if err != nil {
		return shrunk, grown, err
	}
	b.figure(who+": stall going down", 500, longest, "ms")
	if err := v.wait(large, patience); err != nil {
		return shrunk, grown, err
	}
	b.figure(who+": back up after", 15, time.Since(grown).Seconds(), "s")
	if err := b.sleep(after); err != nil {
		return shrunk, grown, err
	}
	longest, err = v.stall(grown, time.Now())
	b.figure(who+": stall going up", 500, longest, "ms")
	return shrunk, grown, err
}

// watcher is a light peer that decodes nothing, but knows what could be decoded.
type watcher struct {
	screen mediatest.Screen
	stop   func()
}

func dialOnPath(s *setup, stream string, path *mediatest.Path) (onPath, error) {
	w := &watcher{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := peer.Dial(ctx, peer.Config{
		Exchange: func(ctx context.Context, offer string) (string, error) {
			return post(ctx, s.node.URL+"/whep/"+stream, offer)
		},
		Verify: 1, REMB: true, Route: func(netip.AddrPort) netip.AddrPort { return path.Addr() }, OnPacket: w.screen.Packet,
	})
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { p.Run(run); close(done) }()
	w.stop = func() { stop(); <-done }
	return w, nil
}

func (w *watcher) wait(height int, limit time.Duration) error {
	for began := time.Now(); time.Since(began) < limit; time.Sleep(5 * time.Millisecond) {
		if shown := w.screen.Shown(began.Add(-time.Second)); len(shown) > 0 && shown[len(shown)-1].Height == height {
			return nil
		}
	}
	return fmt.Errorf("no picture %d lines high within %v", height, limit)
}

func (w *watcher) stall(from, to time.Time) (float64, error) {
	return float64(w.screen.Stall(from, to)) / 1e6, nil
}

func (w *watcher) close() error { w.stop(); return nil }

// tab is a page of Chromium.
type tab struct {
	page interface {
		Wait(js string, timeout time.Duration) error
		Eval(js string, out any) error
		Close() error
	}
	end func() error
}

func (b *bench) chromiumOnPath(s *setup, stream string, path *mediatest.Path) (onPath, error) {
	address, end, err := e2e.Pages(s.node.URL)
	if err != nil {
		return nil, err
	}
	br, err := b.chromium()
	if err != nil {
		end()
		return nil, err
	}
	p, err := br.Open(fmt.Sprintf("%s/e2e/whep?stream=%s&via=%d", address, stream, path.Addr().Port()), nil)
	if err != nil {
		br.Close()
		end()
		return nil, err
	}
	return &tab{p, func() error { err := errors.Join(p.Close()); br.Close(); end(); return err }}, nil
}

func (t *tab) wait(height int, limit time.Duration) error {
	return t.page.Wait(fmt.Sprintf(`document.querySelector("video").videoHeight === %d`, height), limit)
}

func (t *tab) stall(from, to time.Time) (float64, error) {
	var at []float64
	if err := t.page.Eval(`readers[0].samples.map(([, at]) => at)`, &at); err != nil {
		return 0, err
	}
	longest, last := 0.0, float64(from.UnixMilli())
	for _, x := range append(at, float64(to.UnixMilli())) {
		if x > last && x <= float64(to.UnixMilli()) {
			longest, last = max(longest, x-last), x
		}
	}
	return longest, nil
}

func (t *tab) close() error { return t.end() }

// saveTrace adds to the longest recording what the path was, and keeps it.
func (b *bench) saveTrace(who, folder string, shrunk, grown time.Time) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.trace"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, errors.New("nothing was recorded"))
	}
	var longest []byte
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if len(text) > len(longest) {
			longest = text
		}
	}
	var began int64
	if _, err := fmt.Fscanf(bytes.NewReader(longest), "# began %d", &began); err != nil {
		return err
	}
	lines := strings.SplitAfter(string(longest), "\n")
	text := fmt.Sprintf("# %s: %s\n%s0 path %d\n%d path %d\n%d path %d\n%s", who, output("git", "describe", "--always", "--dirty"), lines[0],
		wide, shrunk.UnixMilli()-began, narrow, grown.UnixMilli()-began, wide, strings.Join(lines[1:], ""))
	name := strings.Join(strings.FieldsFunc(strings.ToLower(who), func(r rune) bool { return r < 'a' || r > 'z' }), "-") + ".trace"
	return os.WriteFile(filepath.Join(b.traces, name), []byte(text), 0o644)
}

// post sends an offer and returns the answer.
func post(ctx context.Context, to, offer string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(offer))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/sdp")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %s: %.200s", to, res.Status, answer)
	}
	return string(answer), err
}
