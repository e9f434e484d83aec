package rest

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/problem"
)

const (
	maxTitle  = 120
	maxInputs = 16
	maxURL    = 2048
	maxIdle   = 24 * 3600 // seconds
	maxRungs  = 6
)

var rung = regexp.MustCompile(`^[1-9][0-9]{2,3}p$`)

// fill changes what the body says; its error names the field that is wrong.
func (a *API) fill(s *Stored, b *StreamBody) error {
	if b.Title != nil {
		if utf8.RuneCountInString(*b.Title) > maxTitle {
			return problem.BadField("title", fmt.Sprintf("at most %d characters", maxTitle))
		}
		s.Title = *b.Title
	}
	if b.Public != nil {
		s.Spec.Public = *b.Public
	}
	if b.Demand != nil {
		s.Spec.Demand = *b.Demand
	}
	if b.Record != nil {
		s.Spec.Record = *b.Record
	}
	if err := fillKept(&s.Spec, b); err != nil {
		return err
	}
	if b.Idle != nil {
		if *b.Idle < 0 || *b.Idle > maxIdle {
			return problem.BadField("idle", fmt.Sprintf("use 0 to %d seconds", maxIdle))
		}
		s.Spec.Idle = time.Duration(*b.Idle) * time.Second
	}
	if b.Ladder != nil {
		if err := checkLadder(*b.Ladder); err != nil {
			return err
		}
		s.Spec.Ladder = *b.Ladder
	}
	if err := a.fillInputs(&s.Spec, b); err != nil {
		return err
	}
	if s.Spec.Demand && len(s.Spec.Inputs) == 0 {
		return problem.BadField("demand", "only a stream with inputs can be pulled on demand")
	}
	return nil
}

// fillKept sets how long a recording is kept.
func fillKept(spec *sfu.Spec, b *StreamBody) error {
	const most = 100 * 365 * 24 * time.Hour
	for _, f := range []struct {
		name string
		body *int
		to   *time.Duration
		top  time.Duration
	}{{"dvr", b.DVR, &spec.DVR, sfu.LongestDVR}, {"keep", b.Keep, &spec.Keep, most}} {
		if f.body == nil {
			continue
		}
		if n, least := *f.body, int(sfu.LeastKept/time.Second); n != 0 && (n < least || n > int(f.top/time.Second)) {
			return problem.BadField(f.name, fmt.Sprintf("use %d to %d seconds, or 0 for the node's own", least, int(f.top/time.Second)))
		}
		*f.to = time.Duration(*f.body) * time.Second
	}
	if b.KeepSize != nil {
		if n := *b.KeepSize; n != 0 && n < sfu.LeastKeptSize {
			return problem.BadField("keepSize", fmt.Sprintf("at least %d bytes, or 0 for the node's own", sfu.LeastKeptSize))
		}
		spec.KeepSize = *b.KeepSize
	}
	return nil
}

func checkLadder(rungs []string) error {
	if len(rungs) > maxRungs {
		return problem.BadField("ladder", fmt.Sprintf("at most %d rungs", maxRungs))
	}
	for i, r := range rungs {
		if !rung.MatchString(r) || slices.Contains(rungs[:i], r) {
			return problem.BadField(fmt.Sprintf("ladder[%d]", i), fmt.Sprintf("%q: use heights such as 720p, each once", clip(r)))
		}
	}
	return nil
}

// fillInputs replaces what the body gives: the first input by source and sub, those after it by backup, or all by inputs.
func (a *API) fillInputs(spec *sfu.Spec, b *StreamBody) error {
	switch {
	case b.Inputs != nil && (b.Source != nil || b.Sub != nil):
		return problem.BadField("inputs", "use inputs, or source and sub")
	case b.Inputs == nil && b.Source == nil && b.Sub == nil && b.Backup == nil:
		return nil
	}
	if err := a.checkURLs(b); err != nil {
		return err
	}
	inputs, err := b.inputs(spec.Inputs)
	if err != nil {
		return err
	}
	if len(inputs) > maxInputs {
		return problem.BadField("inputs", fmt.Sprintf("at most %d inputs", maxInputs))
	}
	spec.Inputs = inputs
	return nil
}

// inputs that the body makes of those that are there.
func (b *StreamBody) inputs(now []sfu.Input) ([]sfu.Input, error) {
	first := slices.Clone(now[:min(1, len(now))])
	rest := slices.Clone(now[len(first):])
	if b.Inputs != nil {
		first, rest = nil, nil
		for _, in := range *b.Inputs {
			first = append(first, sfu.Input{High: in.High, Low: in.Low})
		}
	}
	if b.Source != nil {
		first = nil
		if *b.Source != "" {
			first = []sfu.Input{{High: *b.Source}}
		}
	}
	switch {
	case b.Sub != nil && len(first) > 0:
		first[0].Low = *b.Sub
	case b.Sub != nil && *b.Sub != "":
		return nil, problem.BadField("sub", "the low layer of which source? give source too")
	}
	if b.Backup != nil {
		rest = nil
		for _, u := range *b.Backup {
			rest = append(rest, sfu.Input{High: u})
		}
	}
	return append(first, rest...), nil
}

// checkURLs of a body; only source, sub and low may be empty.
func (a *API) checkURLs(b *StreamBody) error {
	for field, u := range map[string]*string{"source": b.Source, "sub": b.Sub} {
		if u != nil && *u != "" {
			if err := a.checkURL(field, *u); err != nil {
				return err
			}
		}
	}
	if b.Inputs != nil {
		for i, in := range *b.Inputs {
			if err := a.checkURL(fmt.Sprintf("inputs[%d].high", i), in.High); err != nil {
				return err
			}
			if in.Low == "" {
				continue
			}
			if err := a.checkURL(fmt.Sprintf("inputs[%d].low", i), in.Low); err != nil {
				return err
			}
		}
	}
	if b.Backup != nil {
		for i, u := range *b.Backup {
			if err := a.checkURL(fmt.Sprintf("backup[%d]", i), u); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkURL looks at one. Its errors never show it: it may have credentials.
func (a *API) checkURL(field, raw string) error {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return problem.BadField(field, "a URL such as rtsp://10.0.0.5/stream is needed")
	case err != nil || u.Host == "" || len(raw) > maxURL:
		return problem.BadField(field, "not a URL such as rtsp://10.0.0.5/stream")
	case !slices.Contains(a.cfg.Schemes, u.Scheme):
		return problem.BadField(field, fmt.Sprintf("%q cannot be pulled: use %s", clip(u.Scheme), strings.Join(a.cfg.Schemes, ", ")))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

func replaceName(path string, name id.Stream) string {
	return strings.ReplaceAll(path, "{stream}", string(name))
}
