package hlsbridge

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu"
	"watershed/sfu/timeline"
)

// period is a run of segments of one length: what a DASH client computes segments' times from. A camera whose GOPs are of equal length has one for as
// long as it sends; gaps, discontinuities and GOPs of another length begin another.
type period struct {
	msn        uint64 // of its first segment
	start, end time.Duration
	inits      []int // by rendition
}

// irregular is how far a segment may begin from where its number says, before it begins a period of its own.
const irregular = 100 * time.Millisecond

// notePeriod looks at a leading segment that has just begun.
func (e *epoch) notePeriod(b boundary) {
	if n := len(e.periods); n > 0 && e.periods[n-1].end == 0 {
		p := &e.periods[n-1]
		off := b.at - p.start - time.Duration(b.msn-p.msn)*e.plan.length
		if !b.gap && !b.cut && off > -irregular && off < irregular {
			return
		}
		p.end = b.at
	}
	if b.gap {
		return
	}
	p := period{msn: b.msn, start: b.at}
	for _, r := range e.renditions {
		p.inits = append(p.inits, len(r.inits)-1)
	}
	if e.zero == 0 {
		e.zero = b.wall - int64(b.at)
	}
	e.periods = append(e.periods, p)
}

// dropPeriods forgets those that ended before a moment.
func (e *epoch) dropPeriods(before time.Duration) {
	for len(e.periods) > 1 && e.periods[0].end != 0 && e.periods[0].end < before {
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
		b = e.appendPeriod(b, &e.periods[i])
	}
	return append(b, " <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"time\"/>\n</MPD>\n"...)
}

func stamp(ns int64) string {
	return time.Unix(0, ns).Round(time.Millisecond).UTC().Format("2006-01-02T15:04:05.000Z")
}

func (e *epoch) appendPeriod(b []byte, p *period) []byte {
	b = fmt.Appendf(b, " <Period id=\"p%d\" start=\"%s\"", p.msn, iso(p.start))
	if p.end != 0 {
		b = fmt.Appendf(b, " duration=\"%s\"", iso(p.end-p.start))
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
		id, stamp(e.zero+int64(p.start)), timeline.Ticks(headStart+p.start, rate))
	for _, i := range renditions {
		b = e.appendRepresentation(b, p, i)
	}
	return append(b, "  </AdaptationSet>\n"...)
}

func (e *epoch) appendRepresentation(b []byte, p *period, i int) []byte {
	r := e.renditions[i]
	rate := r.cfg.ClockRate
	peak, _ := r.rates()
	b = fmt.Appendf(b, "   <Representation id=\"%s\" codecs=\"%s\" bandwidth=\"%d\"", r.id, cmaf.Codecs(r.cfg), max(1, peak))
	if r.sound() {
		b = fmt.Appendf(b, " audioSamplingRate=\"%d\">\n", rate)
	} else {
		b = fmt.Appendf(b, " width=\"%d\" height=\"%d\" frameRate=\"%d\">\n", r.cfg.Width, r.cfg.Height, (time.Second+r.frame/2)/r.frame)
	}
	b = fmt.Appendf(b, "    <SegmentTemplate timescale=\"%d\" duration=\"%d\" startNumber=\"%d\" presentationTimeOffset=\"%d\" availabilityTimeOffset=\"%.3f\" availabilityTimeComplete=\"false\" initialization=\"%sinit%d.mp4\" media=\"%s$Number$.m4s\"/>\n",
		rate, timeline.Ticks(e.plan.length, rate), p.msn, timeline.Ticks(headStart+p.start, rate), (e.plan.length - e.plan.part).Seconds(), r.prefix, p.inits[i], r.prefix)
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
		v = b.await(r, p, moment{v.id, f.msn, n}, g.plan.hold())
		if v == nil {
			panic(http.ErrAbortHandler) // a short segment must not look whole to a cache
		}
		if s = v.segment(f.msn); s == nil {
			panic(http.ErrAbortHandler)
		}
	}
}
