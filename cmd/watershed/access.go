package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"watershed/cluster"
	"watershed/cmd/watershed/config"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/token"
)

const (
	linkLife  = time.Hour          // of the operator link, until somebody opens it
	linkToken = 7 * 24 * time.Hour // of the token that it gives
)

// openAccess decides with the cluster's records. The secret is made on first start.
func (n *node) openAccess(ctx context.Context) (err error) {
	cfg := n.cfg.Auth
	secret, made, err := access.Secret(n.cfg.Data, cfg.Secret)
	if err != nil {
		return err
	}
	v, err := token.NewVerifier(ctx, token.VerifierConfig{Secret: secret, JWKS: cfg.JWKS, Audience: cfg.Audience, Claims: cfg.Claims, Log: n.log})
	if err != nil {
		return err
	}
	n.access = access.New(access.Config{
		Open: cfg.Mode == "open", Secret: secret, Verifier: v, Records: records{n.cluster.Decisions}, Origins: n.cfg.HTTP.Origins,
		Streams:  func(name id.Stream) (*sfu.Stream, bool) { return n.sfu.Stream(name) },
		OpenRoom: n.openRoom, Removed: n.removed,
	})
	n.secret, n.greet = secret, made && cfg.Mode != "open"
	return nil
}

// openRoom reports whether the rules of a room that is no stream's let guests in.
func (n *node) openRoom(room id.Stream) bool {
	r, ok := n.cluster.Decisions.Rules.Find(string(room))
	return ok && r.Guests
}

// removed reports whether a moderator has put somebody out of a room.
func (n *node) removed(room id.Stream, user string) bool {
	_, out := n.cluster.Decisions.Sanctions.Find(cluster.SanctionKey(room, user, cluster.Remove))
	return out
}

// mayRead decides on a request of the HLS bridge.
func (n *node) mayRead(r *http.Request, path string, st *sfu.Stream) error {
	_, err := n.access.Read(r, st.Name, path)
	return err
}

// missing answers for a stream that is not here as for one that the caller may not know of.
func (n *node) missing(r *http.Request, path, raw string) error {
	name, err := id.ParseStream(raw)
	if err != nil {
		return nil // the bridge says what is wrong
	}
	_, err = n.access.Read(r, name, path)
	return err
}

// holdRead ends an endless response of the bridge with the permission for it.
func (n *node) holdRead(r *http.Request, path string, st *sfu.Stream, end func(error)) (release func()) {
	p, err := n.access.Read(r, st.Name, path)
	if err != nil { // lost since mayRead
		end(err)
		return func() {}
	}
	return n.access.Hold(p, access.Watch, st.Name, end).Release
}

// printLink prints the operator link of a first start.
func (n *node) printLink() {
	if !n.greet {
		return
	}
	all := []string{token.Everything}
	ticket := n.access.Ticket(token.Claims{
		Subject: "operator", Name: "Operator", Tenant: token.AllTenants, Role: token.Admin, Streams: all, Rooms: all,
	}, linkLife, linkToken)
	fmt.Fprintf(os.Stdout, "\nFirst start. Open this once, within %v, to run this installation:\n\n  %s/#token=%s\n\n", linkLife, n.url(), ticket)
}

// url is where a browser on this machine finds the node.
func (n *node) url() string {
	scheme := "http"
	if t := n.cfg.HTTP.TLS; t.Cert != "" || len(t.ACME) > 0 {
		scheme = "https"
	}
	host, port, _ := net.SplitHostPort(n.http.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

type tokenCmd struct {
	Role    string        `required:"" enum:"viewer,publisher,moderator,operator,admin" help:"viewer, publisher, moderator, operator or admin."`
	Stream  []string      `help:"Streams that it is for, with * for any characters; may be given several times. All of the tenant if left out."`
	Room    []string      `help:"Rooms, likewise. The rooms of the streams if left out."`
	Tenant  string        `default:"default" help:"Tenant; '*' for those who run the whole installation."`
	TTL     time.Duration `default:"1h" help:"How long it is good for."`
	Name    string        `help:"Name to show."`
	Subject string        `help:"Who it is for: an id that stays the same from token to token. Made up if left out."`
	Config  string        `short:"c" help:"Configuration file (watershed.yaml if that is there)."`
}

// Run prints a token signed with the secret of the configuration or of its data folder, which it makes if no node has been started there yet.
func (c *tokenCmd) Run() error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	role, err := token.ParseRole(c.Role)
	if err != nil {
		return err
	}
	secret, _, err := access.Secret(cfg.Data, cfg.Auth.Secret)
	if err != nil {
		return err
	}
	now := time.Now()
	streams, rooms := token.Scope(c.Stream, c.Room)
	t, err := token.Mint(secret, &token.Claims{
		Subject: c.Subject, Name: c.Name, Tenant: c.Tenant, Role: role, Streams: streams, Rooms: rooms, Expires: now.Add(c.TTL),
	}, now)
	if err != nil {
		return err
	}
	fmt.Println(t)
	return nil
}
