package hlsbridge

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strconv"
	"time"

	"watershed/hlsbridge/cmaf"
	"watershed/sfu/media"
)

// appendSeconds writes a duration in seconds with five decimals, cut off: a rounded-up part would be longer than its target.
func appendSeconds(dst []byte, d time.Duration) []byte {
	dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
	frac := int64(d%time.Second) / 1e4
	dst = append(dst, '.')
	for div := int64(1e4); div > 0; div /= 10 {
		dst = append(dst, byte('0'+frac/div%10))
	}
	return dst
}

// ceil is a target that covers what appendSeconds writes.
func ceil(d time.Duration) time.Duration {
	const step = 10 * time.Microsecond
	return (d + step - 1) / step * step
}

func appendPart(dst []byte, address string, p part) []byte {
	dst = appendSeconds(append(dst, "#EXT-X-PART:DURATION="...), p.duration)
	dst = append(append(append(dst, `,URI="`...), address...), '"')
	if p.independent {
		dst = append(dst, ",INDEPENDENT=YES"...)
	}
	if p.gap {
		dst = append(dst, ",GAP=YES"...)
	}
	return append(dst, '\n')
}

// appendSegment writes what stands behind a segment's parts.
func appendSegment(dst []byte, address string, s *segment) []byte {
	if s.gap {
		dst = append(dst, "#EXT-X-GAP\n"...)
	}
	dst = appendSeconds(append(dst, "#EXTINF:"...), s.duration)
	return append(append(append(dst, ",\n"...), address...), '\n')
}

func appendTime(dst []byte, wall int64) []byte {
	dst = append(dst, "#EXT-X-PROGRAM-DATE-TIME:"...)
	return append(time.Unix(0, wall).Round(time.Millisecond).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z"), '\n')
}

// renderer writes a stream's playlists. The packager's goroutine uses it.
type renderer struct {
	buf bytes.Buffer
	gz  *gzip.Writer
}

func newRenderer() *renderer {
	gz, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return &renderer{gz: gz}
}

// seal keeps a rendered playlist, plain and compressed.
func (w *renderer) seal(text []byte) playlist {
	w.buf.Reset()
	w.gz.Reset(&w.buf)
	w.gz.Write(text) // to memory
	w.gz.Close()
	p := playlist{plain: text, zipped: bytes.Clone(w.buf.Bytes())}
	p.length = [2][]string{{strconv.Itoa(len(p.plain))}, {strconv.Itoa(len(p.zipped))}}
	return p
}

// listing is what a media playlist is written from.
type listing struct {
	plan     *plan
	holdBack time.Duration
	r        *rendition
	head     uint64 // first segment listed
	cuts     uint64 // EXT-X-DISCONTINUITY-SEQUENCE
	reports  []byte
	hint     string
	ended    bool
}

// listed are the complete segments from the head on.
func (l *listing) listed() []*segment {
	s := l.r.segments
	for len(s) > 0 && s[0].msn < l.head {
		s = s[1:]
	}
	return s
}

func (l *listing) skipUntil() time.Duration { return 6 * l.plan.targetDuration() }

func (l *listing) header(version int) []byte {
	b := make([]byte, 0, 8192)
	b = fmt.Appendf(b, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%d\n", version, l.plan.target)
	b = appendSeconds(append(b, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK="...), l.holdBack)
	b = fmt.Appendf(b, ",CAN-SKIP-UNTIL=%d.0\n", int(l.skipUntil().Seconds()))
	b = append(appendSeconds(append(b, "#EXT-X-PART-INF:PART-TARGET="...), ceil(l.r.part)), '\n')
	return fmt.Appendf(b, "#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", l.head, l.cuts)
}

// render writes the playlist, and the one that leaves out what its reader has.
func (l *listing) render() (full, delta []byte) {
	listed := l.listed()
	full = l.body(l.header(6), listed, -1)
	n := skippable(listed, func(s *segment) time.Duration { return s.duration }, l.skipUntil())
	if n == 0 {
		return full, nil
	}
	delta = fmt.Appendf(l.header(9), "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", n)
	return full, l.body(delta, listed[n:], lastInit(listed[:n]))
}

// lastInit is the version of the initialisation segment that was listed last, -1 for none: gaps need none.
func lastInit(listed []*segment) int {
	for i := len(listed) - 1; i >= 0; i-- {
		if !listed[i].gap {
			return listed[i].init
		}
	}
	return -1
}

// body lists segments; init is the version of the initialisation segment that the reader has, -1 for none.
func (l *listing) body(b []byte, listed []*segment, init int) []byte {
	left := time.Duration(0) // from a segment's start to the end of the last
	for _, s := range listed {
		left += s.duration
	}
	parts := 3 * l.plan.targetDuration() // older ones are taken away (section 6.2.2)
	for _, s := range listed {
		b = l.before(b, s, &init)
		if left -= s.duration; left < parts {
			b = append(b, s.partLines...)
		}
		b = append(b, s.tail...)
	}
	if l.ended {
		return append(b, "#EXT-X-ENDLIST\n"...)
	}
	if s := l.r.open; s != nil && len(s.parts) > 0 {
		b = append(l.before(b, s, &init), s.partLines...)
	}
	b = append(append(append(b, `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="`...), l.hint...), "\"\n"...)
	return append(b, l.reports...)
}

// before writes what stands before a segment's parts.
func (l *listing) before(b []byte, s *segment, init *int) []byte {
	if s.cut {
		b = append(b, "#EXT-X-DISCONTINUITY\n"...)
	}
	if !s.gap && s.init != *init {
		b = fmt.Appendf(b, "#EXT-X-MAP:URI=\"%sinit%d.mp4\"\n", l.r.prefix, s.init)
		*init = s.init
	}
	return appendTime(b, s.wall)
}

// report tells the readers of other renditions where this one is (section 4.4.5.4).
func (r *rendition) report() []byte {
	msn, index := r.last()
	b := fmt.Appendf(nil, "#EXT-X-RENDITION-REPORT:URI=\"%s.m3u8\",LAST-MSN=%d", r.id, msn)
	if index >= 0 { // an epoch's first gaps have no parts
		b = fmt.Appendf(b, ",LAST-PART=%d", index)
	}
	return append(b, '\n')
}

// rates of what a rendition sent lately, in bits a second: the largest of a segment, and the average.
func (r *rendition) rates() (peak, average int) {
	size, length := 0, time.Duration(0)
	for _, s := range r.segments {
		if s.gap || s.duration < time.Second/2 {
			continue
		}
		peak = max(peak, int(float64(s.size*8)/s.duration.Seconds()))
		size, length = size+s.size, length+s.duration
	}
	if s := r.open; length == 0 && s != nil && r.end > s.start {
		size, length = s.size, r.end-s.start
	}
	if length == 0 {
		return peak, 0
	}
	average = int(float64(size*8) / length.Seconds())
	return max(peak, average), average
}

// index writes the multivariant playlist. Without pictures the sound is the variant.
func index(p *plan, renditions []*rendition) []byte {
	b := []byte("#EXTM3U\n#EXT-X-VERSION:6\n")
	if p.independent {
		b = append(b, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	var sound *rendition
	variants := renditions
	if last := renditions[len(renditions)-1]; len(renditions) > 1 && last.sound() {
		sound, variants = last, renditions[:len(renditions)-1]
		b = append(b, `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES`...)
		b = fmt.Appendf(b, ",CHANNELS=\"%d\",URI=\"%s.m3u8\"\n", max(1, sound.cfg.Channels), sound.id)
	}
	for _, r := range variants {
		b = appendVariant(b, r, variants[0], sound)
	}
	return b
}

// likely rates of a rung that has sent nothing yet, by its share of the leading rendition's pixels. Many players read the multivariant playlist once, so it may
// not say that a rung is free.
func (r *rendition) likely(lead *rendition) (peak, average int) {
	if peak, average = r.rates(); average > 0 || r == lead || lead.sound() {
		return peak, average
	}
	peak, average = lead.rates()
	share := float64(r.cfg.Width*r.cfg.Height) / float64(max(1, lead.cfg.Width*lead.cfg.Height))
	return int(float64(peak) * share), int(float64(average) * share)
}

func appendVariant(b []byte, r, lead, sound *rendition) []byte {
	peak, average := r.likely(lead)
	codecs := cmaf.Codecs(r.cfg)
	if sound != nil {
		sp, sa := sound.rates()
		peak, average, codecs = peak+sp, average+sa, codecs+","+cmaf.Codecs(sound.cfg)
	}
	b = fmt.Appendf(b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,AVERAGE-BANDWIDTH=%d,CODECS=\"%s\"", max(peak, 1), max(average, 1), codecs)
	if r.cfg.Codec.Kind() == media.Video {
		b = fmt.Appendf(b, ",RESOLUTION=%dx%d,FRAME-RATE=%.3f,CLOSED-CAPTIONS=NONE", r.cfg.Width, r.cfg.Height, float64(time.Second)/float64(r.frame))
	}
	if sound != nil {
		b = append(b, `,AUDIO="a"`...)
	}
	return fmt.Appendf(b, "\n%s.m3u8\n", r.id)
}
