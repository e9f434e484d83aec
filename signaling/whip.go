package signaling

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/whip"
)

func (s *Server) routeWHIP() {
	s.echo.POST("/whip/:stream", s.postWHIP)
	s.routeSessions("/whip")
}

// postWHIP answers a publisher's offer (RFC 9725 section 4.2).
func (s *Server) postWHIP(c echo.Context) error {
	name, err := id.ParseStream(c.Param("stream"))
	if err != nil {
		return problem(http.StatusNotFound, "Unknown stream", err.Error())
	}
	offer, err := readSDP(c)
	if err != nil {
		return err
	}
	p := ingest.Publish{
		Stream: name, Protocol: "whip", Token: bearer(c.Request()), Addr: c.RealIP(), Takeover: c.QueryParam("takeover") == "1",
	}
	permit, err := s.cfg.Admit(c.Request().Context(), p)
	if err != nil {
		return s.refused(p, err)
	}
	return s.publish(c, permit, p, offer)
}

func (s *Server) publish(c echo.Context, permit *ingest.Permit, p ingest.Publish, offer string) error {
	st := permit.Stream
	sid := id.Random(15)
	s.sessions.reserve(sid)
	ctx := context.WithoutCancel(c.Request().Context()) // the session outlives the request
	v, err := s.cfg.Publishers.Answer(ctx, whip.Options{
		Permit: permit, Offer: offer, Name: "whip from " + p.Addr,
		Closed: func(_ *whip.Session, reason error) {
			s.sessions.remove(sid)
			s.cfg.Log.Info("publisher left", "stream", st.Name, "protocol", "whip", "reason", reason)
		},
	})
	if err != nil {
		s.sessions.remove(sid)
		return s.refused(p, err)
	}
	s.cfg.Log.Info("publisher came", "stream", st.Name, "protocol", "whip", "from", p.Addr)
	return s.created(c, &session{
		id: sid, resource: s.resource("whip", st.Name, sid), transport: v, ufrag: offeredUfrag(offer),
	}, v.Answer)
}

// refused tells a publisher, and the log, why not.
func (s *Server) refused(p ingest.Publish, err error) error {
	s.cfg.Log.Warn("publisher refused", "stream", p.Stream, "protocol", p.Protocol, "from", p.Addr, "reason", err)
	var offer *whip.OfferError
	status := ingest.Status(err)
	title := http.StatusText(status)
	switch {
	case errors.As(err, &offer):
		status, title = http.StatusBadRequest, "Offer not understood"
	case status == http.StatusConflict:
		title = "Stream is taken"
	case status == http.StatusInternalServerError:
		return err
	}
	q := problem(status, title, err.Error())
	q.Stream = string(p.Stream)
	return q
}

// bearer is the token of an Authorization header, or "".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
