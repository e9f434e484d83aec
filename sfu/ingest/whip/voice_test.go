package whip

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

func level(t *testing.T, dBov uint8) *rtp.Packet {
	t.Helper()
	pkt := &rtp.Packet{Header: rtp.Header{Version: 2}}
	require.NoError(t, pkt.SetExtension(4, []byte{0x80 | dBov})) // V: voice activity
	return pkt
}

func TestVoice(t *testing.T) {
	var v voice
	now := time.Unix(1_790_000_000, 0)
	require.Zero(t, v.at(now), "nothing was heard")
	say := func(dBov uint8, packets int) {
		for range packets {
			v.hear(level(t, dBov), 4, now)
			now = now.Add(20 * time.Millisecond)
		}
	}
	say(30, 1)
	require.Less(t, v.at(now), 30, "a click is no voice")
	say(30, 40)
	require.InDelta(t, 97, v.at(now), 2)
	say(127, 40)
	require.Less(t, v.at(now), 3)
	say(0, 40)
	require.InDelta(t, 127, v.at(now), 2)
	require.Zero(t, v.at(now.Add(levelKept+time.Second)), "who sends nothing is silent")

	before := v.at(now)
	v.hear(level(t, 127), 0, now)
	v.hear(level(t, 127), 5, now)
	v.hear(&rtp.Packet{}, 4, now)
	require.Equal(t, before, v.at(now), "packets that do not tell their level")
}

func TestSilenced(t *testing.T) {
	p := &Session{}
	p.voice.hear(level(t, 0), 4, time.Now())
	require.Positive(t, p.Level())
	p.Silence(true)
	require.Zero(t, p.Level())
	p.Silence(false)
	require.Positive(t, p.Level())
	require.Equal(t, []byte{0xff, 0xff}, silence(media.PCMU, []byte{1, 2}))
	require.Len(t, silence(media.PCMA, make([]byte, 160)), 160)
	require.Len(t, silence(media.Opus, make([]byte, 100)), 3)
}

func TestHearingDoesNotAllocate(t *testing.T) {
	var v voice
	pkt, now := level(t, 40), time.Now()
	require.Zero(t, testing.AllocsPerRun(100, func() { v.hear(pkt, 4, now) }))
}
