package access

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/leg"
	"watershed/signaling/problem"
	"watershed/signaling/token"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// world is access over a real media plane and records in memory, running.
type world struct {
	*Access
	plane   *sfu.SFU
	records *Memory
}

// newWorld has the streams pub and acme~pub, which are public, and priv and acme~priv, which are not. It fails the test that leaves a goroutine.
func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	port, err := leg.Listen(ctx, leg.Config{Listen: "127.0.0.1:0", Shards: 1})
	require.NoError(t, err)
	w := &world{plane: sfu.New(sfu.Config{Port: port}), records: NewMemory()}
	for _, name := range []id.Stream{"pub", "priv", "acme~pub", "acme~priv"} {
		w.plane.Declare(name, sfu.Spec{Public: name.Name() == "pub"})
	}
	v, err := token.NewVerifier(ctx, token.VerifierConfig{Secret: secret})
	require.NoError(t, err)
	cfg := Config{Secret: secret, Verifier: v, Records: w.records, Streams: w.plane.Stream}
	if change != nil {
		change(&cfg)
	}
	w.Access = New(cfg)
	done := make(chan error, 2)
	go func() { done <- w.plane.Run(ctx) }()
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
		require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 10*time.Second, 10*time.Millisecond, "goroutines left") // one is Eventually's own
	})
	return w
}

// mint makes a token; streams and rooms are the same.
func (w *world) mint(t testing.TB, tenant string, role token.Role, patterns ...string) (jwt string, c *token.Claims) {
	t.Helper()
	if patterns == nil {
		patterns = []string{token.Everything}
	}
	c = &token.Claims{Tenant: tenant, Role: role, Streams: patterns, Rooms: patterns, Expires: time.Now().Add(time.Hour)}
	jwt, err := token.Mint(secret, c, time.Now())
	require.NoError(t, err)
	return jwt, c
}

func (w *world) principal(t testing.TB, tenant string, role token.Role, patterns ...string) *Principal {
	t.Helper()
	if role == token.Anonymous {
		return anonymous
	}
	jwt, _ := w.mint(t, tenant, role, patterns...)
	p, err := w.Credential(t.Context(), jwt, "192.0.2.1:1")
	require.NoError(t, err)
	return p
}

// status is 200, or what the error would be answered with.
func status(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return http.StatusOK
	}
	var p *problem.Problem
	require.ErrorAs(t, err, &p)
	require.NotEmpty(t, p.Detail)
	return p.Status
}

func request(target, bearer string, header ...string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}
