package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"watershed/sfu/id"
)

// Verifier checks JWTs. Its methods may be called from any goroutine.
type Verifier struct {
	secret   []byte
	jwks     keyfunc.Keyfunc
	audience string
	paths    Paths
	parser   *jwt.Parser
}

// VerifierConfig says whose tokens are believed.
type VerifierConfig struct {
	Secret []byte // of HS256; nil: none of these
	JWKS   string // URL of the keys of RS256 and ES256; "": none of these
	// Audience must be in the aud of tokens of RS256 and ES256, whose issuer serves other applications too; "": any will do.
	Audience string
	Claims   Paths
	Log      *slog.Logger
}

const (
	maxJWT = 8 << 10 // an identity provider's token with many groups has 4 kB
	// clockSkew between another issuer and us counts for nbf only: a token ends when it says, and iat decides nothing.
	clockSkew = 30 * time.Second

	keysRefresh = 15 * time.Minute // keys of an issuer that rotates them; an unknown key id refreshes sooner
	keysSooner  = 30 * time.Second // at most that often, so that forged ids do not make us hammer the issuer
	keysTimeout = 5 * time.Second  // of a fetch, and the longest that a token of an unknown key waits for its turn to cause one
)

// NewVerifier fetches the keys once and keeps them fresh until ctx ends. An issuer that does not answer now is logged and tried again.
func NewVerifier(ctx context.Context, cfg VerifierConfig) (*Verifier, error) {
	if err := cfg.Claims.Check(); err != nil {
		return nil, err
	}
	v := &Verifier{secret: cfg.Secret, paths: cfg.Claims, audience: cfg.Audience}
	var methods []string
	if len(v.secret) > 0 {
		methods = append(methods, hs256)
	}
	if cfg.JWKS != "" {
		methods = append(methods, "RS256", "ES256")
		if err := v.fetchKeys(ctx, cfg); err != nil {
			return nil, err
		}
	}
	v.parser = jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithExpirationRequired(), jwt.WithLeeway(clockSkew),
		jwt.WithStrictDecoding(), jwt.WithJSONNumber())
	return v, nil
}

func (v *Verifier) fetchKeys(ctx context.Context, cfg VerifierConfig) error {
	u, err := url.Parse(cfg.JWKS)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("auth.jwks: %q is not a URL such as https://login.example.org/jwks.json", clip(cfg.JWKS))
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	v.jwks, err = keyfunc.NewDefaultOverrideCtx(ctx, []string{cfg.JWKS}, keyfunc.Override{
		Client: &http.Client{Timeout: keysTimeout}, HTTPTimeout: keysTimeout, RefreshInterval: keysRefresh,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(keysSooner), 1), RateLimitWaitMax: keysTimeout,
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				log.Warn("keys of auth.jwks not fetched; those known before stay", "host", u.Host, "error", err)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("auth.jwks: %w", err)
	}
	return nil
}

// Why a JWT is refused; a ClaimError is another reason.
var (
	ErrToken = errors.New("the token cannot be read, or is not signed by anyone known here")
	ErrLong  = fmt.Errorf("the token is longer than %d bytes", maxJWT)
)

// Verify checks a token's signature and time and reads its claims. Its errors do not show the token.
func (v *Verifier) Verify(ctx context.Context, raw string, now time.Time) (*Claims, error) {
	if len(raw) > maxJWT {
		return nil, ErrLong
	}
	if hasLineBreak(raw) {
		return nil, ErrToken
	}
	payload := jwt.MapClaims{}
	t, err := v.parser.ParseWithClaims(raw, payload, func(t *jwt.Token) (any, error) { return v.key(ctx, t) })
	if err != nil {
		if errors.Is(err, jwt.ErrTokenExpired) {
			return nil, ErrExpired
		}
		return nil, ErrToken
	}
	exp, err := payload.GetExpirationTime()
	if err != nil || exp == nil {
		return nil, ErrToken
	}
	if !now.Before(exp.Time) {
		return nil, ErrExpired
	}
	if t.Method.Alg() != hs256 {
		if err := v.meantForUs(payload); err != nil {
			return nil, err
		}
	}
	c, err := v.paths.read(payload)
	if err != nil {
		return nil, err
	}
	c.Expires = exp.Time
	c.complete(raw)
	return &c, nil
}

// hs256 is the algorithm of tokens that only we, and those who have our secret, make.
const hs256 = "HS256"

// meantForUs refuses another issuer's tokens that say nothing of us: its users' tokens for other applications are signed with the same keys.
func (v *Verifier) meantForUs(payload jwt.MapClaims) error {
	aud, err := payload.GetAudience()
	if v.audience != "" && (err != nil || !slices.Contains(aud, v.audience)) {
		return &ClaimError{"aud", "the token is for another application"}
	}
	if payload["watershed"] == nil && !v.paths.grant() {
		return &ClaimError{"watershed", "missing: auth.claims can say where the issuer puts role, tenant, streams and rooms"}
	}
	return nil
}

// key chooses by the algorithm: a shared secret never checks a signature that claims to be RS256, nor a public key one of HS256.
func (v *Verifier) key(ctx context.Context, t *jwt.Token) (any, error) {
	if t.Method.Alg() == hs256 {
		return v.secret, nil
	}
	return v.jwks.KeyfuncCtx(ctx)(t)
}

// complete gives a token without sub or jti names that are always the same for it.
func (c *Claims) complete(raw string) {
	if c.Subject != "" && c.ID != "" {
		return
	}
	h := fmt.Sprintf("t-%x", sha256.Sum256([]byte(raw)))[:22]
	if c.ID == "" {
		c.ID = h
	}
	if c.Subject == "" {
		c.Subject = h
	}
}

// Mint writes a JWT of HS256. An empty ID or Subject gets a random one.
func Mint(secret []byte, c *Claims, now time.Time) (string, error) {
	if c.ID == "" {
		c.ID = id.Random(10)
	}
	if c.Subject == "" {
		c.Subject = "u-" + id.Random(5)
	}
	if c.Tenant == "" {
		c.Tenant = id.DefaultTenant
	}
	if err := c.check(now); err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": c.Subject, "jti": c.ID, "iat": now.Unix(), "exp": c.Expires.Unix(),
		"watershed": map[string]any{
			"tenant": c.Tenant, "role": c.Role, "streams": nonNil(c.Streams), "rooms": nonNil(c.Rooms), "name": c.Name,
		},
	})
	return t.SignedString(secret)
}

// nonNil writes a list of nothing as [], which is not the same as leaving it out.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (c *Claims) check(now time.Time) error {
	switch {
	case !c.Expires.After(now):
		return &ClaimError{"exp", "must be in the future"}
	case c.Role < Viewer || c.Role > Admin:
		return &ClaimError{"role", "use " + strings.Join(roleNames[Viewer:], ", ")}
	case c.Tenant != AllTenants && !id.ValidTenant(c.Tenant):
		return &ClaimError{"tenant", fmt.Sprintf("%q is not a tenant's name", clip(c.Tenant))}
	case len(c.Subject) > maxWord || len(c.Name) > maxWord || len(c.ID) > maxWord:
		return &ClaimError{"sub, name or jti", fmt.Sprintf("longer than %d bytes", maxWord)}
	case strings.ContainsFunc(c.Subject+c.Name+c.ID, unicode.IsControl):
		return &ClaimError{"sub, name or jti", "has control characters"}
	}
	for claim, patterns := range map[string][]string{"streams": c.Streams, "rooms": c.Rooms} {
		for _, p := range patterns {
			if err := CheckPattern(p); err != nil {
				return &ClaimError{claim, err.Error()}
			}
		}
	}
	return nil
}
