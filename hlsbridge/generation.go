package hlsbridge

import (
	"time"

	"watershed/hlsbridge/archive"
	"watershed/sfu/media"
)

// part is one partial segment. Its body is a CMAF chunk; a gap has none.
type part struct {
	body        []byte
	duration    time.Duration
	independent bool
	gap         bool
}

// segment of a rendition. Once a generation holds it, it never changes; the open one is copied for each.
type segment struct {
	msn      uint64
	start    time.Duration // of its first picture or sample on the stream's timeline
	wall     int64         // the same in Unix nanoseconds
	duration time.Duration // known when complete
	complete bool
	gap      bool // nothing to show: the source was away
	cut      bool // a discontinuity comes before it
	init     int  // version of the initialisation segment
	size     int
	parts    []part

	partLines []byte // EXT-X-PART tags
	tail      []byte // EXTINF and address, when complete
}

// frozen is what a generation keeps of an open segment: later parts are appended behind the lengths that it sees.
func (s *segment) frozen() *segment {
	c := *s
	c.parts = c.parts[:len(c.parts):len(c.parts)]
	c.partLines = c.partLines[:len(c.partLines):len(c.partLines)]
	return &c
}

// playlist is a rendered one.
type playlist struct {
	plain, zipped []byte
	length        [2][]string // Content-Length of each, as a header has it
}

// view is a rendition at one moment. It is immutable, and shared by generations between which the rendition did not change.
type view struct {
	id           string
	contentType  []string      // of segments and parts
	part         time.Duration // PART-TARGET
	full, delta  playlist
	next         chan struct{} // closed when a later view is published
	segments     []*segment    // that can be asked for, consecutive, the last perhaps open
	inits        [][]byte
	configs      []*media.Config // of inits
	track        archive.Track   // how a recording describes it
	lastMSN      uint64          // of the last part
	lastPart     int
	lastComplete uint64 // last complete segment
	hint         string // address of the part that the playlist hints at
	hintMSN      uint64
	hintPart     int
	ended        bool
}

// generation is everything that a request can see.
type generation struct {
	epoch    string
	head     uint64 // first segment in the playlists
	cuts     uint64 // discontinuities before it
	plan     *plan
	index    playlist
	manifest playlist // of DASH
	views    []*view
}

func (g *generation) view(id string) *view {
	for _, v := range g.views {
		if v.id == id {
			return v
		}
	}
	return nil
}

// segment by number, or nil if it is not here.
func (v *view) segment(msn uint64) *segment {
	if len(v.segments) == 0 || msn < v.segments[0].msn {
		return nil
	}
	i := msn - v.segments[0].msn
	if i >= uint64(len(v.segments)) {
		return nil
	}
	return v.segments[i]
}

// has reports whether the playlist answers a request for a segment, or a part of it (-1: the whole segment). An index
// beyond the last part of a segment means the first part of the next (section 6.2.5.2).
func (v *view) has(msn uint64, index int) bool {
	if v.ended {
		return true
	}
	if index < 0 {
		return v.lastComplete >= msn
	}
	return v.lastMSN > msn || v.lastMSN == msn && v.lastPart >= index
}
