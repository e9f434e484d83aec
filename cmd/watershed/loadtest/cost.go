package loadtest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// sample is what has been spent so far.
type sample struct {
	cpu, own            float64 // seconds: the server's, ours
	datagrams, messages float64
}

func (w *WHEP) snapshot([]*viewer) sample {
	s := sample{cpu: cpuSeconds(w.PID), own: cpuSeconds(os.Getpid())}
	if w.Metrics != "" {
		m := scrape(w.Metrics)
		s.datagrams, s.messages = m["watershed_udp_datagrams_total"], m["watershed_udp_messages_total"]
	}
	return s
}

// CPUSeconds that a process has used.
func CPUSeconds(pid int) float64 { return cpuSeconds(pid) }

// cpuSeconds of a process, user and system (proc(5), /proc/pid/stat fields 14 and 15).
func cpuSeconds(pid int) float64 {
	if pid == os.Getpid() {
		if used, ok := ownCPU(); ok {
			return used.Seconds()
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid == 0 || err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ") // the name may hold anything but this
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	const ticks = 100 // USER_HZ is 100 on every Linux that Go supports
	return (user + system) / ticks
}

// rss is a process's resident memory in bytes.
func rss(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(text))
	if pid == 0 || err != nil || len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// scrape reads Prometheus text and sums each metric over its labels.
func scrape(url string) map[string]float64 {
	sums := map[string]float64{}
	_ = eachSample(url, func(series string, v float64) {
		name, _, _ := strings.Cut(series, "{")
		sums[name] += v
	})
	return sums
}

// scrapeLabel reads one metric by the value of its one label. That there is none is an error: nothing would look like very little.
func scrapeLabel(url, metric, label string) (map[string]float64, error) {
	values := map[string]float64{}
	err := eachSample(url, func(series string, v float64) {
		if value, ok := strings.CutPrefix(series, metric+"{"+label+"=\""); ok {
			values[strings.TrimSuffix(value, "\"}")] = v
		}
	})
	if err == nil && len(values) == 0 {
		err = fmt.Errorf("%s has no %s", url, metric)
	}
	return values, err
}

func eachSample(url string, take func(series string, v float64)) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	lines := bufio.NewScanner(io.LimitReader(res.Body, 8<<20))
	for lines.Scan() {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			take(line[:i], v)
		}
	}
	return lines.Err()
}

// Print the result for people. Figures that were not measured are left out.
func (r *Result) Print(out io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-28s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("viewers", "%d joined at %.0f/s, %d failed", r.Viewers, r.JoinRate, r.Failed)
	if r.FirstError != "" {
		row("first error", "%s", r.FirstError)
	}
	row("first packet", "p50 %.0f  p95 %.0f  max %.0f ms", r.FirstPacket.P50, r.FirstPacket.P95, r.FirstPacket.Max)
	clock := "above the fastest of all viewers"
	if !r.SharedClock {
		clock = "above each viewer's own fastest: a constant delay is not seen"
	}
	row("transit, last packet", "p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms (%s)", r.Transit.P50, r.Transit.P95, r.Transit.P99, r.Transit.Max, clock)
	if r.Large.Max > 0 {
		row("the same, keyframes alone", "p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms", r.Large.P50, r.Large.P95, r.Large.P99, r.Large.Max)
	}
	row("packets", "%d in %.1f s, %.0f/s, %.1f Mb/s", r.Packets, r.Seconds, float64(r.Packets)/r.Seconds, float64(r.Bytes)*8e-6/r.Seconds)
	row("lost for good", "%d (%.4f %%), of them asked for and ignored %d, repeated %d, authentication failed %d", r.Missing, 100*r.Lost(), r.Ignored, r.Repeated, r.Rejected)
	if r.Floods > 0 {
		row("flood", "%d messages, %.0f/s", r.Floods, float64(r.Floods)/r.Seconds)
	}
	row("pictures", "%d of %d (%.2f %%)", r.Frames, r.Expected, 100*float64(r.Frames)/float64(max(1, r.Expected)))
	if r.CPU > 0 {
		row("server CPU", "%.2f cores, %.2f µs a packet, %.0f viewers a core", r.CPU/r.Seconds, r.MicrosPerPacket(), float64(r.Viewers)*r.Seconds/r.CPU)
		row("server memory", "%.1f MiB before, %.1f MiB after, %.0f KiB a viewer", mib(r.RSSBefore), mib(r.RSSAfter), r.KiBPerViewer())
	}
	if r.GSO > 0 {
		row("GSO", "%.2f datagrams a message", r.GSO)
	}
	row("tester CPU", "%.2f cores", r.TesterCPU/r.Seconds)
}

func mib(b int64) float64 { return float64(b) / (1 << 20) }

// Lost is the fraction of packets that never came.
func (r *Result) Lost() float64 { return float64(r.Missing) / float64(max(1, r.Packets+r.Missing)) }

// MicrosPerPacket is the server's CPU for each packet that viewers received.
func (r *Result) MicrosPerPacket() float64 { return r.CPU * 1e6 / float64(max(1, r.Packets)) }

// KiBPerViewer is the server's memory that came with the viewers.
func (r *Result) KiBPerViewer() float64 {
	return float64(r.RSSAfter-r.RSSBefore) / 1024 / float64(max(1, r.Viewers))
}
