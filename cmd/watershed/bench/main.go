// Command bench measures the figures that the project promises and prints each beside its goal.
//
//	make bench                      all sections
//	make bench BENCH="webrtc llhls" some of them
//	make bench BENCH="-traces sfu/bwe/testdata path" records what the estimator's tests replay
//
// A section is a function in a file of its own, listed in sections: it starts what it needs (package e2e), measures, and calls
// figure once a row. A missed goal is shown, not an error: times drift on shared machines, so only figures of one run compare.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"watershed/cmd/watershed/e2e"
)

// section is a group of figures that one set-up gives.
type section struct {
	name, about string
	run         func(*bench) error
}

var sections = []section{
	{"webrtc", "a page in Chromium plays one 720p25 camera by WebRTC, 20 loads at random moments of a 4 s GOP", webrtc},
	{"llhls", "the same by LL-HLS, with parts of 150 ms and of 350 ms; the stream is watched already", llhls},
	{"cameras", "50 cameras on one node, one viewer each", cameras},
	{"fan-out", "one 720p25 camera, 2 Mb/s, on one node, many viewers", fanOut},
	{"keyframes", "the same camera with keyframes of eight times a P-frame, 1,000 viewers", keyframes},
	{"neighbours", "50 viewers, and one beside them on a bad path, or who behaves badly", neighbours},
	{"hls", "the LL-HLS origin: 10,000 blocked requests, requests a second, 100 streams, and caches in front", hls},
	{"path", "a viewer's path shrinks from 4 Mb/s to 600 kb/s and recovers", shrinkingPath},
	{"churn", "viewers come and go while others watch", churn},
}

// bench is one run.
type bench struct {
	ctx    context.Context
	binary string
	folder string // for data, removed at the end
	traces string // folder for recordings, see package bwe; "" records nothing
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	traces := flag.String("traces", "", "folder in which section path leaves what its viewers reported")
	flag.Parse()
	if err := run(ctx, *traces, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, traces string, names []string) error {
	if len(names) == 3 && names[0] == "reference" { // the bench itself, as a server to compare with
		return serveReference(names[1], names[2])
	}
	for _, name := range names {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.name == name }) {
			return fmt.Errorf("no section %q: there are %s", name, strings.Join(sectionNames(), ", "))
		}
	}
	folder, err := os.MkdirTemp("", "watershed-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b := &bench{ctx: ctx, folder: folder, traces: traces}
	if b.binary, err = e2e.Build(folder); err != nil {
		return err
	}
	fmt.Printf("machine  %s\ncommit   %s\ncommand  make bench%s\n", machine(), output("git", "describe", "--always", "--dirty"), arguments(names))
	for _, s := range sections {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		fmt.Printf("\n%s: %s\n", s.name, s.about)
		began := time.Now()
		if err := s.run(b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("  (%.0f s)\n", time.Since(began).Seconds())
	}
	return ctx.Err()
}

func sectionNames() (names []string) {
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

func arguments(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(" BENCH=%q", strings.Join(names, " "))
}

// machine that the figures are from: without it they are no figures.
func machine() string {
	kernel := output("uname", "-sr")
	model := ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(text), "model name"); ok {
			model, _, _ = strings.Cut(strings.TrimLeft(after, "\t :"), "\n")
		}
	}
	load := ""
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(text), " ")
	}
	return fmt.Sprintf("%d × %s, %s, %s, load average %s, %s", runtime.NumCPU(), model, kernel, runtime.Version(), load, time.Now().UTC().Format("2006-01-02"))
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// figure prints a row: what, the most it should be, what it is.
func (b *bench) figure(what string, goal, measured float64, unit string) {
	mark := "ok"
	if !(measured <= goal) { // NaN is not
		mark = "MISSED"
	}
	fmt.Printf("  %-44s ≤ %7.5g  %9.5g %-10s %s\n", what, goal, measured, unit, mark)
}

// note prints a row that has no goal.
func (b *bench) note(what, format string, args ...any) {
	fmt.Printf("  %-44s            %s\n", what, fmt.Sprintf(format, args...))
}
