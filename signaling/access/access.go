package access

import (
	"context"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/problem"
	"watershed/signaling/token"
)

// Config of access.
type Config struct {
	Open     bool // auth.mode: open
	Secret   []byte
	Verifier *token.Verifier
	Records  Records
	Streams  func(id.Stream) (*sfu.Stream, bool)
	OpenRoom func(id.Stream) bool                   // rules let guests into a room that is no stream's; nil: no such room
	Removed  func(room id.Stream, user string) bool // a moderator has put Principal.User out of the room; nil: nobody is
	Origins  []string                               // of other pages that may open a socket, as https://example.org
}

// Access decides. New makes it, Run keeps held sessions honest.
type Access struct {
	cfg      Config
	failures failures
	tickets  tickets
	paths    pathSecrets

	mu    sync.Mutex // guards held
	held  map[*Session]struct{}
	again chan struct{} // one slot: look at the held sessions
}

// New access control.
func New(cfg Config) *Access {
	if cfg.OpenRoom == nil {
		cfg.OpenRoom = func(id.Stream) bool { return false }
	}
	if cfg.Removed == nil {
		cfg.Removed = func(id.Stream, string) bool { return false }
	}
	return &Access{cfg: cfg, failures: newFailures(), tickets: newTickets(), held: map[*Session]struct{}{}, again: make(chan struct{}, 1)}
}

// Authenticate finds who makes a request: by `Authorization: Bearer`, by `?key=`, or nobody in particular. A credential that is
// wrong is an error also where none is needed: its bearer thinks that it works.
func (a *Access) Authenticate(r *http.Request) (*Principal, error) {
	cred, err := credential(r)
	if err != nil {
		return nil, err
	}
	if cred != "" {
		return a.Credential(r.Context(), cred, r.RemoteAddr)
	}
	if a.cfg.Open && trusted(r) {
		return local, nil
	}
	return anonymous, nil
}

func credential(r *http.Request) (string, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, cred, _ := strings.Cut(h, " ")
		if cred = strings.TrimSpace(cred); !strings.EqualFold(scheme, "Bearer") || cred == "" {
			return "", problem.New(http.StatusUnauthorized, "No bearer token", "send Authorization: Bearer and the token or stream key")
		}
		return cred, nil
	}
	if !strings.Contains(r.URL.RawQuery, "key=") { // most requests of a crowd have a query, and no key
		return "", nil
	}
	return r.URL.Query().Get("key"), nil
}

// trusted tells requests that a foreign page makes a visitor's browser send to loopback from those of the user: where auth.mode is open
// the first may only do what anonymous may. A name in Host that is no loopback's is DNS rebinding.
func trusted(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") != "cross-site"
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

// Hello finds who opens a socket with a token, which may be empty. The request is the one that was upgraded.
func (a *Access) Hello(r *http.Request, raw string) (*Principal, error) {
	if raw == "" {
		return a.Authenticate(r)
	}
	return a.Credential(r.Context(), raw, r.RemoteAddr)
}

// Credential finds whose JWT or stream key this is. The address is where it came from, for the limit of failures.
func (a *Access) Credential(ctx context.Context, cred, addr string) (*Principal, error) {
	now := time.Now()
	if strings.Count(cred, ".") != 2 {
		if wait := a.failures.blocked(origin(addr), now); wait > 0 { // keys are found by trying; signatures are not
			return nil, tooMany(wait)
		}
		return a.byKey(cred, addr, now)
	}
	c, err := a.cfg.Verifier.Verify(ctx, cred, now)
	if err != nil {
		return nil, a.failed(err, addr)
	}
	p := fromClaims(c)
	if a.revoked(p) {
		return nil, unauthorized(errRevoked.Error())
	}
	return p, nil
}

// failed counts a credential that nobody gave out, and answers it. One that was good once is no guess.
func (a *Access) failed(err error, addr string) error {
	if errors.Is(err, token.ErrExpired) {
		return unauthorized(err.Error())
	}
	if wait := a.failures.add(origin(addr), time.Now()); wait > 0 {
		return tooMany(wait)
	}
	return unauthorized(err.Error())
}

var (
	errRevoked = errors.New("the token was revoked; get a new one")
	errEnded   = errors.New("the token has expired")
	errNoKey   = errors.New("this is no stream key that is valid here, and no token")
)

func (a *Access) byKey(secret, addr string, now time.Time) (*Principal, error) {
	h := hashKey(secret)
	k, ok := a.cfg.Records.Key(h[:12])
	if !ok || subtle.ConstantTimeCompare([]byte(k.Hash), []byte(h)) != 1 || !k.Until.IsZero() && !now.Before(k.Until) {
		return nil, a.failed(errNoKey, addr)
	}
	return fromKey(k), nil
}

// revoked also looks for a revocation by those of all tenants.
func (a *Access) revoked(p *Principal) bool {
	if p.pathKey != "" && a.pathSecret(p.pathKey) == nil {
		return true
	}
	h := p.Handle()
	if h == "" {
		return false
	}
	_, jti, _ := strings.Cut(h, "/")
	if k, ok := strings.CutPrefix(jti, keyID); ok && p.Key {
		_, there := a.cfg.Records.Key(k)
		return !there
	}
	return a.cfg.Records.Revoked(h) || a.cfg.Records.Revoked(token.AllTenants+"/"+jti)
}

// May returns nil if the principal may do it to the stream or room, which need not exist, and else the problem to answer with. The
// name is "" for actions that are not done to one.
func (a *Access) May(p *Principal, do Action, name id.Stream) error {
	r, ok := rights[do]
	if !ok {
		return problem.New(http.StatusForbidden, "Forbidden", "nobody may "+string(do))
	}
	if room, _, ephemeral := name.Room(); ephemeral && r.on == aStream {
		return a.mayEphemeral(p, do, id.MakeStream(name.Tenant(), room))
	}
	named := r.on == aStream || r.on == aRoom
	switch {
	case named && r.open(p) && a.public(name, r.on):
		return nil
	case p.Role == token.Anonymous && r.least > token.Anonymous:
		return unauthorized("send a token: without one you may not " + r.what)
	case named && !p.Of(name.Tenant()):
		return notFound(r.on, name)
	case r.on == everyone && p.Tenant != token.AllTenants:
		return problem.New(http.StatusForbidden, "Forbidden", "only those of all tenants may "+r.what)
	case p.Key && !r.key && r.least > token.Anonymous:
		return problem.New(http.StatusForbidden, "Forbidden", "a stream key may publish its stream, not "+r.what)
	case p.Role < r.least && !p.Key:
		return problem.New(http.StatusForbidden, "Forbidden", "a "+p.Role.String()+" may not "+r.what+"; it takes a token of role "+r.least.String())
	case named && !p.covers(r.on, name):
		return problem.New(http.StatusForbidden, "Forbidden", "your token is not for "+name.Name())
	}
	return nil
}

// mayEphemeral decides on what a participant publishes into a room: who may be in the room may see it, staff may do the rest. Publishing is decided
// by whoever makes the stream, with Speak and the room's rules.
func (a *Access) mayEphemeral(p *Principal, do Action, room id.Stream) error {
	if do != Watch {
		return a.May(p, Moderate, room)
	}
	err := a.May(p, Join, room)
	if err == nil && !p.Guest() && a.cfg.Removed(room, p.User()) {
		return problem.New(http.StatusForbidden, "Forbidden", "a moderator has put you out of the room "+room.Name())
	}
	return err
}

func (a *Access) public(name id.Stream, on subject) bool {
	if st, ok := a.cfg.Streams(name); ok {
		return st.Spec().Public
	}
	return on == aRoom && a.cfg.OpenRoom(name)
}

// Stream finds a stream for somebody who wants to do something to it. To anonymous ones a stream of another tenant than default needs a
// token whether or not it is there.
func (a *Access) Stream(p *Principal, do Action, name id.Stream) (*sfu.Stream, error) {
	st, ok := a.cfg.Streams(name)
	if !ok && p.Role == token.Anonymous && name.Tenant() == id.DefaultTenant {
		return nil, notFound(aStream, name)
	}
	if err := a.May(p, do, name); err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound(aStream, name)
	}
	return st, nil
}

// Sees reports whether a list for the principal shows the stream: those of its tenant that it may watch.
func (a *Access) Sees(p *Principal, name id.Stream) bool {
	_, _, ephemeral := name.Room()
	return !ephemeral && p.Of(name.Tenant()) && a.May(p, Watch, name) == nil
}

func unauthorized(detail string) error {
	return problem.New(http.StatusUnauthorized, "Not authorised", detail)
}

func notFound(on subject, name id.Stream) error {
	if on == aRoom {
		return problem.New(http.StatusNotFound, "Unknown room", "there is no room "+string(name))
	}
	return problem.New(http.StatusNotFound, "Unknown stream", "there is no stream "+string(name))
}

func tooMany(wait time.Duration) error {
	p := problem.New(http.StatusTooManyRequests, "Too many wrong tokens", "too many wrong tokens or keys came from your address; wait, and check which one you use")
	p.RetryAfter = wait
	return p
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// Can lists what the principal may do: to the stream or room of that name, or with "" what its role allows anywhere.
func (a *Access) Can(p *Principal, name id.Stream) []Action {
	can := []Action{}
	for do, r := range rights {
		named := r.on == aStream || r.on == aRoom
		switch {
		case named && name == "":
			if p.Role >= r.least && (!p.Key || r.key) {
				can = append(can, do)
			}
		case named == (name != "") && a.May(p, do, name) == nil:
			can = append(can, do)
		}
	}
	slices.Sort(can)
	return can
}

// OriginAllowed reports whether a page may open a socket: one of this host, one that is configured, or a client that is no browser and says no origin.
func (a *Access) OriginAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return true
	}
	for _, o := range a.cfg.Origins {
		if o == "*" || strings.EqualFold(o, origin) {
			return true
		}
	}
	return false
}
