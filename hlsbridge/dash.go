package hlsbridge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu"
	"watershed/sfu/timeline"
)

// period is a run of segments of one length: what a DASH client computes segments' times from. Gaps, discontinuities and GOPs of another length begin
// another, and so does a camera's clock when it has drifted from the wall clock, by which clients know what is there.
type period struct {
	msn, next  uint64        // its first segment, and the first that is no longer in it: 0 while it goes on
	start, end time.Duration // on the stream's timeline
	at         time.Duration // the start by the wall clock, from the manifest's zero
	closed     bool          // what comes after it cannot be shown as if it were still in it
}

// irregular is how far a segment may begin from where its number says, and drifted from when it says by the wall clock, before it begins a period of its
// own. A drift of 100 ppm, which is much, does so every half hour.
const (
	irregular = 100 * time.Millisecond
	drifted   = 200 * time.Millisecond
)

// notePeriod looks at a leading segment that has just begun.
func (e *epoch) notePeriod(b boundary) {
	if e.zero == 0 && !b.gap {
		e.zero = b.wall - int64(b.at)
	}
	at := time.Duration(b.wall - e.zero)
	if n := len(e.periods); n > 0 {
		p := &e.periods[n-1]
		off := b.at - p.start - time.Duration(b.msn-p.msn)*e.plan.length
		drift := at - p.at - (b.at - p.start)
		switch {
		case p.next != 0:
		case !b.gap && !b.cut && off.Abs() < irregular && drift.Abs() < drifted:
			return
		default:
			p.next, p.end, p.closed = b.msn, b.at, b.gap || b.cut
		}
		at = max(at, p.at+time.Millisecond)
	}
	if !b.gap {
		e.periods = append(e.periods, period{msn: b.msn, start: b.at, at: at})
	}
}

// lasts is a period's duration, if it has ended; after is the one behind it, or nil. Clients count its segments by that, and may not find one more in it that
// needs another initialisation segment, or is not there.
func (p *period) lasts(length time.Duration, after *period) time.Duration {
	d := p.end - p.start
	if p.closed {
		d = min(d, time.Duration(p.next-p.msn)*length)
	}
	if after != nil {
		d = min(d, after.at-p.at)
	}
	return d
}

// described is the version of the initialisation segment that a rendition has in a period: that of the first segment with something in it, or the present one's
// while there is none.
func (r *rendition) described(p *period) int {
	for _, s := range append(slices.Clip(r.segments), r.open) {
		if s != nil && s.msn >= p.msn && (p.next == 0 || s.msn < p.next) && len(s.parts) > 0 && !s.gap {
			return s.init
		}
	}
	return r.init
}

// dropPeriods forgets those that ended before a moment.
func (e *epoch) dropPeriods(before time.Duration) {
	for len(e.periods) > 1 && e.periods[0].next != 0 && e.periods[0].end < before {
		e.periods = e.periods[1:]
	}
}

func iso(d time.Duration) string { return fmt.Sprintf("PT%.3fS", d.Seconds()) }

// latency that DASH players are to keep: a part more than those of LL-HLS, because they know no hold-back.
func (p *plan) latency() time.Duration { return 3*p.part + 300*time.Millisecond }

// manifest is the stream's MPD (ISO/IEC 23009-1), with growing segments for those who can read them.
func (e *epoch) manifest(now time.Time) []byte {
	target := e.plan.latency()
	b := fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011,http://www.dashif.org/guidelines/low-latency-live-v5" type="dynamic"
 availabilityStartTime="%s" publishTime="%s" minimumUpdatePeriod="%s" minBufferTime="%s" timeShiftBufferDepth="%s" suggestedPresentationDelay="%s" maxSegmentDuration="%s">
 <ServiceDescription id="0"><Latency target="%d" min="%d" max="%d"/><PlaybackRate min="0.96" max="1.04"/></ServiceDescription>
`, stamp(e.zero), stamp(now.UnixNano()), iso(e.plan.targetDuration()), iso(e.plan.part), iso(e.window), iso(target), iso(e.plan.longest()),
		target.Milliseconds(), target.Milliseconds()*3/4, target.Milliseconds()*2)
	for i := range e.periods {
		var after *period
		if i+1 < len(e.periods) {
			after = &e.periods[i+1]
		}
		b = e.appendPeriod(b, &e.periods[i], after)
	}
	return append(b, " <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"time\"/>\n</MPD>\n"...)
}

func stamp(ns int64) string {
	return time.Unix(0, ns).Round(time.Millisecond).UTC().Format("2006-01-02T15:04:05.000Z")
}

func (e *epoch) appendPeriod(b []byte, p, after *period) []byte {
	b = fmt.Appendf(b, " <Period id=\"p%d\" start=\"%s\"", p.msn, iso(p.at))
	if p.next != 0 {
		b = fmt.Appendf(b, " duration=\"%s\"", iso(p.lasts(e.plan.length, after)))
	}
	b = append(b, ">\n"...)
	var pictures, sound []int // renditions; those of pictures are one set, that players switch within
	for i, r := range e.renditions {
		if r.sound() {
			sound = append(sound, i)
		} else {
			pictures = append(pictures, i)
		}
	}
	b = e.appendSet(b, p, 0, "video", pictures)
	b = e.appendSet(b, p, 1, "audio", sound)
	return append(b, " </Period>\n"...)
}

func (e *epoch) appendSet(b []byte, p *period, id int, kind string, renditions []int) []byte {
	if len(renditions) == 0 {
		return b
	}
	b = fmt.Appendf(b, "  <AdaptationSet id=\"%d\" contentType=\"%s\" mimeType=\"%s/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n", id, kind, kind)
	rate := e.renditions[renditions[0]].cfg.ClockRate
	b = fmt.Appendf(b, "   <ProducerReferenceTime id=\"%d\" inband=\"true\" type=\"encoder\" wallClockTime=\"%s\" presentationTime=\"%d\"><UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"time\"/></ProducerReferenceTime>\n",
		id, stamp(e.zero+int64(p.at)), timeline.Ticks(headStart+p.start, rate))
	for _, i := range renditions {
		b = e.appendRepresentation(b, p, i)
	}
	return append(b, "  </AdaptationSet>\n"...)
}

func (e *epoch) appendRepresentation(b []byte, p *period, i int) []byte {
	r := e.renditions[i]
	init := r.described(p)
	cfg := r.configs[init]
	rate := cfg.ClockRate
	peak, _ := r.rates()
	b = fmt.Appendf(b, "   <Representation id=\"%s\" codecs=\"%s\" bandwidth=\"%d\"", r.id, cmaf.Codecs(cfg), max(1, peak))
	if r.sound() {
		b = fmt.Appendf(b, " audioSamplingRate=\"%d\">\n", rate)
	} else {
		b = fmt.Appendf(b, " width=\"%d\" height=\"%d\" frameRate=\"%d\">\n", cfg.Width, cfg.Height, (time.Second+r.frame/2)/r.frame)
	}
	b = fmt.Appendf(b, "    <SegmentTemplate timescale=\"%d\" duration=\"%d\" startNumber=\"%d\"", rate, timeline.Ticks(e.plan.length, rate), p.msn)
	if p.next == 0 {
		b = fmt.Appendf(b, " availabilityTimeOffset=\"%.3f\" availabilityTimeComplete=\"false\"", (e.plan.length - e.plan.part).Seconds())
	} else {
		b = fmt.Appendf(b, " endNumber=\"%d\"", p.next-1)
	}
	b = fmt.Appendf(b, " presentationTimeOffset=\"%d\" initialization=\"%sinit%d.mp4\" media=\"%s$Number$.m4s\"/>\n", timeline.Ticks(headStart+p.start, rate), r.prefix, init, r.prefix)
	return append(b, "   </Representation>\n"...)
}

var dashType = []string{"application/dash+xml"}

// serveDASH answers for /dash/{stream}/: manifest.mpd, time, and the same files as HLS has, segments also while they grow.
func (b *Bridge) serveDASH(w http.ResponseWriter, r *http.Request, st *sfu.Stream, name string) {
	if name == "time" {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, stamp(time.Now().UnixNano()))
		return
	}
	p, g := b.current(w, r, st)
	switch {
	case g == nil:
	case name == "manifest.mpd":
		b.writePlaylist(w, r, &g.manifest, dashType, g.plan.cacheReload)
	case strings.HasSuffix(name, ".m4s"):
		b.serveGrowing(w, r, p, g, name)
	default:
		b.serveMedia(w, r, p, g, name)
	}
}

// serveGrowing sends a segment as its parts come.
func (b *Bridge) serveGrowing(w http.ResponseWriter, r *http.Request, p *packager, g *generation, name string) {
	f, ok := parseFile(name)
	v := g.view(f.rendition)
	if !ok || v == nil || f.part >= 0 || f.epoch != g.epoch || f.msn > v.lastMSN+1 {
		b.serveMedia(w, r, p, g, name)
		return
	}
	if f.msn > v.lastMSN { // by the clock it has begun
		if v = b.await(r, p, moment{v.id, f.msn, 0}, g.plan.hold()); v == nil {
			unavailable(w, "the segment did not come in time")
			return
		}
	}
	s := v.segment(f.msn)
	if s == nil || s.gap || s.complete || r.Method == http.MethodHead {
		b.serveMedia(w, r, p, p.gen.Load(), name)
		return
	}
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["Priority"] = v.contentType, g.plan.cachePart, bulk
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	for n := 0; ; {
		for ; n < len(s.parts); n++ {
			if _, err := w.Write(s.parts[n].body); err != nil {
				return
			}
		}
		if s.complete || control.Flush() != nil {
			return
		}
		if v.ended {
			panic(http.ErrAbortHandler) // the stream was removed: nothing more comes
		}
		v = b.await(r, p, moment{v.id, f.msn, n}, g.plan.hold())
		if v == nil {
			panic(http.ErrAbortHandler) // a short segment must not look whole to a cache
		}
		if s = v.segment(f.msn); s == nil {
			panic(http.ErrAbortHandler)
		}
	}
}
