package signaling

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"watershed/sfu"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/whip"
	"watershed/sfu/transcode"
	"watershed/signaling/access"
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
	e.HTTPErrorHandler = handleError
	e.IPExtractor = echo.ExtractIPDirect() // anybody can write X-Forwarded-For
	e.Use(middleware.Recover())
	s.routeWHEP()
	s.routeWHIP()
	s.routeSnapshot()
	return s
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
