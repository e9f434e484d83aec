package reorder

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
)

func pkt(seq uint16) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq}}
}

// step is a packet with its arrival in milliseconds and what comes out; a negative number is one that follows a loss.
type step struct {
	seq uint16
	ms  int
	out []int
}

func TestPush(t *testing.T) {
	for name, steps := range map[string][]step{
		"in order, over the wrap": {{65534, 0, []int{65534}}, {65535, 1, []int{65535}}, {0, 2, []int{0}}, {1, 3, []int{1}}},
		"swapped over the wrap":   {{65534, 0, []int{65534}}, {0, 1, nil}, {65535, 2, []int{65535, 0}}},
		"twice":                   {{5, 0, []int{5}}, {5, 1, nil}, {7, 2, nil}, {7, 3, nil}, {6, 4, []int{6, 7}}},
		"given up after the wait": {{5, 0, []int{5}}, {7, 1, nil}, {8, 50, nil}, {9, 101, []int{-7, 8, 9}}, {6, 102, nil}},
		"two holes, each from the arrival behind it": {
			{1, 0, []int{1}}, {3, 1, nil}, {5, 90, nil}, {6, 101, []int{-3}}, {7, 189, nil}, {8, 190, []int{-5, 6, 7, 8}},
		},
		"a restart":            {{100, 0, []int{100}}, {30000, 1, []int{-30000}}, {30001, 2, []int{30001}}},
		"a restart, one held":  {{100, 0, []int{100}}, {102, 1, nil}, {30000, 2, []int{-102, -30000}}},
		"a jump within reach":  {{100, 0, []int{100}}, {2000, 1, []int{-2000}}, {2001, 1, []int{2001}}},
		"older than the first": {{100, 0, []int{100}}, {99, 1, nil}, {101, 2, []int{101}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := Buffer{Wait: 100 * time.Millisecond}
			zero := time.Unix(0, 0)
			for _, s := range steps {
				var got []int
				for _, p := range b.Push(pkt(s.seq), zero.Add(time.Duration(s.ms)*time.Millisecond)) {
					n := int(p.SequenceNumber)
					if p.Lost {
						n = -n
					}
					got = append(got, n)
				}
				require.Equal(t, s.out, got, "packet %d", s.seq)
			}
		})
	}
}

// Whatever arrives, what comes out only goes forward, and a step of more than one is marked.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := Buffer{Wait: 20 * time.Millisecond}
	now := time.Unix(0, 0)
	var last uint16
	seen := false
	for i := range 200_000 {
		now = now.Add(time.Millisecond)
		if r.IntN(20) == 0 {
			continue
		}
		for _, p := range b.Push(pkt(uint16(i+65000+r.IntN(8))), now) {
			if d := p.SequenceNumber - last; seen && (d == 0 || d > restart || (d != 1) != p.Lost) {
				t.Fatalf("after %d comes %d, lost %v", last, p.SequenceNumber, p.Lost)
			}
			last, seen = p.SequenceNumber, true
		}
		if b.count > depth {
			t.Fatal("holds too much")
		}
	}
}
