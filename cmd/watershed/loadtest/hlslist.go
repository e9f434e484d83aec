package loadtest

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// mediaList is what a viewer takes from a media playlist.
type mediaList struct {
	parts    []listedPart
	inits    []string
	holdBack time.Duration // PART-HOLD-BACK
	canSkip  bool
	canBlock bool
	ended    bool
	last     int           // media sequence number of the last part, or segment
	lastPart int           // its index; -1 if there are no parts
	segment  int           // the last whole segment
	target   time.Duration // EXT-X-TARGETDURATION
}

// listedPart is a part, or a segment of an origin without parts.
type listedPart struct {
	msn, index       int // index -1: a whole segment
	uri              string
	duration         time.Duration
	end              time.Time // by the playlist's clock, zero if it has none
	independent, gap bool
}

// parseList reads a media playlist of a server that is expected to be right: `watershed check hls` judges it.
func parseList(text string) *mediaList {
	l := &mediaList{lastPart: -1}
	msn, index := 0, 0
	var clock time.Time
	var whole time.Duration
	gap := false
	var segments []listedPart
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch tag {
		case "#EXT-X-MEDIA-SEQUENCE":
			msn, _ = strconv.Atoi(value)
		case "#EXT-X-SKIP":
			n, _ := strconv.Atoi(attribute(value, "SKIPPED-SEGMENTS"))
			msn += n
		case "#EXT-X-SERVER-CONTROL":
			l.holdBack = seconds(attribute(value, "PART-HOLD-BACK"))
			l.canSkip = attribute(value, "CAN-SKIP-UNTIL") != ""
			l.canBlock = attribute(value, "CAN-BLOCK-RELOAD") == "YES"
		case "#EXT-X-TARGETDURATION":
			l.target = seconds(value)
		case "#EXT-X-MAP":
			l.inits = append(l.inits, attribute(value, "URI"))
		case "#EXT-X-PROGRAM-DATE-TIME":
			clock, _ = time.Parse(time.RFC3339Nano, strings.Replace(value, "+0000", "Z", 1))
		case "#EXT-X-GAP":
			gap = true
		case "#EXT-X-PART":
			p := listedPart{msn: msn, index: index, uri: attribute(value, "URI"), duration: seconds(attribute(value, "DURATION"))}
			p.independent, p.gap = attribute(value, "INDEPENDENT") == "YES", attribute(value, "GAP") == "YES"
			if !clock.IsZero() {
				clock = clock.Add(p.duration)
				p.end = clock
			}
			l.parts = append(l.parts, p)
			l.last, l.lastPart = msn, index
			index++
		case "#EXTINF":
			whole = seconds(strings.TrimSuffix(value, ","))
		case "#EXT-X-ENDLIST":
			l.ended = true
		default:
			if line == "" || line[0] == '#' {
				continue
			}
			s := listedPart{msn: msn, index: -1, uri: line, duration: whole, gap: gap, independent: true}
			if !clock.IsZero() && index == 0 {
				s.end = clock.Add(whole)
			}
			segments = append(segments, s)
			l.segment = msn
			msn, index, gap, clock = msn+1, 0, false, time.Time{}
		}
	}
	if len(l.parts) == 0 {
		l.parts, l.last = segments, l.segment
	}
	return l
}

// start is the index of the part that a player shows first: the last independent one that is at least the hold-back before the end.
func (l *mediaList) start() int {
	behind, best := time.Duration(0), max(0, len(l.parts)-1)
	for i := len(l.parts) - 1; i >= 0; i-- {
		behind += l.parts[i].duration
		if l.parts[i].independent && !l.parts[i].gap {
			best = i
			if behind >= l.holdBack {
				break
			}
		}
	}
	return best
}

// after is the first part behind a place in the stream.
func (l *mediaList) after(msn, index int) []listedPart {
	for i, p := range l.parts {
		if p.msn > msn || p.msn == msn && p.index > index {
			return l.parts[i:]
		}
	}
	return nil
}

// variants of a multivariant playlist; each is the address of its pictures and, if it has a group of its own, that of its sound.
func variants(text string) (all [][]string) {
	sound := map[string]string{}
	group, variant := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch {
		case tag == "#EXT-X-MEDIA" && attribute(value, "TYPE") == "AUDIO":
			if _, has := sound[attribute(value, "GROUP-ID")]; !has || attribute(value, "DEFAULT") == "YES" {
				sound[attribute(value, "GROUP-ID")] = attribute(value, "URI")
			}
		case tag == "#EXT-X-STREAM-INF":
			group, variant = attribute(value, "AUDIO"), true
		case variant && line != "" && line[0] != '#':
			renditions := []string{line}
			if uri := sound[group]; uri != "" && uri != line {
				renditions = append(renditions, uri)
			}
			all, variant = append(all, renditions), false
		}
	}
	return all
}

// attribute of a tag's list, without quotes; "" if it is not there.
func attribute(list, name string) string {
	for list != "" {
		key, rest, ok := strings.Cut(list, "=")
		if !ok {
			return ""
		}
		var value string
		if quoted, is := strings.CutPrefix(rest, `"`); is {
			value, rest, _ = strings.Cut(quoted, `"`)
			rest = strings.TrimPrefix(rest, ",")
		} else {
			value, rest, _ = strings.Cut(rest, ",")
		}
		if key == name {
			return value
		}
		list = rest
	}
	return ""
}

func seconds(text string) time.Duration {
	v, _ := strconv.ParseFloat(text, 64)
	return time.Duration(v * float64(time.Second))
}

// resolve an address of a playlist against the playlist's own.
func resolve(base, uri string) string {
	b, err := url.Parse(base)
	if err != nil {
		return uri
	}
	u, err := b.Parse(uri)
	if err != nil {
		return uri
	}
	return u.String()
}
