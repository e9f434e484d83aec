package access

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"watershed/sfu/id"
	"watershed/signaling/token"
)

const (
	// ticketPrefix tells a ticket from tokens and stream keys: a page that finds one in its fragment redeems it first.
	ticketPrefix = "once-"
	ticketBytes  = 20
)

// tickets are good for one token each. They live in this process only: one that nobody redeemed before a restart is gone.
type tickets struct {
	mu    sync.Mutex // guards valid
	valid map[[sha256.Size]byte]ticket
}

type ticket struct {
	until  time.Time
	claims token.Claims
	ttl    time.Duration // of the token
}

func newTickets() tickets { return tickets{valid: map[[sha256.Size]byte]ticket{}} }

// Ticket makes a word that whoever comes first within life redeems for a token of ttl with these claims.
func (a *Access) Ticket(c token.Claims, life, ttl time.Duration) string {
	word := ticketPrefix + id.Random(ticketBytes)
	a.tickets.mu.Lock()
	defer a.tickets.mu.Unlock()
	a.tickets.valid[sha256.Sum256([]byte(word))] = ticket{until: time.Now().Add(life), claims: c, ttl: ttl}
	return word
}

// Redeem gives the token for a ticket, once. The address is where the ticket came from.
func (a *Access) Redeem(word, addr string) (jwt string, c *token.Claims, err error) {
	now := time.Now()
	if wait := a.failures.blocked(origin(addr), now); wait > 0 {
		return "", nil, tooMany(wait)
	}
	t, ok := a.tickets.take(word)
	if !ok || !strings.HasPrefix(word, ticketPrefix) || !now.Before(t.until) {
		a.failures.add(origin(addr), now)
		return "", nil, unauthorized("this link was used already, or is too old; run `watershed token --role admin` for a token")
	}
	t.claims.Expires = now.Add(t.ttl)
	jwt, err = token.Mint(a.cfg.Secret, &t.claims, now)
	return jwt, &t.claims, err
}

func (t *tickets) take(word string) (ticket, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := sha256.Sum256([]byte(word))
	v, ok := t.valid[h]
	delete(t.valid, h)
	return v, ok
}
