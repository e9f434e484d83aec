package whip

import (
	"context"
	"fmt"
	"strings"

	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
)

// withCandidates puts the port's candidates in the place of those that the ICE agent found: the same that viewers get, public addresses
// included. With a bundle the first m-line's are used (RFC 9143 section 7.3).
func withCandidates(answer string, candidates []string) (string, error) {
	var s sdp.SessionDescription
	if err := s.UnmarshalString(answer); err != nil {
		return "", fmt.Errorf("read our own answer: %w", err)
	}
	first := true
	for _, m := range s.MediaDescriptions {
		kept := m.Attributes[:0]
		for _, a := range m.Attributes {
			if a.Key != "candidate" && a.Key != "end-of-candidates" {
				kept = append(kept, a)
			}
		}
		m.Attributes = kept
		if !first || m.MediaName.Port.Value == 0 {
			continue
		}
		first = false
		for _, c := range candidates {
			m.WithValueAttribute("candidate", c)
		}
		m.WithPropertyAttribute("end-of-candidates")
	}
	out, err := s.Marshal()
	return string(out), err
}

// RestartICE takes the peer's new credentials and returns ours (RFC 9725 section 4.3.2). Media go on over the old path until the new one works.
func (p *Session) RestartICE(ufrag, password string) (ourUfrag, ourPassword string, err error) {
	p.mu.Lock()
	offer := p.remote
	p.mu.Unlock()
	offer, err = withCredentials(offer, ufrag, password)
	if err != nil {
		return "", "", err
	}
	if err := p.negotiate(context.Background(), offer); err != nil {
		return "", "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remote = offer
	ourUfrag, ourPassword = credentials(p.Answer)
	return ourUfrag, ourPassword, nil
}

// withCredentials is the same offer with other ICE credentials and no candidates.
func withCredentials(offer, ufrag, password string) (string, error) {
	var s sdp.SessionDescription
	if err := s.UnmarshalString(offer); err != nil {
		return "", fmt.Errorf("read the offer again: %w", err)
	}
	change := func(attributes []sdp.Attribute) []sdp.Attribute {
		kept := attributes[:0]
		for _, a := range attributes {
			switch a.Key {
			case "ice-ufrag":
				a.Value = ufrag
			case "ice-pwd":
				a.Value = password
			case "candidate", "end-of-candidates":
				continue
			}
			kept = append(kept, a)
		}
		return kept
	}
	s.Attributes = change(s.Attributes)
	for _, m := range s.MediaDescriptions {
		m.Attributes = change(m.Attributes)
	}
	s.Origin.SessionVersion++
	out, err := s.Marshal()
	return string(out), err
}

func credentials(answer string) (ufrag, password string) {
	for line := range strings.Lines(answer) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			ufrag = v
		}
		if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			password = v
		}
	}
	return ufrag, password
}

// Credentials of our side of ICE now.
func (p *Session) Credentials() (ufrag, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return credentials(p.Answer)
}

// quiet keeps pion's logs out of ours: what matters comes back as errors and states.
type quiet struct{}

func (quiet) NewLogger(scope string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope(scope, logging.LogLevelDisabled, discard{})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
