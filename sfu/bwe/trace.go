package bwe

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// A trace is what an estimator was told while somebody watched, as text: one line for each feedback,
//
//	at sent loss rtt span remb
//
// in milliseconds since the first, bits a second, percent, milliseconds twice and bits a second, with - for what was not told. Lines
//
//	at path rate
//
// say what the path carried from then on, in bits a second, as those know who emulated it. # begins a comment. With `webrtc: { trace: DIR }`
// a node records them, and `make bench BENCH=path` writes those of its viewers to the folder of the environment's TRACES.

// Trace is a recording.
type Trace struct {
	Feedback []Feedback
	Path     []PathChange
}

// PathChange is a moment from which a path carries so many bits a second.
type PathChange struct {
	At   time.Time
	Rate float64
}

// Line is the feedback's line in a trace that began at a moment.
func (f Feedback) Line(began time.Time) string {
	loss, rtt, span, remb := "-", "-", "-", "-"
	if f.Loss >= 0 {
		loss = fmt.Sprintf("%.1f", 100*f.Loss)
	}
	if f.RTT > 0 {
		rtt, span = fmt.Sprintf("%.0f", float64(f.RTT)/1e6), fmt.Sprintf("%.0f", float64(f.Span)/1e6)
	}
	if f.REMB > 0 {
		remb = fmt.Sprintf("%.0f", f.REMB)
	}
	return fmt.Sprintf("%d %.0f %s %s %s %s\n", f.At.Sub(began).Milliseconds(), f.Sent, loss, rtt, span, remb)
}

// ReadTrace parses a trace. It begins at the zero of Unix time.
func ReadTrace(r io.Reader) (*Trace, error) {
	t := &Trace{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if err := t.line(text); err != nil {
			return nil, fmt.Errorf("trace line %d: %q: %w", n, text, err)
		}
	}
	return t, lines.Err()
}

func (t *Trace) line(text string) error {
	var ms int64
	var rate float64
	if _, err := fmt.Sscanf(text, "%d path %g", &ms, &rate); err == nil {
		t.Path = append(t.Path, PathChange{time.UnixMilli(ms), rate})
		return nil
	}
	var sent float64
	var loss, rtt, span, remb optional
	if _, err := fmt.Sscan(text, &ms, &sent, &loss, &rtt, &span, &remb); err != nil {
		return err
	}
	f := Feedback{At: time.UnixMilli(ms), Sent: sent, Loss: -1, RTT: milliseconds(rtt), Span: milliseconds(span), REMB: remb.or(0)}
	if l := loss.or(math.NaN()); !math.IsNaN(l) {
		f.Loss = l / 100
	}
	t.Feedback = append(t.Feedback, f)
	return nil
}

func milliseconds(o optional) time.Duration { return time.Duration(o.or(0) * 1e6) }

// optional is a number or -.
type optional struct {
	value float64
	told  bool
}

func (o *optional) or(none float64) float64 {
	if o.told {
		return o.value
	}
	return none
}

// Scan implements fmt.Scanner.
func (o *optional) Scan(s fmt.ScanState, _ rune) error {
	token, err := s.Token(true, nil)
	if err != nil || string(token) == "-" {
		return err
	}
	o.told = true
	_, err = fmt.Sscan(string(token), &o.value)
	return err
}
