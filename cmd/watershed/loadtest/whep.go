// Package loadtest makes viewers by the thousand and reports what they saw and what they cost the server.
package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"watershed/sfu/peer"
)

// WHEP is a load of WebRTC viewers.
type WHEP struct {
	URLs     []string // of WHEP endpoints; viewers are spread over them
	Viewers  int
	Rate     float64       // joins a second
	Duration time.Duration // measured, after all have joined and settled
	Loss     float64       // of datagrams, in the tester's sockets
	Delay    time.Duration // added to what viewers send
	Habit    Habit         // what they do amiss
	Token    string
	PID      int    // of the server, for its CPU and memory; 0 is not measured
	Metrics  string // URL of the server's Prometheus metrics, for its GSO hit rate; "" is not measured
	Progress io.Writer
}

// Result of a WHEP load.
type Result struct {
	Viewers    int // that joined
	Failed     int
	FirstError string
	JoinRate   float64 // that was reached

	FirstPacket Spread // milliseconds from the offer
	Transit     Spread // milliseconds, each picture's last packet
	Large       Spread // the same, only of pictures of three times the packets of most or more: keyframes
	SharedClock bool   // Transit is measured against the fastest packet of any viewer, not of the same

	Packets  uint64 // in the measured time
	Missing  uint64 // never came, not even again
	Ignored  uint64 // of the missing, those that were asked for, and the tester's own loss took neither question nor answer
	Repeated uint64 // came by retransmission
	Floods   uint64 // RTCP messages that a flood sent
	Rejected int    // failed authentication, of those verified
	Frames   uint64
	Expected uint64 // pictures, had every viewer got what the best one got
	Bytes    uint64
	Seconds  float64

	CPU       float64 // seconds of the server, NaN-free: 0 if not measured
	TesterCPU float64
	RSSBefore int64 // bytes
	RSSAfter  int64
	GSO       float64 // datagrams a message
}

// settle is the time after the last join in which nothing is measured: caught up, first reports sent.
const settle = 3 * time.Second

// viewer is one receiver and its samples.
type viewer struct {
	peer    *peer.Peer
	url     int
	started time.Time
	first   atomic.Int64 // nanoseconds from start to the first media packet, 0 before

	newest    atomic.Uint32 // sequence number
	measuring *atomic.Bool
	marks     []mark // one for each whole picture, in the measured time
	inPicture int    // packets since the last mark
	packets   uint64
	bytes     uint64
}

// mark is the arrival of a picture's last packet.
type mark struct {
	ts      uint32
	packets int32
	at      int64
}

// Run the load. It ends early with ctx.
func (w *WHEP) Run(ctx context.Context) (*Result, error) {
	if len(w.URLs) == 0 || w.Viewers <= 0 {
		return nil, errors.New("loadtest: name at least one WHEP URL and one viewer")
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	r := &Result{RSSBefore: rss(w.PID)}
	var measuring atomic.Bool
	viewers, err := w.join(ctx, r, &measuring, &running)
	if err != nil {
		return nil, err
	}
	if len(viewers) == 0 {
		return nil, fmt.Errorf("loadtest: no viewer could join: %s", r.FirstError)
	}
	if err := sleep(ctx, settle); err != nil {
		return nil, err
	}
	before := w.snapshot(viewers)
	measuring.Store(true)
	began := time.Now()
	var floods atomic.Uint64
	for _, v := range viewers {
		if w.Habit == Deaf || w.Habit == Flood {
			running.Go(func() { w.Habit.take(ctx, v, &floods) })
		}
	}
	if err := w.wait(ctx, r); err != nil {
		return nil, err
	}
	measuring.Store(false)
	r.Seconds = time.Since(began).Seconds()
	after := w.snapshot(viewers)
	r.RSSAfter = rss(w.PID)
	cancel()
	running.Wait() // samples belong to the viewers' goroutines until here
	r.CPU, r.TesterCPU = after.cpu-before.cpu, after.own-before.own
	if after.messages > before.messages {
		r.GSO = (after.datagrams - before.datagrams) / (after.messages - before.messages)
	}
	r.Floods = floods.Load()
	r.collect(viewers, w.URLs)
	return r, nil
}

// join dials the viewers at the wanted rate, whatever the server answers: an open loop.
func (w *WHEP) join(ctx context.Context, r *Result, measuring *atomic.Bool, running *sync.WaitGroup) ([]*viewer, error) {
	cert, err := peer.NewCertificate()
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var joined []*viewer
	var dials sync.WaitGroup
	began := time.Now()
	for i := range w.Viewers {
		due := began.Add(time.Duration(float64(i) / w.Rate * float64(time.Second)))
		if sleep(ctx, time.Until(due)) != nil {
			break
		}
		dials.Go(func() {
			v := &viewer{url: i % len(w.URLs), measuring: measuring, started: time.Now()}
			err := v.dial(ctx, w, client, &peer.Config{Certificate: cert, Loss: w.Loss, Delay: w.Delay, Verify: 500, OnPacket: v.packet})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.Failed++
				if r.FirstError == "" {
					r.FirstError = err.Error()
				}
				return
			}
			joined = append(joined, v)
			running.Go(func() { v.peer.Run(ctx) })
		})
		if w.Progress != nil && (i+1)%100 == 0 {
			fmt.Fprintf(w.Progress, "\r%d of %d viewers asked to join", i+1, w.Viewers)
		}
	}
	dials.Wait()
	r.Viewers = len(joined)
	r.JoinRate = float64(len(joined)) / time.Since(began).Seconds()
	return joined, ctx.Err()
}

func (v *viewer) dial(ctx context.Context, w *WHEP, client *http.Client, cfg *peer.Config) error {
	cfg.Exchange = func(ctx context.Context, offer string) (string, error) {
		return post(ctx, client, w.URLs[v.url], w.Token, offer)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var err error
	v.peer, err = peer.Dial(ctx, *cfg)
	return err
}

func post(ctx context.Context, client *http.Client, to, token, offer string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(offer))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/sdp")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusCreated {
		u, _ := url.Parse(to)
		return "", fmt.Errorf("%s: %s: %.200s", u.Path, res.Status, body)
	}
	return string(body), nil
}

// packet runs on the peer's goroutine.
func (v *viewer) packet(p peer.Packet) {
	if v.first.Load() == 0 {
		v.first.Store(int64(p.Arrival.Sub(v.started)))
	}
	video := p.Track.Kind == "video"
	if video && !p.RTX {
		v.newest.Store(uint32(p.Header.Seq))
	}
	if !v.measuring.Load() || p.RTX {
		return
	}
	v.packets++
	v.bytes += uint64(p.Size)
	if !video {
		return
	}
	v.inPicture++
	if p.Header.Marker {
		v.marks = append(v.marks, mark{p.Header.TS, int32(v.inPicture), p.Arrival.UnixNano()})
		v.inPicture = 0
	}
}

// wait lets the load run and tells of progress.
func (w *WHEP) wait(ctx context.Context, r *Result) error {
	for left := w.Duration; left > 0; left -= time.Second {
		if w.Progress != nil {
			fmt.Fprintf(w.Progress, "\r%d viewers, %d s left          ", r.Viewers, int(left.Seconds()))
		}
		if err := sleep(ctx, min(left, time.Second)); err != nil {
			return err
		}
	}
	if w.Progress != nil {
		fmt.Fprint(w.Progress, "\r                                   \r")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Result) collect(viewers []*viewer, urls []string) {
	var first []float64
	byURL := make([][]*viewer, len(urls))
	for _, v := range viewers {
		if f := v.first.Load(); f > 0 {
			first = append(first, float64(f)/1e6)
		}
		r.Packets += v.packets
		r.Bytes += v.bytes
		r.Frames += uint64(len(v.marks))
		r.Rejected += v.peer.Rejected()
		for _, t := range v.peer.Tracks {
			r.Missing += t.Missing.Load()
			r.Ignored += t.Ignored.Load()
			r.Repeated += t.Repeated.Load()
		}
		byURL[v.url] = append(byURL[v.url], v)
	}
	r.FirstPacket = spread(first)
	r.SharedClock = true
	var transit, large []float64
	for _, group := range byURL {
		best := 0
		for _, v := range group {
			best = max(best, len(v.marks))
		}
		r.Expected += uint64(best * len(group))
		delays, keys, shared := transits(group)
		transit, large = append(transit, delays...), append(large, keys...)
		r.SharedClock = r.SharedClock && shared
	}
	r.Transit, r.Large = spread(transit), spread(large)
}

// transits are the delays in milliseconds of all pictures of one stream, above the fastest one. RTP timestamps say when a picture was due. If the viewers'
// timestamps have a common zero, the fastest of all viewers counts, so that a viewer who is always served last is seen; else each viewer's own.
func transits(group []*viewer) (delays, large []float64, shared bool) {
	const rate = 90000
	bases := make([]int64, len(group)) // least arrival - due
	var zero uint32
	shared = true
	for i, v := range group {
		if len(v.marks) == 0 {
			continue
		}
		if zero == 0 {
			zero = v.marks[0].ts
		}
		base := int64(1<<63 - 1)
		for _, m := range v.marks {
			base = min(base, m.at-due(m.ts-zero, rate))
		}
		bases[i] = base
	}
	least := int64(1<<63 - 1)
	for i, v := range group {
		if len(v.marks) > 0 {
			least = min(least, bases[i])
		}
	}
	for i, v := range group {
		if len(v.marks) > 0 && bases[i]-least > int64(time.Second) {
			shared = false
		}
	}
	usual := usualPackets(group)
	for i, v := range group {
		base := least
		if !shared {
			base = bases[i]
		}
		for _, m := range v.marks {
			d := float64(m.at-due(m.ts-zero, rate)-base) / 1e6
			delays = append(delays, d)
			if m.packets >= 3*usual {
				large = append(large, d)
			}
		}
	}
	return delays, large, shared
}

// usualPackets of a picture is the median of what one viewer got.
func usualPackets(group []*viewer) int32 {
	for _, v := range group {
		var n []int32
		for _, m := range v.marks {
			n = append(n, m.packets)
		}
		if len(n) > 0 {
			slices.Sort(n)
			return n[len(n)/2]
		}
	}
	return 0
}

func due(ts uint32, rate int64) int64 { return int64(int32(ts)) * int64(time.Second) / rate }

// Spread of a set of samples.
type Spread struct{ P50, P95, P99, Max float64 }

func spread(samples []float64) Spread {
	if len(samples) == 0 {
		return Spread{}
	}
	slices.Sort(samples)
	at := func(q float64) float64 { return samples[min(len(samples)-1, int(q*float64(len(samples))))] }
	return Spread{at(.5), at(.95), at(.99), samples[len(samples)-1]}
}
