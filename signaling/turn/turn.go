// Package turn relays media for viewers and publishers whose network lets nothing else through (RFC 8656), to this node's media port and to
// nowhere else.
//
// Credentials expire and are given to those who may watch or publish, with the answer: nobody else can allocate. A relay
// speaks to one peer only, the node itself, so there is no address to protect by lists.
package turn

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"watershed/sfu/id"
)

// Config of a relay.
type Config struct {
	Listen string                  // UDP; "" for none
	TLS    string                  // TLS over TCP; "" for none
	Cert   *tls.Config             // for TLS
	Secret []byte                  // of the credentials
	Media  func() []netip.AddrPort // the node's media addresses as its candidates have them
	Local  netip.AddrPort          // where the media port is really reached from here
	Log    *slog.Logger
}

// Server is a node's relay.
type Server struct {
	cfg    Config
	server *turn.Server
	udp    net.PacketConn
	tls    *door
	open   open

	Refused atomic.Uint64 // datagrams to peers other than the node
}

// realm of the credentials: a name that clients echo.
const realm = "watershed"

// lifetime of credentials. They make no new allocation afterwards, but keep those that there are: a wall of cameras runs for days.
const lifetime = 12 * time.Hour

// authenticate finds the key of a user name "expiry:user", which is its own credential (draft-uberti-behave-turn-rest-00 section 2.2).
func (s *Server) authenticate(r *turn.RequestAttributes) (user string, key []byte, ok bool) {
	expiry, user, _ := strings.Cut(r.Username, ":")
	at, err := strconv.ParseInt(expiry, 10, 64)
	if err != nil || user == "" || r.Method == stun.MethodAllocate && at < time.Now().Unix() {
		return "", nil, false
	}
	return user, turn.GenerateAuthKey(r.Username, r.Realm, s.password(r.Username)), true
}

func (s *Server) password(username string) string {
	mac := hmac.New(sha1.New, s.cfg.Secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// credentials are good for a while from now.
func (s *Server) credentials(good time.Duration) (username, password string) {
	username = fmt.Sprintf("%d:%s", time.Now().Add(good).Unix(), id.Random(5))
	return username, s.password(username)
}

// New opens the relay's ports.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg}
	tc := turn.ServerConfig{
		Realm: realm, LoggerFactory: quiet(),
		QuotaHandler: func(user, _ string, _ net.Addr) bool { return s.open.another(user) },
		EventHandler: turn.EventHandler{
			OnAllocationCreated: func(from, _ net.Addr, _, user, _ string, _ net.Addr, _ int) {
				s.open.count(user, 1)
				s.tls.allocated(from)
			},
			OnAllocationDeleted: func(_, _ net.Addr, _, user, _ string) { s.open.count(user, -1) },
		},
		AuthHandler: s.authenticate,
	}
	relay := &generator{server: s}
	var err error
	if cfg.Listen != "" {
		if s.udp, err = net.ListenPacket("udp", cfg.Listen); err != nil {
			return nil, fmt.Errorf("webrtc.turn.listen: %w", err)
		}
		tc.PacketConnConfigs = []turn.PacketConnConfig{{PacketConn: s.udp, RelayAddressGenerator: relay, PermissionHandler: s.permit}}
	}
	if cfg.TLS != "" {
		if cfg.Cert == nil {
			s.closePorts()
			return nil, errors.New("webrtc.turn.tls needs the certificate of http.tls")
		}
		if s.tls, err = listenTLS(cfg.TLS, cfg.Cert); err != nil {
			s.closePorts()
			return nil, fmt.Errorf("webrtc.turn.tls: %w", err)
		}
		tc.ListenerConfigs = []turn.ListenerConfig{{Listener: s.tls, RelayAddressGenerator: relay, PermissionHandler: s.permit}}
	}
	if s.server, err = turn.NewServer(tc); err != nil {
		s.closePorts()
		return nil, fmt.Errorf("turn: %w", err)
	}
	return s, nil
}

func (s *Server) closePorts() {
	if s.udp != nil {
		s.udp.Close()
	}
	if s.tls != nil {
		s.tls.Close()
	}
}

// open counts allocations: each is a socket.
type open struct {
	mu    sync.Mutex // guards what follows
	users map[string]int
	all   int
}

// What may be open. A browser allocates for each interface, relay address and PeerConnection: three of the first are many.
const (
	maxOfOne = 12
	maxOpen  = 4096
)

func (o *open) another(user string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.users[user] < maxOfOne && o.all < maxOpen
}

func (o *open) count(user string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.users == nil {
		o.users = map[string]int{}
	}
	o.all += n
	if o.users[user] += n; o.users[user] == 0 {
		delete(o.users, user)
	}
}

// Run relays until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	return s.server.Close()
}

// permit admits permissions for the node's own addresses.
func (s *Server) permit(_ net.Addr, peer net.IP) bool {
	ip, ok := netip.AddrFromSlice(peer)
	if !ok {
		return false
	}
	for _, m := range s.cfg.Media() {
		if m.Addr() == ip.Unmap() {
			return true
		}
	}
	s.Refused.Add(1)
	return false
}

// ICEServer is a relay as a client is told of it.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

// ICEServers makes credentials for one client that reached the node as host. A nil server has none.
func (s *Server) ICEServers(host string) []ICEServer {
	if s == nil {
		return nil
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	username, password := s.credentials(lifetime)
	ice := ICEServer{Username: username, Credential: password}
	if s.udp != nil {
		ice.URLs = append(ice.URLs, "turn:"+net.JoinHostPort(host, portOf(s.udp.LocalAddr()))+"?transport=udp")
	}
	if s.tls != nil {
		ice.URLs = append(ice.URLs, "turns:"+net.JoinHostPort(host, portOf(s.tls.Addr()))+"?transport=tcp")
	}
	return []ICEServer{ice}
}

// Links are the same as values of Link headers (RFC 9725 section 4.6).
func (s *Server) Links(host string) (links []string) {
	for _, ice := range s.ICEServers(host) {
		for _, u := range ice.URLs {
			links = append(links, fmt.Sprintf(`<%s>; rel="ice-server"; username=%q; credential=%q; credential-type="password"`, u, ice.Username, ice.Credential))
		}
	}
	return links
}

func portOf(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

func quiet() logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
}

// generator makes relays' sockets: on loopback or whatever leads to the media port, because that is all they speak to.
type generator struct{ server *Server }

func (g *generator) Validate() error { return nil }

// AllocatePacketConn implements turn.RelayAddressGenerator.
func (g *generator) AllocatePacketConn(turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	local := g.server.cfg.Local
	c, err := net.ListenPacket("udp", net.JoinHostPort(local.Addr().String(), "0"))
	if err != nil {
		return nil, nil, err
	}
	return &relay{PacketConn: c, server: g.server, to: net.UDPAddrFromAddrPort(local)}, c.LocalAddr(), nil
}

var errTCP = errors.New("relays speak UDP only")

// AllocateListener implements turn.RelayAddressGenerator.
func (g *generator) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errTCP
}

// AllocateConn implements turn.RelayAddressGenerator.
func (g *generator) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, errTCP }

// relay is one allocation's socket. Whatever media address the client names, datagrams go to the media port directly; its answers seem to come
// from the address that the client named last.
type relay struct {
	net.PacketConn
	server *Server
	to     *net.UDPAddr

	mu    sync.Mutex // guards named
	named net.Addr
}

func (r *relay) WriteTo(b []byte, to net.Addr) (int, error) {
	if !r.server.isMedia(to) {
		r.server.Refused.Add(1)
		return len(b), nil // as lost on the way: the client learns nothing of what is there
	}
	r.mu.Lock()
	r.named = to
	r.mu.Unlock()
	return r.PacketConn.WriteTo(b, r.to)
}

func (r *relay) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := r.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		r.mu.Lock()
		named := r.named
		r.mu.Unlock()
		if named != nil && from.String() == r.to.String() {
			return n, named, nil
		}
	}
}

func (s *Server) isMedia(a net.Addr) bool {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return false
	}
	ap := netip.AddrPortFrom(u.AddrPort().Addr().Unmap(), u.AddrPort().Port())
	for _, m := range s.cfg.Media() {
		if m == ap {
			return true
		}
	}
	return false
}
