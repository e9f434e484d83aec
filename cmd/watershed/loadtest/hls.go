package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// HLS is a load of LL-HLS viewers that ask for what hls.js asks for: multivariant playlist, media playlists with blocking reload and deltas,
// initialisation segments, every part, pictures and sound each for itself. They decode nothing.
type HLS struct {
	URLs     []string // of multivariant playlists; viewers are spread over them, and over the variants
	Viewers  int
	Rate     float64       // joins a second
	Duration time.Duration // measured, after all have joined and settled
	PerConn  int           // viewers that share a client: with HTTP/2 one connection, else a pool of them. 0 is 100
	Insecure bool          // take any certificate
	PID      int           // of the server, for its CPU and memory; 0 is not measured
	Origin   string        // URL of the metrics of the origin behind a cache; "" is not measured
	Progress io.Writer
}

// Kinds of objects, as the origin counts them (watershed_hls_requests_total).
var hlsKinds = []string{"index", "playlist", "reload", "init", "part", "segment"}

// HLSResult of a load.
type HLSResult struct {
	Viewers int
	Seconds float64
	Errors  int
	Error   string // the first

	Requests map[string]int // by kind, in the measured time, of all viewers
	Keys     map[string]int // different addresses by kind, whatever token they have, from the first viewer's join to the last one's end
	Bytes    uint64         // of bodies, compressed as they came
	HTTP     string         // protocol of the answers

	Listed   Spread // milliseconds from a part's first listing for any viewer to its last byte, or to the end of the measured time if it was under way then
	Clock    Spread // the same from the part's end by the playlist's clock; zero if that clock is not ours
	HasClock bool
	Wait     Spread        // milliseconds that a blocking reload was held
	Stalls   int           // those that had not ended when the measured time did, too
	Stalled  time.Duration // of all viewers together
	Skipped  int           // parts that were not listed any more when a viewer came to them

	Origin             map[string]float64 // the origin's requests by kind, as long as Keys; nil if not measured
	Whole              float64            // seconds of that
	CPU, TesterCPU     float64            // seconds
	RSSBefore, RSSPeak int64
}

// Run the load. It ends early with ctx.
func (h *HLS) Run(ctx context.Context) (*HLSResult, error) {
	if len(h.URLs) == 0 || h.Viewers <= 0 || h.Rate <= 0 {
		return nil, errors.New("loadtest: name at least one playlist, one viewer and a rate")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := newCrowd()
	r := &HLSResult{Viewers: h.Viewers, RSSBefore: rss(h.PID)}
	var all sync.WaitGroup
	var pools []*http.Transport
	defer func() {
		cancel()
		all.Wait()
		for _, p := range pools {
			p.CloseIdleConnections()
		}
	}()
	if h.PerConn <= 0 {
		h.PerConn = 100
	}
	origin, err := h.scrapeOrigin()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for i := range h.Viewers {
		if err := sleep(ctx, time.Until(began.Add(time.Duration(float64(i)/h.Rate*float64(time.Second))))); err != nil {
			return nil, err
		}
		if i%h.PerConn == 0 {
			pools = append(pools, h.transport())
		}
		v := &hlsViewer{crowd: c, client: &http.Client{Transport: pools[len(pools)-1]}, url: h.URLs[i%len(h.URLs)], number: i / len(h.URLs)}
		all.Go(func() { v.run(ctx) })
	}
	if err := sleep(ctx, settle); err != nil {
		return nil, err
	}
	if err := h.measure(ctx, c, r); err != nil {
		return nil, err
	}
	cancel()
	all.Wait()
	r.Whole = time.Since(began).Seconds()
	if err := h.countOrigin(origin, r); err != nil {
		return nil, err
	}
	c.collect(r)
	if r.Requests["part"]+r.Requests["segment"] == 0 {
		return r, fmt.Errorf("loadtest: no viewer got a part; the first error: %s", r.Error)
	}
	return r, nil
}

// measure lets the viewers watch, and takes the costs before and after.
func (h *HLS) measure(ctx context.Context, c *crowd, r *HLSResult) error {
	cpu, own := cpuSeconds(h.PID), cpuSeconds(os.Getpid())
	c.begin()
	began := time.Now()
	for left := h.Duration; left > 0; left -= time.Second {
		if h.Progress != nil {
			fmt.Fprintf(h.Progress, "\r%d viewers, %d s left          ", h.Viewers, int(left.Seconds()))
		}
		if err := sleep(ctx, min(left, time.Second)); err != nil {
			return err
		}
		r.RSSPeak = max(r.RSSPeak, rss(h.PID))
	}
	if h.Progress != nil {
		fmt.Fprint(h.Progress, "\r                                   \r")
	}
	c.end()
	r.Seconds = time.Since(began).Seconds()
	r.CPU, r.TesterCPU = cpuSeconds(h.PID)-cpu, cpuSeconds(os.Getpid())-own
	return nil
}

func (h *HLS) countOrigin(before map[string]float64, r *HLSResult) error {
	after, err := h.scrapeOrigin()
	if after == nil {
		return err
	}
	r.Origin = map[string]float64{}
	for kind, n := range after {
		r.Origin[kind] = n - before[kind]
	}
	return err
}

func (h *HLS) scrapeOrigin() (map[string]float64, error) {
	if h.Origin == "" {
		return nil, nil
	}
	requests, err := scrapeLabel(h.Origin, "watershed_hls_requests_total", "kind")
	if err != nil {
		err = fmt.Errorf("loadtest: the origin's requests cannot be counted: %w", err)
	}
	return requests, err
}

// transport is HTTP/2 when the server speaks TLS and can, else HTTP/1.1 with connections that stay.
func (h *HLS) transport() *http.Transport {
	return &http.Transport{
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4 * h.PerConn, DisableCompression: true, // we say what we take, and count what comes
		TLSClientConfig: &tls.Config{InsecureSkipVerify: h.Insecure}, //nolint:gosec // the tester's own choice, and it sends no secret
	}
}
