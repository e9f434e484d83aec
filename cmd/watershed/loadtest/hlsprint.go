package loadtest

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Total of requests.
func (r *HLSResult) Total() (n int) {
	for _, k := range r.Requests {
		n += k
	}
	return n
}

// OriginTotal of its requests.
func (r *HLSResult) OriginTotal() (n float64) {
	for _, k := range r.Origin {
		n += k
	}
	return n
}

// FetchesPerObject is how often the origin was asked for each address that viewers asked for, by kind. NaN-free: kinds that nobody asked for
// are left out, and playlists that are asked for again and again by design (index, playlist) too.
func (r *HLSResult) FetchesPerObject() map[string]float64 {
	all := map[string]float64{}
	for _, kind := range []string{"reload", "init", "part", "segment"} {
		if n := r.Keys[kind]; n > 0 && r.Origin != nil {
			all[kind] = r.Origin[kind] / float64(n)
		}
	}
	return all
}

// Print the result for people. Figures that were not measured are left out, and what is computed from others says so.
func (r *HLSResult) Print(out io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-28s %s\n", name, fmt.Sprintf(format, args...))
	}
	rate := float64(r.Total()) / r.Seconds
	row("viewers", "%d over %s, %.1f s", r.Viewers, r.HTTP, r.Seconds)
	row("requests", "%d, %.0f/s, %.2f/s a viewer", r.Total(), rate, rate/float64(r.Viewers))
	for _, k := range hlsKinds {
		if r.Requests[k] > 0 {
			row("  "+k, "%d", r.Requests[k])
		}
	}
	row("bytes", "%.1f MB, %.1f Mb/s", float64(r.Bytes)/1e6, float64(r.Bytes)*8e-6/r.Seconds)
	row("part, since first listed", "p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms (until the last byte; listed for any viewer)", r.Listed.P50, r.Listed.P95, r.Listed.P99, r.Listed.Max)
	if r.HasClock {
		row("part, since its end", "p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms (by the playlist's clock against this machine's)", r.Clock.P50, r.Clock.P95, r.Clock.P99, r.Clock.Max)
	} else {
		row("part, since its end", "not measured: the playlist has no clock, or another than this machine")
	}
	row("blocking reload", "p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms", r.Wait.P50, r.Wait.P95, r.Wait.P99, r.Wait.Max)
	row("stalls", "%d, %.2f s of all viewers together; %d times parts were gone", r.Stalls, r.Stalled.Seconds(), r.Skipped)
	row("errors", "%d %s", r.Errors, r.Error)
	r.printOrigin(row)
	if r.CPU > 0 {
		row("server CPU", "%.2f cores, %.0f requests a second and core", r.CPU/r.Seconds, float64(r.Total())/r.CPU)
		row("server memory", "%.1f MiB before, %.1f MiB at most", mib(r.RSSBefore), mib(r.RSSPeak))
		for _, viewers := range []float64{10e3, 50e3} {
			more := viewers / float64(r.Viewers)
			row("computed, not measured", "%.0f viewers: %.0f requests/s, %.1f Gb/s, %.1f cores like these (by this load's CPU a request, packaging included: small loads overstate it)", viewers, rate*more, float64(r.Bytes)*8e-9/r.Seconds*more, r.CPU/r.Seconds*more)
		}
	}
	row("tester CPU", "%.2f cores", r.TesterCPU/r.Seconds)
}

func (r *HLSResult) printOrigin(row func(name, format string, args ...any)) {
	if r.Origin == nil {
		return
	}
	rate := r.OriginTotal() / r.Whole
	row("origin requests", "%.0f in %.1f s, %.1f/s: %.2f %% of what viewers asked for a second", r.OriginTotal(), r.Whole, rate, 100*rate*r.Seconds/float64(max(1, r.Total())))
	perObject := r.FetchesPerObject()
	for _, kind := range slices.Sorted(maps.Keys(perObject)) {
		row("  fetches per "+kind, "%.3f (%.0f for %d)", perObject[kind], r.Origin[kind], r.Keys[kind])
	}
}
