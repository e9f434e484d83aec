package access

import (
	"context"
	"errors"
	"net"
	"net/http"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/signaling/problem"
)

// Admit decides who may publish, for every protocol: by who the context carries (With), or the credential that the publisher brought. A stream that
// nobody declared is made if the publisher may, by ensure.
func (a *Access) Admit(ensure func(id.Stream, sfu.Spec) *sfu.Stream) ingest.Admit {
	return func(ctx context.Context, w ingest.Publish) (*ingest.Permit, error) {
		p, err := a.publisher(ctx, w)
		if err != nil {
			return nil, refusal(err)
		}
		if err := a.mayPublish(p, w.Stream); err != nil {
			return nil, refusal(err)
		}
		return &ingest.Permit{
			Stream:   ensure(w.Stream, sfu.Spec{Public: a.cfg.Open, Ephemeral: true}),
			Takeover: w.Takeover && a.May(p, Takeover, w.Stream) == nil,
			Hold: func(end func(error)) func() {
				return a.Hold(p, Publish, w.Stream, end).Release
			},
		}, nil
	}
}

func (a *Access) publisher(ctx context.Context, w ingest.Publish) (*Principal, error) {
	if p, ok := ctx.Value(contextKey{}).(*Principal); ok {
		return p, nil
	}
	for _, cred := range []string{w.Token, w.Key} {
		if cred != "" {
			return a.Credential(ctx, cred, w.Addr)
		}
	}
	if ip := net.ParseIP(host(w.Addr)); a.cfg.Open && ip != nil && ip.IsLoopback() { // other listeners than HTTP's may be reached from elsewhere
		return local, nil
	}
	return anonymous, nil
}

func (a *Access) mayPublish(p *Principal, name id.Stream) error {
	if _, _, ephemeral := name.Room(); ephemeral {
		return problem.New(http.StatusForbidden, "Forbidden", "streams of a room's participants are published in the room")
	}
	_, declared := a.cfg.Streams(name)
	if err := a.May(p, Publish, name); err != nil || declared {
		return err
	}
	return a.May(p, Create, name)
}

// refusal is a problem as adapters of other protocols understand it.
func refusal(err error) error {
	var p *problem.Problem
	if errors.As(err, &p) {
		return ingest.Refuse(p.Status, "%s", p.Detail)
	}
	return err
}
