package signaling

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"watershed/sfu/id"
	"watershed/sfu/ingest"
	"watershed/sfu/ingest/whip"
	"watershed/signaling/access"
)

func (s *Server) routeWHIP() {
	s.echo.POST("/whip/:stream", s.postWHIP)
	s.routeSessions("/whip")
}

// postWHIP answers a publisher's offer (RFC 9725 section 4.2).
func (s *Server) postWHIP(c echo.Context) error {
	openToAll(c.Response().Header())
	who, err := s.cfg.Access.Authenticate(c.Request())
	if err != nil {
		return err
	}
	name, err := id.ParseStream(c.Param("stream"))
	if err != nil {
		return problem(http.StatusNotFound, "Unknown stream", err.Error())
	}
	if err := s.cfg.Access.May(who, access.Publish, name); err != nil { // before the body: it costs more
		return err
	}
	offer, err := readSDP(c)
	if err != nil {
		return err
	}
	p := ingest.Publish{Stream: name, Protocol: "whip", Addr: c.Request().RemoteAddr, Takeover: c.QueryParam("takeover") == "1"}
	permit, err := s.cfg.Admit(access.With(c.Request().Context(), who), p)
	if err != nil {
		return s.refused(p, err)
	}
	return s.publish(c, who, permit, p, offer)
}

func (s *Server) publish(c echo.Context, who *access.Principal, permit *ingest.Permit, p ingest.Publish, offer string) error {
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
		stream: st.Name, does: access.Publish, who: who, addr: p.Addr, since: time.Now(),
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
