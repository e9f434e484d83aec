package hlsbridge

import (
	"fmt"
	"time"

	"watershed/sfu/id"
)

// Beginning names the files that a low-latency player which comes now begins with, as addresses below /hls/{stream}/: pages name them, so that a browser
// fetches them before it has read a playlist. There are none for a stream that is not packaged just now, nor for one that is not public,
// because the page does not know who asks. Of a ladder it names no more than the multivariant playlist: the player chooses.
func (b *Bridge) Beginning(name id.Stream) []string {
	st, ok := b.stream(string(name))
	if !ok || !st.Spec().Public {
		return nil
	}
	b.mu.RLock()
	p := b.packagers[st]
	b.mu.RUnlock()
	if p == nil {
		return nil
	}
	g := p.gen.Load()
	if g == nil {
		return nil
	}
	return g.beginning()
}

func (g *generation) beginning() []string {
	files := []string{"index.m3u8"}
	if len(g.views) > 1 && g.views[1].contentType[0] == videoMP4[0] {
		return files
	}
	var parts []time.Duration
	for _, v := range g.views {
		parts = append(parts, ceil(v.part))
	}
	holdBack := g.plan.holdBack(parts)
	for _, v := range g.views {
		files = append(files, v.id+".m3u8")
		if s, index := v.begin(holdBack); s != nil {
			files = append(files, fmt.Sprintf("%s/%s/init%d.mp4", g.epoch, v.id, s.init), fmt.Sprintf("%s/%s/%d.%d.m4s", g.epoch, v.id, s.msn, index))
		}
	}
	return files
}

// begin finds the part that decoding starts with at a distance from the end, or nil.
func (v *view) begin(holdBack time.Duration) (s *segment, index int) {
	behind := time.Duration(0) // from the part's start to the end
	for i := len(v.segments) - 1; i >= 0 && behind < longestTarget*time.Second; i-- {
		parts := v.segments[i].parts
		for k := len(parts) - 1; k >= 0; k-- {
			behind += parts[k].duration
			if behind >= holdBack && parts[k].independent && !parts[k].gap {
				return v.segments[i], k
			}
		}
	}
	return nil, 0
}
