package rest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/problem"
	"watershed/signaling/token"
)

const (
	defaultTTL = time.Hour
	maxTTL     = 366 * 24 * time.Hour
	maxName    = 64 // characters of names of keys
	maxKeys    = 100
)

func lifetime(seconds int, fallback time.Duration) (time.Duration, error) {
	switch {
	case seconds == 0:
		return fallback, nil
	case seconds < 0 || seconds > int(maxTTL/time.Second): // before it is multiplied: what wraps around is no limit
		return 0, problem.BadField("ttl", fmt.Sprintf("use 1 to %d seconds", int(maxTTL/time.Second)))
	}
	return time.Duration(seconds) * time.Second, nil
}

func (a *API) makeToken(c *call) (any, error) {
	var b TokenBody
	if err := c.read(&b); err != nil {
		return nil, err
	}
	claims, err := a.claims(c.who, &b)
	if err != nil {
		return nil, err
	}
	jwt, err := token.Mint(a.cfg.Secret, claims, time.Now())
	var bad *token.ClaimError
	if errors.As(err, &bad) {
		return nil, problem.BadField(bad.Claim, bad.Text)
	}
	if err != nil {
		return nil, err
	}
	a.cfg.Log.Info("token made", "jti", claims.ID, "role", claims.Role, "tenant", claims.Tenant, "by", c.who.Subject)
	return tokenOf(jwt, claims), nil
}

// claims of a token that the principal may make: never more than it has itself.
func (a *API) claims(p *access.Principal, b *TokenBody) (*token.Claims, error) {
	role, err := token.ParseRole(b.Role)
	if err != nil {
		return nil, problem.BadField("role", err.Error())
	}
	tenant := b.Tenant
	if tenant == "" {
		tenant = p.Tenant
	}
	ttl, err := lifetime(b.TTL, defaultTTL)
	if err != nil {
		return nil, err
	}
	streams, rooms := p.Streams, p.Rooms
	if b.Streams != nil || b.Rooms != nil {
		streams, rooms = token.Scope(list(b.Streams), list(b.Rooms))
	}
	switch {
	case tenant != p.Tenant && p.Tenant != token.AllTenants:
		return nil, problem.New(http.StatusNotFound, "Unknown tenant", "there is no tenant "+clip(tenant))
	case role > p.Role || role == p.Role && role < token.Admin:
		return nil, problem.New(http.StatusForbidden, "Forbidden", "a "+p.Role.String()+" may not make a token of role "+role.String())
	case b.Subject != "" && p.Role < token.Admin:
		return nil, problem.New(http.StatusForbidden, "Forbidden", "only an admin may say whose token it is: leave out sub")
	case !token.Covers(p.Streams, streams):
		return nil, problem.New(http.StatusForbidden, "Forbidden", "streams: your own token is not for all of these")
	case !token.Covers(p.Rooms, rooms):
		return nil, problem.New(http.StatusForbidden, "Forbidden", "rooms: your own token is not for all of these")
	}
	return &token.Claims{
		Subject: b.Subject, Tenant: tenant, Role: role, Name: b.Name, Streams: streams, Rooms: rooms, Expires: time.Now().Add(ttl),
	}, nil
}

// list is nil where a list was left out, and not where it is empty.
func list(p *[]string) []string {
	if p == nil {
		return nil
	}
	return append([]string{}, *p...)
}

func tokenOf(jwt string, c *token.Claims) Token {
	return Token{
		Token: jwt, ID: c.ID, Subject: c.Subject, Tenant: c.Tenant, Role: c.Role.String(),
		Streams: append([]string{}, c.Streams...), Rooms: append([]string{}, c.Rooms...), Name: c.Name, Expires: millis(c.Expires),
	}
}

func (a *API) redeem(c *call) (any, error) {
	var b TicketBody
	if err := c.read(&b); err != nil {
		return nil, err
	}
	jwt, claims, err := a.cfg.Access.Redeem(b.Ticket, c.Request().RemoteAddr)
	if err != nil {
		return nil, err
	}
	a.cfg.Log.Info("one-time link used", "jti", claims.ID, "role", claims.Role, "from", c.RealIP())
	return tokenOf(jwt, claims), nil
}

// revoke is open to everybody for their own token.
func (a *API) revoke(c *call) (any, error) {
	jti := c.unescaped("jti")
	if c.who.Key || jti != c.who.ID || jti == "" {
		if err := a.cfg.Access.May(c.who, access.Revoke, ""); err != nil {
			return nil, err
		}
	}
	if len(jti) > maxTokenID {
		return nil, problem.New(http.StatusNotFound, "Unknown token", "no token has such an id")
	}
	if err := a.cfg.Access.Revoke(c.ctx, c.who, jti); err != nil {
		return nil, err
	}
	a.cfg.Log.Info("token revoked", "jti", jti, "tenant", c.who.Tenant, "by", c.who.Subject)
	return nil, nil
}

// maxTokenID is token's own bound of a jti.
const maxTokenID = 128

func keyOf(k access.Key) Key {
	return Key{ID: k.ID, Stream: k.Stream, Name: k.Name, By: k.By, Created: millis(k.Created), Until: millis(k.Until)}
}

func (a *API) keys(c *call) (any, error) {
	out := KeyList{Keys: []Key{}}
	for _, k := range a.cfg.Access.Keys(c.name) {
		out.Keys = append(out.Keys, keyOf(k))
	}
	return out, nil
}

func (a *API) makeKey(c *call) (any, error) {
	var b KeyBody
	if err := c.read(&b); err != nil {
		return nil, err
	}
	ttl, err := lifetime(b.TTL, 0)
	switch {
	case err != nil:
		return nil, err
	case len(b.Name) > maxName:
		return nil, problem.BadField("name", fmt.Sprintf("at most %d bytes", maxName))
	case len(a.cfg.Access.Keys(c.name)) >= maxKeys:
		return nil, problem.New(http.StatusConflict, "Too many keys", fmt.Sprintf("a stream has at most %d keys: delete one", maxKeys))
	}
	if _, _, ephemeral := c.name.Room(); ephemeral {
		return nil, problem.New(http.StatusNotFound, "Unknown stream", "what is published into a room has no keys")
	}
	secret, k, err := a.cfg.Access.MakeKey(c.ctx, c.name, b.Name, c.who.Subject, ttl)
	if err != nil {
		return nil, err
	}
	out := keyOf(k)
	out.Key = secret
	c.at = prefix + "/streams/" + string(c.name) + "/keys/" + k.ID
	a.cfg.Log.Info("stream key made", "stream", c.name, "key", k.ID, "by", c.who.Subject)
	return out, nil
}

func (a *API) deleteKey(c *call) (any, error) {
	for _, k := range a.cfg.Access.Keys(c.name) {
		if k.ID == c.Param("key") {
			a.cfg.Log.Info("stream key deleted", "stream", c.name, "key", k.ID, "by", c.who.Subject)
			return nil, a.cfg.Access.DeleteKey(c.ctx, k.ID)
		}
	}
	return nil, problem.New(http.StatusNotFound, "Unknown key", "the stream has no key of this id")
}

func pathKeyOf(k access.PathKey, secret string, signs bool) PathKey {
	return PathKey{ID: k.ID, Created: millis(k.Created), Key: secret, Signs: signs}
}

func (a *API) pathKeys(*call) (any, error) {
	out := PathKeyList{Keys: []PathKey{}}
	for i, k := range a.cfg.Access.PathKeys() {
		out.Keys = append(out.Keys, pathKeyOf(k, a.cfg.Access.PathSecret(k.ID), i == 0))
	}
	return out, nil
}

func (a *API) makePathKey(c *call) (any, error) {
	k, err := a.cfg.Access.MakePathKey(c.ctx)
	if err != nil {
		return nil, err
	}
	a.cfg.Log.Info("path key made", "kid", k.ID, "by", c.who.Subject)
	return pathKeyOf(k, a.cfg.Access.PathSecret(k.ID), true), nil
}

func (a *API) deletePathKey(c *call) (any, error) {
	kid := c.Param("kid")
	if err := a.cfg.Access.DeletePathKey(c.ctx, kid); err != nil {
		return nil, err
	}
	a.cfg.Log.Info("path key withdrawn", "kid", kid, "by", c.who.Subject)
	return nil, nil
}

func (a *API) nodes(*call) (any, error) {
	return NodeList{Nodes: append([]Node{}, a.cfg.Nodes()...)}, nil
}

func (a *API) me(c *call) (any, error) {
	p := c.who
	out := Me{
		User: p.Subject, Name: p.Name, Tenant: p.Tenant, Role: p.Role.String(), Guest: p.Guest(),
		Streams: append([]string{}, p.Streams...), Rooms: append([]string{}, p.Rooms...), Expires: millis(p.Expires),
	}
	name := id.Stream("")
	if raw := cmp.Or(c.QueryParam("stream"), c.QueryParam("room")); raw != "" {
		var err error
		if name, err = id.ParseStream(raw); err != nil {
			return nil, problem.BadField("stream", err.Error())
		}
	}
	out.Can = a.cfg.Access.Can(p, name)
	return out, nil
}
