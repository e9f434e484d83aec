package signaling

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/sdpfrag"
)

// maxSDP bounds offers: a room's viewer with 128 m-lines has 200 kB.
const maxSDP = 256 << 10

// transport is what PATCH and DELETE act on: a viewer's or a publisher's.
type transport interface {
	Close(reason error)
	RestartICE(ufrag, password string) (ourUfrag, ourPassword string, err error)
}

// session is a WHEP or WHIP session of this node.
type session struct {
	id       string
	resource string // its path
	transport

	stream id.Stream
	does   access.Action // Watch or Publish
	who    *access.Principal
	addr   string
	since  time.Time
	viewer *sfu.Viewer     // nil for publishers
	held   *access.Session // nil for publishers, whose permit is held by ingest

	mu    sync.Mutex // guards what follows; held while ICE restarts, so that two restarts do not mix
	ufrag string     // the peer's
	etag  string     // of this ICE generation (RFC 9725 section 4.3.1)
}

// sessions are the WHEP and WHIP sessions of this node, by id.
type sessions struct {
	mu  sync.Mutex // guards the map
	all map[string]*session
}

func newSessions() sessions { return sessions{all: map[string]*session{}} }

// reserve makes room for a session that is about to begin, because it may end before it is added.
func (s *sessions) reserve(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[id] = nil
}

// add begins to hold a viewer's permission, if the viewer is still there.
func (s *sessions) add(v *session, a *access.Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.all[v.id]; !ok {
		return
	}
	s.all[v.id] = v
	if v.viewer != nil {
		v.held = a.Hold(v.who, v.does, v.stream, v.Close)
	}
}

func (s *sessions) remove(id string) {
	s.mu.Lock()
	v := s.all[id]
	delete(s.all, id)
	s.mu.Unlock()
	if v != nil && v.held != nil {
		v.held.Release()
	}
}

func (s *sessions) closeAll(reason error) {
	s.mu.Lock()
	all := make([]*session, 0, len(s.all))
	for _, v := range s.all {
		if v != nil {
			all = append(all, v)
		}
	}
	s.mu.Unlock()
	for _, v := range all {
		v.Close(reason) // it removes itself
	}
}

func (s *sessions) find(id string) (*session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.all[id]
	return v, v != nil
}

// routeSessions adds what WHIP and WHEP have in common below their path, "/whip" or "/whep".
func (s *Server) routeSessions(path string) {
	s.echo.OPTIONS(path+"/:stream", s.sessionOptions)
	s.echo.OPTIONS(path+"/:stream/:session", s.sessionOptions)
	s.echo.PATCH(path+"/:stream/:session", s.patchSession)
	s.echo.DELETE(path+"/:stream/:session", s.deleteSession)
}

// openToAll lets pages of any origin use WHIP and WHEP: what authorises is the bearer token, which no browser sends by itself.
func openToAll(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Location, ETag, Link, Accept-Patch, Retry-After")
}

// sessionOptions answers a preflight, and says what may be posted (RFC 9725 section 4.1).
func (s *Server) sessionOptions(c echo.Context) error {
	h := c.Response().Header()
	openToAll(h)
	h.Set("Access-Control-Allow-Methods", "OPTIONS, POST, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	h.Set("Access-Control-Max-Age", "600")
	h.Set("Accept-Post", "application/sdp")
	h.Set("Accept-Patch", sdpfrag.Type)
	return c.NoContent(http.StatusNoContent)
}

// acceptOf a method is the header that names the media types it takes.
var acceptOf = map[string]string{http.MethodPost: "Accept-Post", http.MethodPatch: "Accept-Patch"}

// readBody takes a request's body of one media type.
func readBody(c echo.Context, mediaType, what string) (string, error) {
	if ct, _, _ := strings.Cut(c.Request().Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(ct), mediaType) {
		c.Response().Header().Set(acceptOf[c.Request().Method], mediaType)
		return "", problem(http.StatusUnsupportedMediaType, "Wrong media type", "send "+what+" as "+mediaType)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, maxSDP))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return "", problem(http.StatusRequestEntityTooLarge, "Too large", what+" has at most 256 kB")
	case err != nil:
		return "", problem(http.StatusRequestTimeout, "Too slow", "the body did not come whole in time")
	}
	return string(body), nil
}

func readSDP(c echo.Context) (string, error) {
	openToAll(c.Response().Header())
	return readBody(c, "application/sdp", "an SDP offer")
}

// created answers an offer: 201 with the session's address and its first ETag.
func (s *Server) created(c echo.Context, v *session, answer string) error {
	v.etag = newETag()
	s.sessions.add(v, s.cfg.Access)
	h := c.Response().Header()
	h.Set("Location", v.resource)
	h.Set("ETag", v.etag)
	h.Set("Accept-Patch", sdpfrag.Type)
	h.Set("Content-Type", "application/sdp")
	for _, link := range s.cfg.TURN.Links(c.Request().Host) {
		h.Add("Link", link)
	}
	if v.viewer != nil {
		h.Add("Link", "<"+v.resource+`/layer>; rel="urn:ietf:params:whep:ext:core:layer"`)
	}
	return c.String(http.StatusCreated, answer)
}

func newETag() string { return `"` + id.Random(8) + `"` }

// resource is the address of a session; any node forwards it to the one that it names.
func (s *Server) resource(kind string, stream id.Stream, sid string) string {
	return "/" + kind + "/" + string(stream) + "/" + s.cfg.Node + "." + sid
}

// offeredUfrag is the ICE user name in an offer.
func offeredUfrag(offer string) string {
	_, after, _ := strings.Cut(offer, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(ufrag)
}

// session finds one whose address was asked for by somebody who may do what it does. The address itself is a secret that only its client got.
func (s *Server) session(c echo.Context) (*session, error) {
	p, err := s.cfg.Access.Authenticate(c.Request())
	if err != nil {
		return nil, err
	}
	_, sid, _ := strings.Cut(c.Param("session"), ".")
	v, ok := s.sessions.find(sid)
	if !ok || v.resource != c.Request().URL.Path {
		return nil, problem(http.StatusNotFound, "Unknown session", "it may have ended already")
	}
	return v, s.cfg.Access.May(p, v.does, v.stream)
}

var (
	errDeleted  = errors.New("ended by its client")
	errStopping = errors.New("this node is stopping")
)

func (s *Server) deleteSession(c echo.Context) error {
	openToAll(c.Response().Header())
	v, err := s.session(c)
	if err != nil {
		return err
	}
	v.Close(errDeleted)
	return c.NoContent(http.StatusOK)
}

// patchSession takes the peer's candidates or restarts ICE (RFC 9725 section 4.3). We are ICE-lite: the peer's checks tell its addresses, so
// candidates are read and need not be kept.
func (s *Server) patchSession(c echo.Context) error {
	openToAll(c.Response().Header())
	v, err := s.session(c)
	if err != nil {
		return err
	}
	body, err := readBody(c, sdpfrag.Type, "ICE candidates")
	if err != nil {
		return err
	}
	f, err := sdpfrag.Parse(body)
	if err != nil {
		return problem(http.StatusBadRequest, "Fragment not understood", err.Error())
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	restart := f.Ufrag != "" && f.Ufrag != v.ufrag
	switch match := c.Request().Header.Get("If-Match"); {
	case match == "":
		return problem(http.StatusPreconditionRequired, "If-Match is missing", "send If-Match with the session's ETag, or * to restart ICE")
	case match != v.etag && !(match == "*" && restart):
		return problem(http.StatusPreconditionFailed, "Not this ICE session", "ICE was restarted meanwhile: use the ETag of its answer")
	case !restart:
		return c.NoContent(http.StatusNoContent)
	}
	return s.restart(c, v, f)
}

// restart answers new credentials with ours; v.mu is held.
func (s *Server) restart(c echo.Context, v *session, f sdpfrag.Fragment) error {
	ufrag, password, err := v.RestartICE(f.Ufrag, f.Password)
	if err != nil {
		return problem(http.StatusBadRequest, "ICE restart refused", err.Error())
	}
	v.ufrag, v.etag = f.Ufrag, newETag()
	answer := sdpfrag.Fragment{Ufrag: ufrag, Password: password, Candidates: s.cfg.SFU.Port().Candidates(), End: true}
	c.Response().Header().Set("ETag", v.etag)
	return c.Blob(http.StatusOK, sdpfrag.Type, []byte(answer.String()))
}
