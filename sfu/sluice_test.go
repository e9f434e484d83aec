package sfu

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu/bwe"
)

// known is an estimator that is told what the path carries, in bits a second.
type known struct{ rate float64 }

func (k *known) Feed(bwe.Feedback) bool           { return false }
func (k *known) Budget() float64                  { return k.rate }
func (k *known) Probe(time.Time, float64) float64 { return 0 }
func (k *known) Free()                            {}
func (l *Layer) measured(bits float64)            { l.rate.bits.Store(uint64(bits * 1e3)) }
func (p *plane) pass(sl *Slot, d time.Duration) {
	sl.filled = sl.filled.Add(-d)
	p.shard.catchUp(time.Now())
	p.shard.batch.Flush()
}
func sentOf(sl *Slot) int { n, _ := sl.Sent(); return int(n) }
func wide() *known        { return &known{math.Inf(1)} }
func (p *plane) choose(v *Viewer, bits float64) {
	v.budget.(*known).rate = bits
	v.allot(time.Now())
	p.settle()
}
func frameOf(l *Layer, n int, key bool, packets int) { show(l, int64(n)*3600, key, packets) }

// twoLayers has a viewer on the high layer of two, each with a keyframe and some pictures.
func twoLayers(t *testing.T) (p *plane, v *Viewer, high, low *Layer) {
	t.Helper()
	p = newPlane(t)
	st := newStream(p.SFU, "cam")
	high, low = p.layer(st, "high", avc), p.layer(st, "low", avc)
	high.measured(2e6)
	low.measured(200e3)
	for n := range 50 {
		frameOf(high, n, n == 0, 9)
		frameOf(low, n, n == 0, 2)
	}
	v = p.viewer(t)
	v.budget = wide()
	v.Slots[0].Bind(st, "")
	p.settle()
	for range 100 {
		p.shard.catchUp(time.Now())
	}
	p.shard.batch.Flush()
	require.True(t, v.Slots[0].Layer() == high)
	require.Empty(t, p.shard.catching)
	return p, v, high, low
}

// TestFallsNoFasterThanThePath: the smaller layer waits until the queue has drained a little, and its cached GOP comes at the path's rate.
func TestFallsNoFasterThanThePath(t *testing.T) {
	p, v, high, low := twoLayers(t)
	sl := v.Slots[0]
	p.choose(v, 600e3)
	require.True(t, sl.Layer() == low)
	before := sentOf(sl)
	p.pass(sl, 0)
	require.Equal(t, before, sentOf(sl), "into a full queue")
	p.pass(sl, 100*time.Millisecond)
	p.pass(sl, 100*time.Millisecond)
	require.Equal(t, before, sentOf(sl), "into a full queue")
	p.pass(sl, 100*time.Millisecond)
	first := sentOf(sl) - before
	require.Positive(t, first)
	require.Less(t, first, 50, "packets of a hundred bytes in 50 ms of 600 kb/s")
	for range 30 {
		p.pass(sl, 100*time.Millisecond)
	}
	require.Equal(t, before+100, sentOf(sl))
	require.Equal(t, 1, places(sl, high, low))
	require.Empty(t, p.shard.catching)
}

// TestRisesAtAKeyframe: a larger layer's cached GOP is too much, so its next one is waited for, and the smaller layer goes on until then.
func TestRisesAtAKeyframe(t *testing.T) {
	p, v, high, low := twoLayers(t)
	sl := v.Slots[0]
	for n := range 200 { // the high layer's GOP is long
		frameOf(high, 50+n, false, 9)
		frameOf(low, 50+n, n == 199, 2)
	}
	p.settle()
	p.choose(v, 600e3)
	for range 30 {
		p.pass(sl, 100*time.Millisecond)
	}
	require.True(t, sl.Layer() == low)
	p.choose(v, 3e6)
	require.True(t, sl.Layer() == low, "left before the keyframe")
	frameOf(high, 300, false, 9)
	frameOf(low, 300, false, 2)
	p.settle()
	before := sentOf(sl)
	frameOf(low, 301, false, 2)
	p.settle()
	require.Equal(t, before+2, sentOf(sl), "not served while it waits")
	frameOf(high, 301, true, 9)
	p.settle()
	require.True(t, sl.Layer() == high)
	require.Equal(t, 1, places(sl, high, low))
	require.Nil(t, low.taps[0].Load(), "a tap for nobody")
}

// TestFallsAgainBeforeItRose: the path shrinks while the keyframe is waited for.
func TestFallsAgainBeforeItRose(t *testing.T) {
	p, v, high, low := twoLayers(t)
	sl := v.Slots[0]
	for n := range 200 {
		frameOf(high, 50+n, false, 9)
	}
	p.settle()
	p.choose(v, 600e3)
	p.choose(v, 3e6)
	require.NotNil(t, sl.coming)
	p.choose(v, 600e3)
	require.Nil(t, sl.coming)
	require.Nil(t, high.taps[0].Load(), "a tap for nobody")
	frameOf(high, 300, true, 9)
	p.settle()
	require.True(t, sl.Layer() == low)
	require.Equal(t, 1, places(sl, high, low))
}

// TestLargeLayerGoesOnSlowly: while a camera's small stream is not there, the large one is sent as fast as the path takes it, whole, and from the
// newest keyframe.
func TestLargeLayerGoesOnSlowly(t *testing.T) {
	p := newPlane(t)
	st := newStream(p.SFU, "cam")
	st.spec.Inputs = []Input{{High: "rtsp://a", Low: "rtsp://b"}}
	l := p.layer(st, "main", avc)
	l.measured(2e6)
	frameOf(l, 0, true, 9)
	v := p.viewer(t)
	v.budget = wide()
	sl := v.Slots[0]
	sl.Bind(st, "")
	p.settle()
	p.choose(v, 600e3)
	require.Equal(t, 1, st.low.held, "the small stream is not asked for")
	for n := range 100 {
		frameOf(l, 1+n, false, 9)
	}
	p.settle()
	before := sentOf(sl)
	for range 4 {
		p.pass(sl, 100*time.Millisecond)
	}
	require.NotNil(t, sl.partly, "the test wants to see a picture that is sent in parts")
	require.Less(t, sentOf(sl)-before, 150, "more than the path carries")
	require.Positive(t, sentOf(sl)-before)
	frameOf(l, 101, true, 9)
	frameOf(l, 102, false, 9)
	p.settle()
	for range 4 {
		p.pass(sl, 100*time.Millisecond)
	}
	require.Equal(t, l.ring.Next(), sl.cursor, "did not catch up at the keyframe")
	require.Zero(t, (sentOf(sl)-before)%9, "half a picture was sent")
	p.choose(v, 3e6)
	p.shard.catchUp(time.Now())
	require.Equal(t, 1, places(sl, l))
	require.Empty(t, p.shard.catching)
}

// TestHalfAPictureIsFinished before the slot goes elsewhere.
func TestHalfAPictureIsFinished(t *testing.T) {
	p, v, high, _ := twoLayers(t)
	sl := v.Slots[0]
	p.choose(v, 600e3)
	before := sentOf(sl)
	for sl.partly == nil {
		sl.filled = time.Now()
		sl.allowance = 50 // half a packet
		p.shard.catchUp(sl.filled)
	}
	p.choose(v, math.Inf(1))
	require.True(t, sl.Layer() == high)
	require.Nil(t, sl.partly)
	require.Greater(t, sentOf(sl), before+2)
}

// TestSmallStreamIsAtHandWhereItMayBeNeeded: a path that took a large burst is left without, until it loses.
func TestSmallStreamIsAtHandWhereItMayBeNeeded(t *testing.T) {
	p := newPlane(t)
	st := newStream(p.SFU, "cam")
	st.spec.Inputs = []Input{{High: "rtsp://a", Low: "rtsp://b"}}
	l := p.layer(st, "main", avc)
	frameOf(l, 0, true, 9)
	for name, swallowed := range map[string]int{"unknown": 0, "wide": wideAt} {
		v := p.viewer(t)
		v.budget, v.swallowed = wide(), swallowed
		v.Slots[0].Bind(st, "")
		p.settle()
		require.Zero(t, st.low.held, "%s: while it begins", name)
		v.joined = v.joined.Add(-time.Minute)
		v.allot(time.Now())
		if swallowed < wideAt {
			require.Equal(t, 1, st.low.held, "%s", name)
		} else {
			require.Zero(t, st.low.held, "%s", name)
			v.report.nacks.Add(uneasyAt)
			v.allot(time.Now())
			require.Equal(t, 1, st.low.held, "lost some")
		}
		v.Slots[0].Bind(nil, "")
		p.settle()
		require.Zero(t, st.low.held, "%s: has left", name)
	}
}

// TestRepeatsAreRationed: what may be repeated on a full path is a quarter of what it carries.
func TestRepeatsAreRationed(t *testing.T) {
	for _, limit := range []float64{200e3, 600e3, 2e6} {
		var b repeats
		now, granted := time.Unix(0, 0), 0
		for range 10_000 { // ten seconds
			now = now.Add(time.Millisecond)
			if b.take(now, 1200, limit) {
				granted += 1200
			}
		}
		require.LessOrEqual(t, float64(granted), limit/8*limitedShare*10.5)
		require.Positive(t, granted)
	}
}
