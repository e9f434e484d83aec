package access

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"watershed/sfu/id"
	"watershed/signaling/problem"
	"watershed/signaling/token"
)

// Keys of a stream.
func (a *Access) Keys(stream id.Stream) []Key { return a.cfg.Records.Keys(stream) }

// MakeKey makes a stream key; the secret is shown to who asked and kept by nobody. A ttl of zero is for ever.
func (a *Access) MakeKey(ctx context.Context, stream id.Stream, name, by string, ttl time.Duration) (secret string, k Key, err error) {
	now := time.Now()
	secret, k = newKey(stream, now)
	k.Name, k.By = name, by
	if ttl > 0 {
		k.Until = now.Add(ttl)
	}
	return secret, k, a.cfg.Records.PutKey(ctx, k)
}

// DeleteKey ends a stream key and what is published with it.
func (a *Access) DeleteKey(ctx context.Context, id string) error {
	return a.cfg.Records.DeleteKey(ctx, id)
}

// Revoke ends a token of the principal's tenant. Those of all tenants revoke that jti in every tenant.
func (a *Access) Revoke(ctx context.Context, p *Principal, jti string) error {
	r := Revocation{Handle: p.Tenant + "/" + jti, By: p.Subject}
	if jti == p.ID {
		r.Until = p.Expires
	}
	return a.cfg.Records.Revoke(ctx, r)
}

// PathKeys are the keys that path tokens may be signed with; new ones are with the first.
func (a *Access) PathKeys() []PathKey { return a.pathKeys() }

// PathSecret is what an edge server needs to check path tokens of a key, in base64url.
func (a *Access) PathSecret(kid string) string {
	return base64.RawURLEncoding.EncodeToString(token.PathKey(a.cfg.Secret, kid))
}

// MakePathKey adds a key that signs from now on. Those before it stay good until they are deleted.
func (a *Access) MakePathKey(ctx context.Context) (PathKey, error) {
	now := time.Now()
	known := a.cfg.Records.PathKeys()
	if len(known) == 0 { // the first key was never written: it must stay good
		if err := a.cfg.Records.PutPathKey(ctx, PathKey{ID: FirstPathKey, Created: now.Add(-time.Millisecond)}); err != nil {
			return PathKey{}, err
		}
		known = []PathKey{{ID: FirstPathKey}}
	}
	defer a.paths.forget()
	k := PathKey{ID: nextKeyID(known), Created: now}
	return k, a.cfg.Records.PutPathKey(ctx, k)
}

// nextKeyID is one that no earlier key had, also no deleted one: it has the time in it.
func nextKeyID(known []PathKey) string {
	n := time.Now().Unix()
	for {
		kid := "k" + strconv.FormatInt(n, 36)
		taken := false
		for _, k := range known {
			taken = taken || strings.EqualFold(k.ID, kid)
		}
		if !taken {
			return kid
		}
		n++
	}
}

// DeletePathKey withdraws a key. The last one stays: delete it after making another.
func (a *Access) DeletePathKey(ctx context.Context, kid string) error {
	keys := a.pathKeys()
	switch {
	case a.pathSecret(kid) == nil:
		return problem.New(http.StatusNotFound, "Unknown key", "no path key has this id")
	case len(keys) == 1:
		return problem.New(http.StatusConflict, "The only key", "make another path key first")
	}
	defer a.paths.forget()
	return a.cfg.Records.DeletePathKey(ctx, kid)
}
