package access

import (
	"net/http"
	"sync"
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

// pathSecrets are the secrets of the path keys by id, made again when the keys changed: a crowd asks for them with every part.
type pathSecrets struct {
	mu  sync.RWMutex // guards the map's place; held while it is made, so that what is made from old records is forgotten
	all map[string][]byte
}

func (s *pathSecrets) forget() {
	s.mu.Lock()
	s.all = nil
	s.mu.Unlock()
}

// pathSecret of a key, nil if there is no such key.
func (a *Access) pathSecret(kid string) []byte {
	a.paths.mu.RLock()
	all := a.paths.all
	a.paths.mu.RUnlock()
	if all == nil {
		all = a.makePathSecrets()
	}
	return all[kid]
}

func (a *Access) makePathSecrets() map[string][]byte {
	a.paths.mu.Lock()
	defer a.paths.mu.Unlock()
	all := map[string][]byte{}
	for _, k := range a.pathKeys() {
		all[k.ID] = token.PathKey(a.cfg.Secret, k.ID)
	}
	a.paths.all = all
	return all
}

// Path decides whether a path token is for watching the stream, and who then watches.
func (a *Access) Path(raw string, name id.Stream) (*Principal, error) {
	t, err := token.ParsePath(raw, time.Now(), a.pathSecret)
	if err != nil { // not counted as a failure: signatures are not found by trying, and a player with an old one must not lock out who publishes beside it
		return nil, unauthorized(err.Error())
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
	var p *Principal
	var err error
	if path != "" {
		p, err = a.Path(path, name)
	} else {
		p, err = a.Authenticate(r)
	}
	if err != nil {
		return nil, err
	}
	_, err = a.Stream(p, Watch, name)
	return p, err
}
