package main

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"watershed/cmd/watershed/camera"
	"watershed/cmd/watershed/e2e/browser"
)

// viewer is one player in a page of its own.
type viewer struct {
	name   string  // for people
	player string  // as the page knows it
	src    string  // playlist or manifest
	goal   float64 // ms of delay, in the middle
	origin *origin
	page   *browser.Page
	stages []stage
}

// stage is a time of one bandwidth.
type stage struct {
	from, to float64 // ms since 1970
	kbps     float64
}

// seen is what the page noted.
type seen struct {
	Heights [][2]float64
	Waits   [][2]float64
	Errors  []string
	Notes   []string
	Began   float64
}

func (v *viewer) open(b *browser.Browser, address string) (err error) {
	q := url.Values{"player": {v.player}, "src": {v.src}}
	if v.page, err = b.Open(address+"/e2e/abr?"+q.Encode(), nil); err != nil {
		return err
	}
	if err = v.page.WaitPictures(0, camera.FPS, time.Minute); err != nil {
		var state string
		v.page.Eval(`JSON.stringify({...seen, at: video.currentTime, ready: video.readyState, buffered: [...Array(video.buffered.length).keys()].map((i) => [video.buffered.start(i), video.buffered.end(i)])})`, &state)
		return fmt.Errorf("%w\nthe player: %s", err, state)
	}
	return nil
}

// bandwidths that the network has, in kb/s, one after the other: it shrinks in steps, as one that fills up does, and grows again. With a third of a second in
// the buffer nothing survives that it shrinks to a quarter at once; that is not asked of a player here.
var bandwidths = []struct {
	kbps float64
	part float64 // of the cycle
}{
	{wide, 4}, {4000, 1}, {3000, 1}, {2400, 1}, {2000, 1}, {1700, 1}, {1450, 1}, {1250, 1}, {1100, 1}, {950, 1}, {800, 1}, {narrow, 4}, {1100, 1}, {2400, 2}, {wide, 3},
}

// cycle is one way down and up.
const cycle = 2 * time.Minute

// narrow and wide are what the viewer must have shown the lowest and the highest rung at.
const (
	narrow = 700
	wide   = 8000
)

// throttle takes the viewer through the bandwidths until ctx ends.
func (v *viewer) throttle(ctx context.Context) error {
	all := 0.0
	for _, b := range bandwidths {
		all += b.part
	}
	for {
		for _, b := range bandwidths {
			if err := v.page.Throttle(b.kbps*1000, 20*time.Millisecond); err != nil {
				return err
			}
			from := unixMS()
			select {
			case <-time.After(time.Duration(float64(cycle) * b.part / all)):
			case <-ctx.Done():
			}
			v.stages = append(v.stages, stage{from, unixMS(), b.kbps})
			if ctx.Err() != nil {
				return v.page.Throttle(0, 0)
			}
		}
	}
}

func unixMS() float64 { return float64(time.Now().UnixMicro()) / 1000 }

// verdict of one viewer.
type verdict struct {
	faults []string
	lines  []string
	events []string // the first of what happened on the way, and how many there were
	more   int
}

// event notes something that may happen often.
func (v *verdict) event(format string, args ...any) {
	if len(v.events) < 12 {
		v.events = append(v.events, fmt.Sprintf(format, args...))
	} else {
		v.more++
	}
}

func (v *verdict) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

func (v *verdict) note(format string, args ...any) {
	v.lines = append(v.lines, fmt.Sprintf(format, args...))
}

// judge looks at what the page noted from the moment on that it has been playing for a while.
func (v *viewer) judge(rungs []*rung) (*verdict, error) {
	var s seen
	if err := v.page.Eval("seen", &s); err != nil {
		return nil, err
	}
	shown, err := v.page.Pictures(0)
	if err != nil {
		return nil, err
	}
	j := &verdict{}
	v.judgeErrors(j, &s)
	v.judgeStalls(j, &s, shown)
	v.judgeLevels(j, &s, rungs)
	v.judgeDelay(j, shown)
	return j, nil
}

func (v *viewer) judgeErrors(j *verdict, s *seen) {
	for _, e := range s.Errors {
		j.fault("error: %s", e)
	}
	for _, line := range v.page.Console() {
		if strings.HasPrefix(line, "error") || strings.HasPrefix(line, "uncaught") {
			j.fault("console: %s", line)
		}
	}
	for _, n := range s.Notes {
		j.event("mended by the player: %s", n)
	}
}

// still is how long a picture may stand, in ms: longer is seen as a stall.
const still = 300

func (v *viewer) judgeStalls(j *verdict, s *seen, shown browser.Pictures) {
	longest, lost := 0.0, 0.0
	for i := 1; i < len(shown.Samples); i++ {
		gap := shown.Samples[i][1] - shown.Samples[i-1][1]
		longest = max(longest, gap)
		if gap > still && shown.Samples[i][1] > s.Began+settle {
			lost += gap
			j.event("the picture stood for %.0f ms at %.1f s, %.0f kb/s", gap, (shown.Samples[i-1][1]-s.Began)/1000, v.bandwidth(shown.Samples[i][1]))
		}
	}
	waits := 0
	for _, w := range s.Waits {
		if w[0] > s.Began+settle {
			waits++
			j.event("waited at %.1f s, %.0f kb/s", (w[0]-s.Began)/1000, v.bandwidth(w[0]))
		}
	}
	if waits > 0 || lost > 0 {
		j.fault("%d stalls; the picture stood for %.0f ms in all", waits, lost)
	}
	j.note("%d pictures, %d without a readable number, longest gap between two %.0f ms", len(shown.Samples), shown.Unread, longest)
}

// settle is how long a player may take to find its place, in ms.
const settle = 5000

func (v *viewer) bandwidth(at float64) float64 {
	for _, s := range v.stages {
		if at >= s.from && at < s.to {
			return s.kbps
		}
	}
	return math.NaN()
}

// judgeLevels wants the highest rung at the end of wide stages and the lowest at the end of narrow ones.
func (v *viewer) judgeLevels(j *verdict, s *seen, rungs []*rung) {
	at := func(when float64) (height int) {
		for _, h := range s.Heights {
			if h[0] <= when {
				height = int(h[1])
			}
		}
		return height
	}
	ups, downs, switches := 0, 0, max(0, len(s.Heights)-1)
	for _, st := range v.stages[:max(0, len(v.stages)-1)] {
		height := at(st.to)
		switch {
		case st.kbps == wide && height == rungs[0].height && st.to-st.from > 10_000:
			ups++
		case st.kbps == narrow && height < rungs[0].height:
			downs++
		case st.kbps == narrow || st.kbps == wide && st.to-st.from > 10_000:
			j.event("%d lines after %.0f s of %.0f kb/s", height, (st.to-st.from)/1000, st.kbps)
		}
	}
	if ups == 0 || downs == 0 {
		j.fault("went up %d times and down %d times", ups, downs)
	}
	j.note("%d switches; %d times at the top when it was wide, %d times below when it was narrow; now and then: %v", switches, ups, downs, heightsOf(s))
}

func heightsOf(s *seen) (all []int) {
	for _, h := range s.Heights {
		all = append(all, int(h[1]))
	}
	return all[:min(len(all), 24)]
}

func (v *viewer) judgeDelay(j *verdict, shown browser.Pictures) {
	delays := shown.Delays(v.origin.clock(), 5*camera.FPS)
	p50, p95 := browser.Quantile(delays, .5), browser.Quantile(delays, .95)
	if !(p50 <= v.goal) {
		j.fault("delay p50 %.0f ms where %.0f is the goal", p50, v.goal)
	}
	j.note("delay p50 %.0f ms (goal %.0f), p95 %.0f ms", p50, v.goal, p95)
}
