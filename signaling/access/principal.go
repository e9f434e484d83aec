package access

import (
	"context"
	"time"

	"watershed/sfu/id"
	"watershed/signaling/token"
)

// Principal is who asks. It is not changed after it was made.
type Principal struct {
	Subject string // "" for guests
	Tenant  string // token.AllTenants for those who run the installation
	Role    token.Role
	Name    string
	Streams []string // patterns
	Rooms   []string
	ID      string    // jti of the token, or of the stream key
	Expires time.Time // zero: never
	Key     bool      // came with a stream key

	handle  string // of the token that a path token was made from
	pathKey string // by which a path token was signed
}

// anonymous is who brings nothing.
var anonymous = &Principal{Tenant: id.DefaultTenant}

// local is who brings nothing where auth.mode is open.
var local = &Principal{Tenant: token.AllTenants, Role: token.Admin, Streams: []string{token.Everything}, Rooms: []string{token.Everything}}

// Guest reports whether nothing tells this one from others.
func (p *Principal) Guest() bool { return p.Subject == "" }

// User is the name of one who is no guest in rooms, where people of several tenants meet.
func (p *Principal) User() string {
	if p.Tenant == id.DefaultTenant || p.Tenant == token.AllTenants {
		return p.Subject
	}
	return p.Tenant + "~" + p.Subject // two tenants may give one name to two people
}

// Handle names the credential among those of all tenants; "" if there is none. It is no secret.
func (p *Principal) Handle() string {
	if p.ID == "" {
		return p.handle
	}
	return p.Tenant + "/" + p.ID
}

// Of reports whether the principal belongs to the tenant.
func (p *Principal) Of(tenant string) bool { return p.Tenant == tenant || p.Tenant == token.AllTenants }

func (p *Principal) covers(on subject, name id.Stream) bool {
	patterns := p.Streams
	if on == aRoom {
		patterns = p.Rooms
	}
	return token.MatchAny(patterns, name.Name())
}

func fromClaims(c *token.Claims) *Principal {
	return &Principal{
		Subject: c.Subject, Tenant: c.Tenant, Role: c.Role, Name: c.Name,
		Streams: c.Streams, Rooms: c.Rooms, ID: c.ID, Expires: c.Expires,
	}
}

// keyID begins the Principal.ID of a stream key.
const keyID = "key-"

func fromKey(k Key) *Principal {
	return &Principal{
		Subject: keyID + k.ID, Tenant: k.Stream.Tenant(), Role: token.Publisher, Name: k.Name,
		Streams: []string{k.Stream.Name()}, ID: keyID + k.ID, Expires: k.Until, Key: true,
	}
}

type contextKey struct{}

// With returns a context that carries who asks.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From finds who asks; without one it is an anonymous.
func From(ctx context.Context) *Principal {
	if p, ok := ctx.Value(contextKey{}).(*Principal); ok {
		return p
	}
	return anonymous
}
