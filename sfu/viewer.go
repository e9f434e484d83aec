package sfu

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"watershed/sfu/answer"
	"watershed/sfu/bwe"
	"watershed/sfu/leg"
	"watershed/sfu/media"
)

// ViewerOptions say who watches.
type ViewerOptions struct {
	Offer   string
	Profile string        // profile-level-id of the H.264 that will be sent first, if known
	Prefer  []media.Codec // codecs to list first in the answer
	Closed  func(v *Viewer, reason error)

	// Outlives says that the viewer stays when a stream ends that one of its slots carries: the slot is empty then.
	Outlives bool
}

// Viewer is one subscriber's transport on this node. Signaling makes it from an offer; it lives until it is closed, its peer
// leaves, or its stream ends (but see ViewerOptions.Outlives).
type Viewer struct {
	Slots  []*Slot
	Answer string // SDP

	sfu    *SFU
	leg    *leg.Leg
	opts   ViewerOptions
	offer  *answer.Offer
	joined time.Time
	ready  atomic.Bool
	report report

	adaptive atomic.Bool  // some slot has a choice of layers
	waiting  atomic.Int32 // feedback in the shard's mailbox

	// The shard's own.
	budget     estimator
	adapted    time.Time // last look at feedback
	sentBefore uint64    // octets at that time
	repeated   uint64    // octets of retransmissions
	wanted     float64   // bits a second that a probe should prove, 0 if no more is wanted
	topSince   time.Time // nothing more has been wanted since
	strained   bool      // its path has shown a limit: see uneasy
	swallowed  int       // bytes that its path was sent as fast as it goes

	mu      sync.Mutex // guards pending and shard before ready
	pending []func()   // posted before the shard was known
	shard   *shard
}

// Answer makes a viewer from an SDP offer. Nothing flows until slots are bound. It fails with leg.ErrFull, or because of the offer.
func (s *SFU) Answer(o ViewerOptions) (*Viewer, error) {
	offer, err := answer.Parse(o.Offer, o.Profile)
	if err != nil {
		return nil, err
	}
	v := &Viewer{sfu: s, opts: o, offer: offer, joined: time.Now(), budget: &bwe.Estimator{}}
	sources := map[int]answer.Source{}
	for _, m := range offer.Medias {
		if len(m.Codecs) == 0 {
			continue
		}
		sl := &Slot{Mid: m.Mid, Kind: m.Kind, viewer: v, offer: m, ssrc: v.newSSRC(), rtxSeq: uint64(rand.Uint32N(1 << 15))}
		v.Slots = append(v.Slots, sl)
		sl.rtx = v.newSSRC()
		sl.numbers.Start(uint64(rand.Uint32N(1 << 15))) // in the lower half, as RFC 3711 section 3.3.1 advises against an early wrap
		sources[m.Index] = answer.Source{SSRC: sl.ssrc, RTX: sl.rtx, StreamID: "watershed", First: o.Prefer}
		if !hasRTX(m) {
			src := sources[m.Index]
			src.RTX = 0
			sources[m.Index] = src
		}
	}
	if v.leg, err = s.cfg.Port.New(leg.Remote{Ufrag: offer.Ufrag, Password: offer.Password, Fingerprint: offer.Fingerprint}, (*viewerLeg)(v)); err != nil {
		return nil, err
	}
	ufrag, password := v.leg.Credentials()
	v.Answer = offer.Write(answer.Transport{
		SessionID: rand.Uint64() >> 2, Ufrag: ufrag, Password: password,
		Fingerprint: s.cfg.Port.Fingerprint(), Candidates: s.cfg.Port.Candidates(),
	}, sources)
	return v, nil
}

// newSSRC is one that no slot has: two with one would seal under the same indices.
func (v *Viewer) newSSRC() uint32 {
	for {
		ssrc := rand.Uint32()
		if !slices.ContainsFunc(v.Slots, func(sl *Slot) bool { return sl.ssrc == ssrc || sl.rtx == ssrc }) {
			return ssrc
		}
	}
}

func hasRTX(m answer.Media) bool {
	for _, p := range m.Codecs {
		if p.RTX != 0 {
			return true
		}
	}
	return false
}

// ErrClosed is the reason of viewers that were closed on purpose.
var ErrClosed = errors.New("closed")

// Close ends the viewer. It may be called twice.
func (v *Viewer) Close(reason error) { v.leg.Close(reason) }

// Joined is when the viewer was answered.
func (v *Viewer) Joined() time.Time { return v.joined }

// Connected reports whether media can flow.
func (v *Viewer) Connected() bool { return v.ready.Load() }

// CanWatch reports whether the viewer can be sent the stream's video, or its audio if there is no video; nil too
// while nobody can tell. The error says what is missing.
func (v *Viewer) CanWatch(st *Stream) error {
	for _, k := range []media.Kind{media.Video, media.Audio} {
		if sl := v.Slot(k); sl != nil && st.Track(k) != nil {
			return st.CanServe(k, sl.fallback(), sl.accepts)
		}
	}
	return nil
}

// Credentials of our side of ICE, for a PATCH that restarts it.
func (v *Viewer) Credentials() (ufrag, password string) { return v.leg.Credentials() }

// RestartICE takes the peer's new credentials and returns ours (RFC 9725 section 4.3.2).
func (v *Viewer) RestartICE(ufrag, password string) (ourUfrag, ourPassword string) {
	v.leg.Restart(ufrag, password)
	return v.Credentials()
}

// Slot of a kind that comes first, or nil.
func (v *Viewer) Slot(k media.Kind) *Slot {
	for _, sl := range v.Slots {
		if sl.Kind == k {
			return sl
		}
	}
	return nil
}

// SlotByMid finds a slot.
func (v *Viewer) SlotByMid(mid string) *Slot {
	for _, sl := range v.Slots {
		if sl.Mid == mid {
			return sl
		}
	}
	return nil
}

// post runs something on the viewer's shard, as soon as it has one.
func (v *Viewer) post(do func()) {
	v.mu.Lock()
	s := v.shard
	if s == nil {
		v.pending = append(v.pending, do)
	}
	v.mu.Unlock()
	if s != nil {
		s.mail.put(task{do: do})
	}
}

// maxFeedback is how many messages of a viewer may wait for its shard: browsers send some ten a second, a burst of loss makes more. What exceeds it is dropped: a shard that
// is late has all the newer news.
const maxFeedback = 64

// postFeedback is post for what a peer can cause as often as it likes.
func (v *Viewer) postFeedback(do func()) {
	if v.waiting.Add(1) > maxFeedback {
		v.waiting.Add(-1)
		return
	}
	v.post(func() {
		v.waiting.Add(-1)
		do()
	})
}

func (v *Viewer) streamGone() { go v.leg.Close(ErrStreamGone) } // Close calls back; the shard must not wait

// viewerLeg is the viewer as its leg sees it.
type viewerLeg Viewer

// Ready gives the viewer to the shard whose socket hears it.
func (vl *viewerLeg) Ready(l *leg.Leg) {
	v := (*Viewer)(vl)
	s := v.sfu.shards[l.Shard()]
	v.mu.Lock()
	defer v.mu.Unlock() // until this is in the mailbox: what others post comes after it
	v.shard = s
	pending := v.pending
	v.pending = nil
	s.mail.put(task{do: func() {
		s.viewers[v] = struct{}{}
		s.stats.Viewers.Add(1)
		v.ready.Store(true)
		for _, do := range pending {
			do()
		}
	}})
}

// RTCP reads feedback on the port's goroutine and posts what the shard must act on.
func (vl *viewerLeg) RTCP(_ *leg.Leg, compound []byte) { (*Viewer)(vl).feedback(compound) }

// Closed removes the viewer everywhere.
func (vl *viewerLeg) Closed(_ *leg.Leg, reason error) {
	v := (*Viewer)(vl)
	v.post(func() {
		for _, sl := range v.Slots {
			sl.leave()
			sl.releaseAll()
			if sl.stream != nil {
				sl.stream.forget(sl)
				sl.stream = nil
			}
		}
		if _, ok := v.shard.viewers[v]; ok {
			delete(v.shard.viewers, v)
			delete(v.shard.probing, v)
			v.shard.stats.Viewers.Add(-1)
		}
	})
	if v.opts.Closed != nil {
		v.opts.Closed(v, reason)
	}
}
