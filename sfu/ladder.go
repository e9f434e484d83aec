package sfu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"watershed/sfu/media"
)

// A ladder makes smaller layers of a stream's best one, for viewers whose path or screen does not carry it. All rungs come from one child that
// decodes once, and only while somebody watches.

// ParseRung reads the label of a rung, like "720p": the length in pixels of the picture's shorter side.
func ParseRung(label string) (lines int, err error) {
	number, ok := strings.CutSuffix(label, "p")
	lines, err = strconv.Atoi(number)
	if !ok || err != nil || lines < 90 || lines > 4320 || lines%2 != 0 {
		return 0, fmt.Errorf("%q is no rung: write it like 720p, an even number from 90 to 4320", label)
	}
	return lines, nil
}

// rungsLocked says which rungs are to be made now, largest first, and of which layer. None is as large as the source: that would cost without
// helping anybody.
func (st *Stream) rungsLocked() (from *Layer, labels []string) {
	t := st.tracks[media.Video]
	if t == nil || st.ended || st.held == 0 || len(st.spec.Ladder) == 0 {
		return nil, nil
	}
	best := slices.IndexFunc(t.Layers(), func(l *Layer) bool { return !l.Converted })
	if best < 0 {
		return nil, nil
	}
	from = t.Layers()[best]
	cfg := from.Config()
	if st.sfu.canConvert(cfg, media.H264) != nil {
		return nil, nil
	}
	for _, label := range st.spec.Ladder {
		if lines, err := ParseRung(label); err == nil && lines < min(cfg.Width, cfg.Height) {
			labels = append(labels, label)
		}
	}
	slices.SortFunc(labels, func(a, b string) int {
		x, _ := ParseRung(a)
		y, _ := ParseRung(b)
		return y - x
	})
	return from, slices.Compact(labels)
}

// ladderLocked finds the ladder that runs already, or makes the one that is to run; nil for none.
func (st *Stream) ladderLocked() (c *conversion, started bool) {
	from, labels := st.rungsLocked()
	if len(labels) == 0 {
		return nil, false
	}
	for _, c := range st.conversions {
		same := slices.EqualFunc(c.to, labels, func(l *Layer, label string) bool { return l.Label == label })
		if c.ladder && c.from == from && same {
			return c, false
		}
	}
	c = &conversion{from: from, ladder: true, cancel: func() {}}
	for i, label := range labels {
		cfg := ConvertedConfig(from.Config(), media.H264)
		l := st.newLayer(from.Track, label, &cfg, true)
		l.rung = i + 1
		c.to = append(c.to, l)
	}
	st.conversions = append(st.conversions, c)
	return c, true
}

// arrange puts layers best first: by rank, and each rung before the first of the others that is smaller. It may use the slice.
func arrange(layers []*Layer) []*Layer {
	var rungs []*Layer
	layers = slices.DeleteFunc(layers, func(l *Layer) bool {
		if l.rung > 0 {
			rungs = append(rungs, l)
		}
		return l.rung > 0
	})
	slices.SortStableFunc(layers, func(a, b *Layer) int { return a.rank() - b.rank() })
	slices.SortFunc(rungs, func(a, b *Layer) int { return a.rung - b.rung })
	for _, r := range rungs {
		i := slices.IndexFunc(layers, func(l *Layer) bool { h := l.Config().Height; return h > 0 && h < r.Config().Height })
		if i < 0 {
			i = len(layers)
		}
		layers = slices.Insert(layers, i, r)
	}
	return layers
}

// climb starts or ends the ladder after something changed that decides about it.
func (st *Stream) climb() {
	if len(st.Spec().Ladder) > 0 {
		st.convert()
	}
}
