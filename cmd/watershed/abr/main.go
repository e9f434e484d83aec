// Command abr proves that players which nobody here wrote switch between our renditions while the network shrinks and grows: no stall, no error, and the
// delay that is promised.
//
//	make abr            ten minutes
//	make abr ABR=2m
//
// hls.js as our own player has it, Shaka and dash.js play side by side, each in a page of Chromium whose network is throttled by the browser's own tools. What they play is a ladder of
// three rungs that were encoded before the run and are fed to the bridge in real time. Afterwards hls.js plays a ladder that a node's FFmpeg makes live.
//
// It ends with an error if a player stalled, erred, or did not go down and up. A delay is read from the numbers in the pictures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"watershed/cmd/watershed/e2e"
	"watershed/cmd/watershed/e2e/browser"
)

func main() {
	long := flag.Duration("for", 10*time.Minute, "how long each player plays the ladder")
	live := flag.Duration("live", time.Minute, "how long hls.js plays a ladder that FFmpeg makes live; 0 leaves it out")
	players := flag.String("players", "", "only those whose names contain this")
	sound := flag.Bool("sound", false, "with a rendition of sound beside the ladder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *long, *live, *players, *sound); err != nil {
		fmt.Fprintln(os.Stderr, "abr:", err)
		os.Exit(1)
	}
}

var errFaults = errors.New("not every player played as it should: see above")

func run(ctx context.Context, long, live time.Duration, only string, sound bool) error {
	root, err := e2e.Root()
	if err != nil {
		return err
	}
	b, err := browser.Launch(filepath.Join(root, "web"))
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Println("Chromium", b.Version)
	err = loops(ctx, b, long, only, sound)
	if live > 0 && (err == nil || errors.Is(err, errFaults)) {
		err = errors.Join(err, liveLadder(ctx, b, live))
	}
	return err
}

// loops plays the ladder that was encoded beforehand.
func loops(ctx context.Context, b *browser.Browser, long time.Duration, only string, sound bool) (err error) {
	rungs := ladder()
	for _, r := range rungs {
		if err := r.encode(ctx); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	fast, fastURL, end, err := serve(ctx, &running, rungs, sound, 150*time.Millisecond)
	if err != nil {
		return err
	}
	defer end()
	usual, usualURL, end, err := serve(ctx, &running, rungs, sound, 350*time.Millisecond)
	if err != nil {
		return err
	}
	defer end()
	fmt.Printf("the ladder is at %s with parts of 150 ms, at %s with parts of 350 ms\n", fastURL, usualURL)
	const list, manifest = "/hls/abr/index.m3u8", "/dash/abr/manifest.mpd"
	viewers := []*viewer{
		{name: "hls.js, LL-HLS, part 150ms", player: "hls.js", src: fastURL + list, origin: fast, goal: 700},
		{name: "hls.js, LL-HLS, part 350ms", player: "hls.js", src: usualURL + list, origin: usual, goal: 1350},
		{name: "Shaka, LL-HLS, part 350ms", player: "shaka", src: usualURL + list, origin: usual, goal: 1350},
		{name: "dash.js, LL-DASH, part 350ms", player: "dash.js", src: usualURL + manifest, origin: usual, goal: 1500},
	}
	return play(ctx, b, viewers, long, only, rungs)
}

// serve an origin, with the tests' pages beside it.
func serve(ctx context.Context, running *sync.WaitGroup, rungs []*rung, sound bool, part time.Duration) (o *origin, address string, end func(), err error) {
	if o, err = newOrigin(ctx, rungs, sound, part); err != nil {
		return nil, "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	running.Go(func() {
		if err := o.run(ctx, l); err != nil {
			fmt.Fprintln(os.Stderr, "abr: origin:", err)
		}
	})
	if err := full(ctx, "http://"+l.Addr().String()+"/hls/abr/v0.m3u8"); err != nil {
		return nil, "", nil, err
	}
	address, end, err = e2e.Pages("http://" + l.Addr().String())
	return o, address, end, err
}

// play lets the viewers play side by side and prints what became of each.
func play(ctx context.Context, b *browser.Browser, viewers []*viewer, long time.Duration, only string, rungs []*rung) error {
	var chosen []*viewer
	for _, v := range viewers {
		if strings.Contains(v.name, only) {
			chosen = append(chosen, v)
		}
	}
	limited, stop := context.WithTimeout(ctx, long)
	defer stop()
	var all sync.WaitGroup
	failed := make([]error, len(chosen))
	for i, v := range chosen {
		all.Go(func() {
			address := v.src[:strings.Index(v.src[7:], "/")+7]
			if failed[i] = v.open(b, address); failed[i] == nil {
				failed[i] = v.throttle(limited)
			}
		})
	}
	all.Wait()
	good := ctx.Err() == nil
	for i, v := range chosen {
		fmt.Printf("\n%s\n", v.name)
		if failed[i] != nil {
			fmt.Println("  FAULT", failed[i])
			good = false
			continue
		}
		j, err := v.judge(rungs)
		if err := errors.Join(err, v.page.Close()); err != nil {
			return err
		}
		good = j.print() && good
	}
	if !good {
		return errFaults
	}
	return nil
}

func (j *verdict) print() (good bool) {
	for _, l := range append(j.events, j.lines...) {
		fmt.Println(" ", l)
	}
	if j.more > 0 {
		fmt.Println("  and", j.more, "more such events")
	}
	for _, f := range j.faults {
		fmt.Println("  FAULT", f)
	}
	return len(j.faults) == 0
}
