package signaling

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"watershed/sfu"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/whip"
	"watershed/sfu/transcode"
	"watershed/signaling/access"
	problems "watershed/signaling/problem"
	"watershed/signaling/turn"
)

// Config of the server.
type Config struct {
	SFU        *sfu.SFU
	Publishers *whip.Server
	Access     *access.Access
	Admit      ingest.Admit      // who may publish
	Stills     *transcode.Stills // nil: placeholders only
	TURN       *turn.Server      // nil: no relay
	Node       string            // this node's id, part of session addresses
	Log        *slog.Logger
}

// Server is the node's HTTP face.
type Server struct {
	cfg      Config
	echo     *echo.Echo
	sessions sessions
}

// New returns a server whose Handler is ready.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, echo: echo.New(), sessions: newSessions()}
	e := s.echo
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = problems.Handler(cfg.Log)
	e.IPExtractor = echo.ExtractIPDirect() // anybody can write X-Forwarded-For
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{DisableStackAll: true, LogErrorFunc: problems.Panicked(cfg.Log)}))
	e.Use(bodyWithin(bodyPatience))
	s.routeWHEP()
	s.routeWHIP()
	s.routeSnapshot()
	return s
}

// bodyPatience is how long a request's body may take: an offer over a slow mobile network needs two seconds.
const bodyPatience = 10 * time.Second

// bodyWithin cuts off those who send a byte now and then, each of whom would keep a connection and a goroutine. HTTP's own ReadTimeout would
// end long answers, too.
func bodyWithin(patience time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if r := c.Request(); r.Body != nil && r.Body != http.NoBody {
				rc := http.NewResponseController(c.Response())
				if rc.SetReadDeadline(time.Now().Add(patience)) == nil {
					r.Body = &hurried{r.Body, rc}
				}
			}
			return next(c)
		}
	}
}

// hurried is a body with a deadline, which ends with it: later it would end the request.
type hurried struct {
	io.ReadCloser
	conn *http.ResponseController
}

func (h *hurried) Read(b []byte) (int, error) {
	n, err := h.ReadCloser.Read(b)
	if err == io.EOF {
		h.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// Run ends the WHEP and WHIP sessions when ctx ends.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.sessions.closeAll(errStopping)
	return nil
}

// Handler of all routes.
func (s *Server) Handler() http.Handler { return s.echo }

// Echo lets cmd add routes of other packages.
func (s *Server) Echo() *echo.Echo { return s.echo }
