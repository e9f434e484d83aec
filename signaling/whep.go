package signaling

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/media"
)

// maxSDP bounds offers: a room's viewer with 128 m-lines has 200 kB.
const maxSDP = 256 << 10

// sessions are the WHEP and WHIP sessions of this node, by id.
type sessions struct {
	mu  sync.Mutex // guards the map
	all map[string]session
}

// session is what DELETE and PATCH act on.
type session interface {
	Close(reason error)
	RestartICE(ufrag, password string) (ourUfrag, ourPassword string)
}

func newSessions() sessions { return sessions{all: map[string]session{}} }

func (s *sessions) add(id string, v session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[id] = v
}

func (s *sessions) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
}

func (s *sessions) find(id string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.all[id]
	return v, ok
}

func (s *Server) routeWHEP() {
	s.echo.POST("/whep/:stream", s.postWHEP)
	s.echo.DELETE("/whep/:stream/:session", s.deleteSession)
}

// readSDP takes an offer from a request's body.
func readSDP(c echo.Context) (string, error) {
	if ct, _, _ := strings.Cut(c.Request().Header.Get("Content-Type"), ";"); ct != "application/sdp" {
		return "", problem(http.StatusUnsupportedMediaType, "Not an SDP offer", "send the offer as application/sdp")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, maxSDP))
	if err != nil {
		return "", problem(http.StatusRequestEntityTooLarge, "Offer too large", "an SDP offer has at most 256 kB")
	}
	return string(body), nil
}

func (s *Server) stream(c echo.Context) (*sfu.Stream, error) {
	name, err := id.ParseStream(c.Param("stream"))
	if err != nil {
		return nil, problem(http.StatusNotFound, "Unknown stream", err.Error())
	}
	st, ok := s.cfg.SFU.Stream(name)
	if !ok {
		return nil, problem(http.StatusNotFound, "Unknown stream", "there is no stream "+string(name))
	}
	return st, nil
}

// postWHEP answers a viewer's offer (draft-ietf-wish-whep section 4.2).
func (s *Server) postWHEP(c echo.Context) error {
	st, err := s.stream(c)
	if err != nil {
		return err
	}
	offer, err := readSDP(c)
	if err != nil {
		return err
	}
	sid := id.Random(15)
	release := st.Hold("webrtc")
	v, err := s.cfg.SFU.Answer(sfu.ViewerOptions{
		Offer: offer, Prefer: codecsOf(st), Profile: profileOf(st),
		Closed: func(*sfu.Viewer, error) {
			release()
			s.sessions.remove(sid)
		},
	})
	if err != nil {
		release()
		return problem(http.StatusBadRequest, "Offer not understood", err.Error())
	}
	s.sessions.add(sid, v)
	for _, k := range []media.Kind{media.Video, media.Audio} {
		if sl := v.Slot(k); sl != nil {
			sl.Bind(st, "")
		}
	}
	h := c.Response().Header()
	h.Set("Location", "/whep/"+string(st.Name)+"/"+s.cfg.Node+"."+sid)
	h.Set("Content-Type", "application/sdp")
	return c.String(http.StatusCreated, v.Answer)
}

// codecsOf lists what the stream sends just now, so that the answer's first codec is the one that comes.
func codecsOf(st *sfu.Stream) (codecs []media.Codec) {
	for _, k := range []media.Kind{media.Video, media.Audio} {
		if t := st.Track(k); t != nil {
			for _, l := range t.Layers() {
				codecs = append(codecs, l.Codec)
			}
		}
	}
	return codecs
}

// profileOf is the profile-level-id of the stream's H.264 (RFC 6184 section 8.1), or "".
func profileOf(st *sfu.Stream) string {
	t := st.Track(media.Video)
	if t == nil || len(t.Layers()) == 0 {
		return ""
	}
	cfg := t.Layers()[0].Config()
	if cfg.Codec != media.H264 || len(cfg.SPS) < 4 {
		return ""
	}
	const hex = "0123456789abcdef"
	var b strings.Builder
	for _, x := range cfg.SPS[1:4] {
		b.WriteByte(hex[x>>4])
		b.WriteByte(hex[x&15])
	}
	return b.String()
}

var errDeleted = errors.New("ended by its client")

func (s *Server) deleteSession(c echo.Context) error {
	_, sid, _ := strings.Cut(c.Param("session"), ".")
	v, ok := s.sessions.find(sid)
	if !ok {
		return problem(http.StatusNotFound, "Unknown session", "it may have ended already")
	}
	v.Close(errDeleted)
	return c.NoContent(http.StatusOK)
}
