package access

import (
	"context"
	"sync"
	"time"

	"watershed/sfu/id"
)

// Session is something that lasts and ends with the permission for it: a viewer, a publisher, a socket.
type Session struct {
	access *Access
	p      *Principal
	do     Action // "": only the credential counts
	name   id.Stream
	end    func(error)
	once   sync.Once
	timer  *time.Timer
}

// Hold calls end, once and on a goroutine of its own, when the principal's token expires or is revoked, or when it may no longer do
// this to the stream or room (the stream stopped being public). An empty action holds the token only. Release it when the thing ends by itself.
func (a *Access) Hold(p *Principal, do Action, name id.Stream, end func(error)) *Session {
	s := &Session{access: a, p: p, do: do, name: name, end: end}
	a.mu.Lock()
	a.held[s] = struct{}{}
	if !p.Expires.IsZero() {
		s.timer = time.AfterFunc(time.Until(p.Expires), func() { s.over(errEnded) })
	}
	a.mu.Unlock()
	if err := s.check(); err != nil { // it may have changed between the check and the hold
		go s.over(err)
	}
	return s
}

// Release forgets the session; it may be called twice, and from within end.
func (s *Session) Release() {
	a := s.access
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, s)
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s *Session) check() error {
	if s.access.revoked(s.p) {
		return errRevoked
	}
	if s.do == "" {
		return nil
	}
	return s.access.May(s.p, s.do, s.name)
}

func (s *Session) over(reason error) {
	s.access.mu.Lock()
	_, live := s.access.held[s]
	s.access.mu.Unlock()
	s.Release()
	if live {
		s.once.Do(func() { s.end(reason) })
	}
}

// Recheck looks at all held sessions soon: call it when a stream stopped being public.
func (a *Access) Recheck() {
	select {
	case a.again <- struct{}{}:
	default:
	}
}

// Run ends sessions whose permission went, until ctx ends.
func (a *Access) Run(ctx context.Context) error {
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() {
		a.cfg.Records.Watch(ctx, func() {
			a.paths.forget()
			a.Recheck()
		})
	})
	for {
		select {
		case <-a.again:
			a.recheck()
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *Access) recheck() {
	a.mu.Lock()
	all := make([]*Session, 0, len(a.held))
	for s := range a.held {
		all = append(all, s)
	}
	a.mu.Unlock()
	for _, s := range all {
		if err := s.check(); err != nil {
			go s.over(err)
		}
	}
}
