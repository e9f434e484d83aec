package hlsbridge

import (
	"fmt"
	"math"
	"slices"
	"time"

	"watershed/sfu/media"
	"watershed/sfu/ring"
	"watershed/sfu/timeline"
)

// plan is what is decided once, from what the source shows, and then holds for as long as the playlist's address:
// players of Apple's give up on a stream whose targets move.
type plan struct {
	frame       time.Duration // of the leading rendition
	part        time.Duration // PART-TARGET
	segment     time.Duration // segments end at the first keyframe after that
	length      time.Duration // that they will have
	target      int           // EXT-X-TARGETDURATION, seconds
	independent bool          // every segment begins with a keyframe

	// Cache-Control of what may be cached (appendix B.1).
	cacheReload, cacheBlocking, cachePart, cacheSegment []string
}

// longestTarget bounds EXT-X-TARGETDURATION, and by it how much a playlist must list. Cameras with longer GOPs get segments
// that begin without a keyframe.
const longestTarget = 10

// Probing needs some frames to tell their rate, and two keyframes to tell the GOP; it gives up on the second after a while.
const (
	probeFrames = 6
	probeGOP    = 6 * time.Second
)

// probe plans from the leading ring; ok is false as long as there is too little in it.
func probe(r *ring.Ring, part, segment time.Duration, now time.Time) (p *plan, ok bool) {
	first, ok := r.Keyframe()
	if !ok {
		return nil, false
	}
	frame, ok := frameDuration(r, first)
	if !ok {
		return nil, false
	}
	gop, known := r.GOP()
	key := r.At(first)
	if key == nil || !known && now.Sub(time.Unix(0, key.Server)) < probeGOP {
		return nil, false
	}
	g := time.Duration(0)
	if known {
		g = timeline.Duration(gop, key.Config.ClockRate)
	}
	return newPlan(frame, g, part, segment), true
}

// frameDuration is the median distance of the frames that the ring has from number first on.
func frameDuration(r *ring.Ring, first uint64) (time.Duration, bool) {
	if next := r.Next(); next-first < probeFrames && next > r.Tail()+probeFrames {
		first = next - probeFrames - 1
	}
	reader := r.ReadFrom(first)
	var steps []int64
	rate := 0
	last := reader.TryNext()
	for f := reader.TryNext(); f != nil; f = reader.TryNext() {
		if !f.Discontinuity {
			steps, rate = append(steps, f.DTS-last.DTS), f.Config.ClockRate
		}
		last = f
	}
	if len(steps) < probeFrames-1 {
		return 0, false
	}
	slices.Sort(steps)
	d := timeline.Duration(steps[len(steps)/2], rate)
	return max(d, time.Millisecond), true
}

// newPlan: as many whole frames as fit below the ceiling make a part. gop is 0 when it is not known.
func newPlan(frame, gop, ceiling, segment time.Duration) *plan {
	n := max(1, int((ceiling+frame/16)/frame))
	p := &plan{frame: frame, part: time.Duration(n) * frame, segment: segment, target: longestTarget, length: segment}
	if gop > 0 {
		k := math.Ceil(float64(segment-frame/2) / float64(gop))
		p.length = time.Duration(max(1, k)) * gop
		p.target = max(int(math.Ceil((p.length - min(frame, spare)).Seconds())), int(math.Ceil(segment.Seconds())), 1)
	}
	p.independent = gop > 0 && p.target <= longestTarget
	p.target = min(p.target, longestTarget)
	p.cache()
	return p
}

// cache says how long what is served may be kept. Segments are kept as long as a player may want them, names are never used twice.
func (p *plan) cache() {
	age := func(seconds int, more string) []string {
		return []string{fmt.Sprintf("public, max-age=%d%s", seconds, more)}
	}
	p.cacheReload = age(max(1, p.target/2), "")
	p.cacheBlocking = age(6*p.target, "")
	p.cachePart = age(max(60, 6*p.target), ", immutable")
	p.cacheSegment = age(3600, ", immutable")
}

// dependent is the plan once a segment began without a keyframe.
func (p *plan) dependent() *plan {
	d := *p
	d.independent = false
	return &d
}

// after keeps the targets of an earlier plan of the same address if what was probed now fits into them.
func (p *plan) after(before *plan) *plan {
	if before == nil || p.target > before.target {
		return p
	}
	if _, part := before.framesPerPart(p.frame); part != before.part {
		return p
	}
	kept := *p
	kept.part, kept.target = before.part, before.target
	kept.cache()
	return &kept
}

func (p *plan) targetDuration() time.Duration { return time.Duration(p.target) * time.Second }

// soundFrame is the longest of AAC: 1024 samples, 7,350 a second. A segment of sound ends up to a half of one after the pictures', and may begin as much before.
const soundFrame = 140 * time.Millisecond

// longest that a segment of the leading rendition may last: EXTINF, rounded, is at most the target (section 4.4.3.1), also that of the sound beside it.
func (p *plan) longest() time.Duration {
	return p.targetDuration() + 490*time.Millisecond - soundFrame
}

// spare is how much longer than the target GOPs may be, at most a picture: longest allows for that, and for a jitter of the next one's beginning.
const spare = 200 * time.Millisecond

// patience with a source of whose pictures none comes: a multiple of what lies between two of them, if they are slow.
func (p *plan) patience(usual time.Duration) time.Duration { return max(usual, 3*p.frame) }

// holdBack of the part that a player shows from the playlist's end: three, as Apple's profile demands.
func (p *plan) holdBack(parts []time.Duration) time.Duration { return 3 * slices.Max(parts) }

// window of complete segments that a playlist lists: never less than six targets, so that deltas have something to skip.
func (p *plan) window(configured time.Duration) time.Duration {
	return max(configured, 6*p.targetDuration())
}

// advanceLimit: how many parts ahead of the last one a request may ask (section 6.2.5.2).
func (p *plan) advanceLimit(part time.Duration) int {
	if part >= time.Second {
		return 3
	}
	return int(math.Ceil(3 / part.Seconds()))
}

// hold is the longest that a request blocks: three targets (section 6.2.5.2), but below the ten seconds after which hls.js gives up.
func (p *plan) hold() time.Duration { return min(3*p.targetDuration(), 9*time.Second) }

// framesPerPart and the part target of a rendition with frames of its own: the common target if whole frames fill 85 % of it
// (section 4.4.4.9), else its own.
func (p *plan) framesPerPart(frame time.Duration) (n int, part time.Duration) {
	n = max(1, int((p.part+frame/64)/frame))
	if filled := time.Duration(n) * frame; filled > p.part || filled < p.part*85/100 {
		return n, filled
	}
	return n, p.part
}

// audioFrame is the duration of an AAC frame: 1024 samples.
func audioFrame(cfg *media.Config) time.Duration { return timeline.Duration(1024, cfg.ClockRate) }
