package conform

import (
	"context"
	"encoding/binary"
	"maps"
	"math"
	"net/http"
	"sync"
	"time"
)

// together compares the media playlists of one moment. Their numbers may be independent of each other (section 4.4.3.2): what is the same is told by dates.
func (p *prober) together(ctx context.Context, lists []string) {
	if len(lists) < 2 {
		return
	}
	got := make([]*media, len(lists))
	began := time.Now()
	var all sync.WaitGroup
	for i, l := range lists {
		all.Go(func() {
			if m, ok := p.current(ctx, l); ok {
				got[i] = m
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	if ctx.Err() != nil || got[0] == nil {
		return
	}
	a, first := got[0], name(lists[0])
	mapped, known := p.mapping(ctx, a)
	for i, b := range got[1:] {
		if b == nil {
			continue
		}
		where := name(lists[i+1])
		p.expect("same-control", maps.Equal(a.control, b.control), where, "%q, but %q in %s", b.controlText, a.controlText, first)
		p.expect("same-target", a.target == b.target, where, "%v, but %v in %s", b.target, a.target, first)
		p.sameCuts(where, first, a, b)
		p.inStep(where, first, a, b, took)
		if m, ok := p.mapping(ctx, b); ok && known && m.cut == mapped.cut {
			off := m.zero.Sub(mapped.zero).Seconds()
			p.expect("same-dates", math.Abs(off) < .3, where, "the same media time is %.3f s later than in %s", off, first)
		}
	}
}

// sameCuts compares the discontinuity sequence numbers of what is shown at the same time.
func (p *prober) sameCuts(where, first string, a, b *media) {
	if a.ended || b.ended {
		return
	}
	other := b.starts()
	for i, at := range a.starts()[:len(a.segments)] {
		if at.IsZero() {
			continue
		}
		middle, found := at.Add(seconds(a.segments[i].duration/2)), -1
		for j, s := range b.segments {
			if begin := other[j]; !begin.IsZero() && !middle.Before(begin) && middle.Before(begin.Add(seconds(s.duration))) {
				if found >= 0 {
					return // a clock that was set back: the date tells nothing
				}
				found = j
			}
		}
		if found >= 0 {
			x, y := a.cut(a.sequence+i), b.cut(b.sequence+found)
			p.expect("same-cuts", x == y, where, "at %s it is %d, but %d in %s", middle.Format(time.TimeOnly), y, x, first)
		}
	}
}

// inStep compares how far playlists have come. A part of one that is there first may be longer than one that comes a part later.
func (p *prober) inStep(where, first string, a, b *media, took time.Duration) {
	x, y := a.end(), b.end()
	if a.partTarget <= 0 || b.partTarget <= 0 || x.IsZero() || y.IsZero() || a.ended || b.ended {
		return
	}
	apart := y.Sub(x).Seconds()
	p.expect("in-step", math.Abs(apart) <= 2*max(a.partTarget, b.partTarget)+took.Seconds()+.25, where, "it ends %.2f s after %s", apart, first)
}

// dated is where a playlist's dates put its media times.
type dated struct {
	zero time.Time // date of the media time zero
	cut  int       // discontinuity sequence number: another one has other media times
}

// mapping of a playlist by its last whole segment; false if there is none with a date, or its media times cannot be read.
func (p *prober) mapping(ctx context.Context, m *media) (d dated, ok bool) {
	last, init := -1, ""
	for i, s := range m.segments {
		if s.init != "" {
			init = s.init
		}
		if !s.gap {
			last = i
		}
	}
	if last < 0 || init == "" || m.ended {
		return d, false
	}
	at := m.starts()[last]
	head, err := p.get(ctx, resolve(m.base, init), "identity")
	if err != nil || head.status != http.StatusOK || at.IsZero() {
		return d, false
	}
	body, err := p.get(ctx, resolve(m.base, m.segments[last].uri), "identity")
	if err != nil || body.status != http.StatusOK {
		return d, false
	}
	begin, ok := mediaTime([]byte(head.body), []byte(body.body))
	return dated{at.Add(-seconds(begin)), m.cut(m.sequence + last)}, ok
}

// mediaTime at which a segment of fragmented MP4 begins, in seconds.
func mediaTime(init, segment []byte) (float64, bool) {
	scale, begin := box(init, "moov", "trak", "mdia", "mdhd"), box(segment, "moof", "traf", "tfdt")
	if len(scale) < 24 || len(begin) < 8 {
		return 0, false
	}
	perSecond := binary.BigEndian.Uint32(scale[12:])
	if scale[0] == 1 {
		perSecond = binary.BigEndian.Uint32(scale[20:])
	}
	at := uint64(binary.BigEndian.Uint32(begin[4:]))
	if begin[0] == 1 && len(begin) >= 12 {
		at = binary.BigEndian.Uint64(begin[4:])
	}
	return float64(at) / float64(max(1, perSecond)), perSecond > 0
}

// box finds the first box at a path, nil if there is none.
func box(data []byte, path ...string) []byte {
	for len(data) >= 8 {
		size, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
		switch {
		case size == 0:
			size = uint64(len(data))
		case size == 1 && len(data) >= 16:
			size, head = binary.BigEndian.Uint64(data[8:]), 16
		}
		if size < head || size > uint64(len(data)) {
			return nil
		}
		if string(data[4:8]) == path[0] {
			if data = data[head:size]; len(path) == 1 {
				return data
			}
			return box(data, path[1:]...)
		}
		data = data[size:]
	}
	return nil
}
