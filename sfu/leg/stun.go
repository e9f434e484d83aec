package leg

import (
	"strings"
	"time"

	"github.com/pion/stun/v4"
)

// ufragOf returns the user name fragment of ours that a STUN request is meant for (RFC 8445 section 7.2.2: "ours:theirs").
func ufragOf(m *stun.Message) string {
	user, err := m.Get(stun.AttrUsername)
	if err != nil {
		return ""
	}
	ours, _, _ := strings.Cut(string(user), ":")
	return ours
}

func decodeSTUN(datagram []byte) (*stun.Message, bool) {
	m := &stun.Message{Raw: datagram}
	return m, m.Decode() == nil
}

// answerSTUN is the whole of an ICE-lite agent (RFC 8445 section 7.3): a check with the right password is answered from where it came, and the
// pair that the peer nominates is used. Nothing happens for a wrong one.
func (l *Leg) answerSTUN(m *stun.Message, from *path) {
	l.mu.Lock()
	password, closed := l.password, l.closed
	l.mu.Unlock()
	if closed || m.Type != stun.BindingRequest {
		return
	}
	integrity := stun.NewShortTermIntegrity(password)
	if integrity.Check(m) != nil {
		l.port.rejected.Add(1)
		return
	}
	l.lastSeen.Store(time.Now().Unix())
	// Before a nomination any working pair will do: it saves a round trip. The path moves before the answer goes, so that a peer that
	// has the answer has the media, too.
	if old := l.path.Load(); old == nil || m.Contains(stun.AttrUseCandidate) && old.peer != from.peer {
		l.use(from)
	}
	reply, err := stun.Build(m, stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.peer.Addr().AsSlice(), Port: int(from.peer.Port())},
		integrity, stun.Fingerprint)
	if err == nil {
		l.port.sendOn(from, reply.Raw)
	}
}

// use makes a path the leg's own and starts the handshake with the first.
func (l *Leg) use(p *path) {
	l.port.route(l, p)
	l.mu.Lock()
	start := !l.starting && !l.closed
	l.starting = true
	l.mu.Unlock()
	if start {
		l.port.tasks.Go(l.handshake)
	}
}
