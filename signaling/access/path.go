package access

import (
	"net/http"
	"time"

	"watershed/sfu/id"
	"watershed/signaling/problem"
	"watershed/signaling/token"
)

// pathLife is how long a path token is good for if its maker's token does not end before: a match with its extra time, and a player asks for a new one anyway.
const pathLife = 12 * time.Hour

// MintPath makes the path token with which a player reads one stream for somebody who may watch it. It dies with the token of who asked.
func (a *Access) MintPath(p *Principal, name id.Stream) (path string, expires time.Time, err error) {
	expires = time.Now().Add(pathLife).Truncate(time.Second)
	if !p.Expires.IsZero() && p.Expires.Before(expires) {
		expires = p.Expires
	}
	kid := a.pathKeys()[0].ID
	t := token.Path{KeyID: kid, Expires: expires, Streams: []string{string(name)}, ID: p.Handle()}
	path, err = t.Mint(token.PathKey(a.cfg.Secret, kid))
	return path, expires, err
}

// pathKeys are those that are good, newest first.
func (a *Access) pathKeys() []PathKey {
	if keys := a.cfg.Records.PathKeys(); len(keys) > 0 {
		return keys
	}
	return []PathKey{{ID: FirstPathKey}}
}

func (a *Access) pathSecret(kid string) []byte {
	for _, k := range a.pathKeys() {
		if k.ID == kid {
			return token.PathKey(a.cfg.Secret, kid)
		}
	}
	return nil
}

// Path decides whether a path token is for watching the stream, and who then watches.
func (a *Access) Path(raw string, name id.Stream, addr string) (*Principal, error) {
	t, err := token.ParsePath(raw, time.Now(), a.pathSecret)
	if err != nil {
		return nil, a.failed(err, addr)
	}
	if !t.Allows(name) {
		return nil, problem.New(http.StatusForbidden, "Forbidden", "this path token is for another stream")
	}
	p := &Principal{Tenant: name.Tenant(), Role: token.Viewer, Streams: []string{name.Name()}, Expires: t.Expires, handle: t.ID, pathKey: t.KeyID}
	if a.revoked(p) {
		return nil, unauthorized(errRevoked.Error())
	}
	return p, nil
}

// Read decides on a request for a stream by HTTP (HLS, DASH, FLV, stills): with the path token of its URL if that has one, else as any request.
func (a *Access) Read(r *http.Request, name id.Stream, path string) (*Principal, error) {
	p, err := a.Authenticate(r)
	if path != "" {
		p, err = a.Path(path, name, r.RemoteAddr)
	}
	if err != nil {
		return nil, err
	}
	_, err = a.Stream(p, Watch, name)
	return p, err
}
