package conform

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// media is a media playlist as a client reads it.
type media struct {
	text        string
	base        string // address that it came from, after redirections: what it names is relative to that
	version     int
	target      float64
	partTarget  float64
	control     map[string]string // EXT-X-SERVER-CONTROL, nil if absent
	controlText string
	sequence    int
	cuts        int  // EXT-X-DISCONTINUITY-SEQUENCE
	hasCuts     bool // the tag is there
	typed       bool // EXT-X-PLAYLIST-TYPE is there
	ended       bool
	hasMap      bool
	skipped     int
	segments    []segment
	open        segment // parts behind the last segment
	hints       []map[string]string
	reports     []map[string]string
	problems    []string // of grammar
}

type segment struct {
	uri       string
	duration  float64
	timed     bool // it has an EXTINF
	gap, cut  bool
	at        time.Time // PROGRAM-DATE-TIME, zero if absent
	init      string    // EXT-X-MAP, "" if it has none of its own
	parts     []partial
	afterPart string // a tag that stands behind a part and should stand before
}

type partial struct {
	uri              string
	duration         float64
	independent, gap bool
	ranged           bool
}

// attributes of a tag's list; quotes are removed.
func attributes(list string) map[string]string {
	all := map[string]string{}
	for list != "" {
		name, rest, ok := strings.Cut(list, "=")
		if !ok {
			break
		}
		var value string
		if quoted, found := strings.CutPrefix(rest, `"`); found {
			value, rest, _ = strings.Cut(quoted, `"`)
			rest = strings.TrimPrefix(rest, ",")
		} else {
			value, rest, _ = strings.Cut(rest, ",")
		}
		all[strings.TrimSpace(name)], list = value, rest
	}
	return all
}

func number(s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return -1
	}
	return v
}

// number of a tag; what is none is noted.
func (m *media) number(tag, s string) float64 {
	v := number(s)
	if !(v >= 0) || math.IsInf(v, 0) {
		m.wrong("%s has %q where a number belongs", tag, s)
		return -1
	}
	return v
}

// layouts of ISO 8601 dates, which need not name a zone. Fractions of a second are read with each.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05"}

func parseTime(s string) (t time.Time, err error) {
	for _, layout := range layouts {
		if t, err = time.Parse(layout, s); err == nil {
			break
		}
	}
	return t, err
}

func (m *media) wrong(format string, args ...any) {
	m.problems = append(m.problems, fmt.Sprintf(format, args...))
}

// parseMedia reads a playlist; what is wrong in it is noted, not refused.
func parseMedia(text string) *media {
	m := &media{text: text, version: 1}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if lines[0] != "#EXTM3U" {
		m.wrong("the first line is not #EXTM3U")
	}
	seen := map[string]int{}
	s := &m.open
	for _, l := range lines[1:] {
		tag, value, _ := strings.Cut(l, ":")
		if strings.HasPrefix(l, "#EXT") {
			seen[tag]++
		}
		switch {
		case l == "":
		case !strings.HasPrefix(l, "#"):
			s.uri = l
			if !s.timed {
				m.wrong("%s has no EXTINF", l)
			}
			m.segments = append(m.segments, *s)
			m.open = segment{}
			s = &m.open
		default:
			m.tag(s, tag, value)
		}
	}
	for _, once := range []string{"#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-VERSION", "#EXT-X-PART-INF", "#EXT-X-SERVER-CONTROL", "#EXT-X-DISCONTINUITY-SEQUENCE"} {
		if seen[once] > 1 {
			m.wrong("%s is there %d times", once, seen[once])
		}
	}
	return m
}

func (m *media) tag(s *segment, tag, value string) {
	switch tag {
	case "#EXT-X-VERSION":
		m.version = int(m.number(tag, value))
	case "#EXT-X-TARGETDURATION":
		m.target = m.number(tag, value)
	case "#EXT-X-MEDIA-SEQUENCE":
		m.sequence = int(m.number(tag, value))
	case "#EXT-X-DISCONTINUITY-SEQUENCE":
		m.cuts, m.hasCuts = int(m.number(tag, value)), true
	case "#EXT-X-SERVER-CONTROL":
		m.control, m.controlText = attributes(value), value
	case "#EXT-X-PART-INF":
		m.partTarget = m.number(tag, attributes(value)["PART-TARGET"])
	case "#EXT-X-PLAYLIST-TYPE":
		m.typed = true
	case "#EXT-X-ENDLIST":
		m.ended = true
	case "#EXT-X-SKIP":
		m.skipped = int(m.number(tag, attributes(value)["SKIPPED-SEGMENTS"]))
	case "#EXT-X-PRELOAD-HINT":
		m.hints = append(m.hints, attributes(value))
	case "#EXT-X-RENDITION-REPORT":
		m.reports = append(m.reports, attributes(value))
	default:
		m.segmentTag(s, tag, value)
	}
}

func (m *media) segmentTag(s *segment, tag, value string) {
	before := func() {
		if len(s.parts) > 0 {
			s.afterPart = tag
		}
	}
	switch tag {
	case "#EXT-X-MAP":
		before()
		m.hasMap, s.init = true, attributes(value)["URI"]
	case "#EXT-X-GAP":
		s.gap = true
	case "#EXT-X-DISCONTINUITY":
		before()
		s.cut = true
	case "#EXT-X-PROGRAM-DATE-TIME":
		before()
		var err error
		if s.at, err = parseTime(value); err != nil {
			m.wrong("PROGRAM-DATE-TIME %q cannot be read", value)
		}
	case "#EXTINF":
		d, _, _ := strings.Cut(value, ",")
		s.duration, s.timed = m.number(tag, d), true
	case "#EXT-X-PART":
		a := attributes(value)
		s.parts = append(s.parts, partial{
			uri: a["URI"], duration: m.number(tag, a["DURATION"]), independent: a["INDEPENDENT"] == "YES", gap: a["GAP"] == "YES", ranged: a["BYTERANGE"] != "",
		})
	}
}

// last part: the number of its segment and its index; -1 if there is none.
func (m *media) last() (msn, index int) {
	n := m.sequence + m.skipped + len(m.segments)
	if len(m.open.parts) > 0 {
		return n, len(m.open.parts) - 1
	}
	if len(m.segments) == 0 {
		return -1, -1
	}
	return n - 1, len(m.segments[len(m.segments)-1].parts) - 1
}

// lastComplete is the number of the last whole segment.
func (m *media) lastComplete() int { return m.sequence + m.skipped + len(m.segments) - 1 }

// segment by number, nil if it is not listed. The open one counts.
func (m *media) segment(msn int) *segment {
	i := msn - m.sequence - m.skipped
	switch {
	case i >= 0 && i < len(m.segments):
		return &m.segments[i]
	case i == len(m.segments):
		return &m.open
	}
	return nil
}

// next is the part after the one with an index in a segment, if it is listed.
func (m *media) next(msn, index int) (next partial, ok bool) {
	if s := m.segment(msn); s != nil && index+1 < len(s.parts) {
		return s.parts[index+1], true
	}
	if s := m.segment(msn + 1); s != nil && len(s.parts) > 0 {
		return s.parts[0], true
	}
	return partial{}, false
}

// hint of a type, "" if there is none.
func (m *media) hint(kind string) string {
	for _, h := range m.hints {
		if h["TYPE"] == kind {
			return h["URI"]
		}
	}
	return ""
}

// cut is the discontinuity sequence number of a segment. The playlist must be a full one.
func (m *media) cut(msn int) int {
	n := m.cuts
	for _, s := range m.segments[:max(0, min(msn-m.sequence+1, len(m.segments)))] {
		if s.cut {
			n++
		}
	}
	return n
}

// starts of the segments by the playlist's dates, and of what comes after the last; zero where no date tells.
func (m *media) starts() []time.Time {
	all := make([]time.Time, 0, len(m.segments)+1)
	var at time.Time
	for _, s := range append(m.segments[:len(m.segments):len(m.segments)], m.open) {
		if s.cut || !s.at.IsZero() {
			at = s.at
		}
		all = append(all, at)
		if !at.IsZero() {
			at = at.Add(seconds(s.duration))
		}
	}
	return all
}

// end of the last part, or segment; zero if no date tells.
func (m *media) end() time.Time {
	starts := m.starts()
	at := starts[len(m.segments)]
	for _, x := range m.open.parts {
		if !at.IsZero() {
			at = at.Add(seconds(x.duration))
		}
	}
	return at
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (m *media) duration() (d float64) {
	for _, s := range m.segments {
		d += s.duration
	}
	return d
}

// resolve an address in a playlist.
func resolve(base, ref string) string {
	b, err := url.Parse(base)
	if err != nil {
		return ref
	}
	u, err := b.Parse(ref)
	if err != nil {
		return ref
	}
	return u.String()
}
