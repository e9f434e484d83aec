package signaling

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/sfu/leg"
	"watershed/sfu/media"
	"watershed/signaling/access"
)

func (s *Server) routeWHEP() {
	s.echo.POST("/whep/:stream", s.postWHEP)
	s.routeSessions("/whep")
	s.echo.OPTIONS("/whep/:stream/:session/layer", s.sessionOptions)
	s.echo.POST("/whep/:stream/:session/layer", s.postLayer)
}

// viewerTransport is a sfu.Viewer as a session sees it.
type viewerTransport struct{ *sfu.Viewer }

// RestartICE cannot fail: our side of ICE is only a name and a password.
func (v viewerTransport) RestartICE(ufrag, password string) (string, string, error) {
	u, p := v.Viewer.RestartICE(ufrag, password)
	return u, p, nil
}

// stream finds who asks, and the stream if they may do that to it.
func (s *Server) stream(c echo.Context, do access.Action) (*access.Principal, *sfu.Stream, error) {
	p, err := s.cfg.Access.Authenticate(c.Request())
	if err != nil {
		return nil, nil, err
	}
	name, err := id.ParseStream(c.Param("stream"))
	if err != nil {
		return nil, nil, problem(http.StatusNotFound, "Unknown stream", err.Error())
	}
	st, err := s.cfg.Access.Stream(p, do, name)
	return p, st, err
}

// postWHEP answers a viewer's offer (draft-ietf-wish-whep section 4.2).
func (s *Server) postWHEP(c echo.Context) error {
	openToAll(c.Response().Header())
	p, st, err := s.stream(c, access.Watch)
	if err != nil {
		return err
	}
	offer, err := readSDP(c)
	if err != nil {
		return err
	}
	sid := id.Random(15)
	s.sessions.reserve(sid)
	release := st.Hold("webrtc")
	v, err := s.cfg.SFU.Answer(sfu.ViewerOptions{
		Offer: offer, Prefer: codecsOf(st), Profile: profileOf(st),
		Closed: func(*sfu.Viewer, error) {
			release()
			s.sessions.remove(sid)
		},
	})
	if err != nil {
		s.sessions.remove(sid)
		release()
		if errors.Is(err, leg.ErrFull) {
			p := problem(http.StatusServiceUnavailable, "Too many join", err.Error())
			p.RetryAfter = retryFull + rand.N(retrySpread)
			return p
		}
		return problem(http.StatusBadRequest, "Offer not understood", err.Error())
	}
	if err := v.CanWatch(st); err != nil {
		v.Close(errCodec)
		return problem(http.StatusNotAcceptable, "No common codec", err.Error()+"; watch by HLS instead, or offer the source's codec")
	}
	for _, k := range []media.Kind{media.Video, media.Audio} {
		if sl := v.Slot(k); sl != nil {
			sl.Bind(st, "")
		}
	}
	return s.created(c, &session{
		id: sid, resource: s.resource("whep", st.Name, sid), transport: viewerTransport{v}, ufrag: offeredUfrag(offer),
		stream: st.Name, does: access.Watch, who: p, addr: c.Request().RemoteAddr, since: time.Now(), viewer: v,
	}, v.Answer)
}

// Viewers of a node that restarted come all at once; those who are refused come back spread over as long as it takes to shake hands with
// 10,000 of them on two cores.
const (
	retryFull   = 2 * time.Second
	retrySpread = 8 * time.Second
)

var errCodec = errors.New("no common codec")

// layerRequest is what a viewer wants of its video: all may be left out.
type layerRequest struct {
	Layer  string `json:"layer"`  // label; "" lets the server choose
	Height int    `json:"height"` // pixels of the element on the screen
	Hidden bool   `json:"hidden"` // nobody looks just now
}

// postLayer lets a viewer choose a layer, or tell what it can show, in the manner of WHEP's layer selection extension.
func (s *Server) postLayer(c echo.Context) error {
	openToAll(c.Response().Header())
	r := c.Request()
	r.URL.Path = strings.TrimSuffix(r.URL.Path, "/layer")
	v, err := s.session(c)
	if err != nil {
		return err
	}
	body, err := readBody(c, "application/json", "a layer request")
	if err != nil {
		return err
	}
	var want layerRequest
	if err := json.Unmarshal([]byte(body), &want); err != nil || want.Height < 0 {
		return problem(http.StatusBadRequest, "Not a layer request", `send {"layer":"low"}, {"height":360} or {"hidden":true}`)
	}
	sl := v.viewer.Slot(media.Video)
	st, ok := s.cfg.SFU.Stream(v.stream)
	if sl == nil || !ok {
		return problem(http.StatusNotFound, "No video", "this session carries none")
	}
	if want.Layer != "" && !st.HasLayer(want.Layer) {
		return problem(http.StatusNotFound, "Unknown layer", "the stream has no layer "+want.Layer+" just now")
	}
	sl.Bind(st, want.Layer)
	sl.Hint(sfu.Hint{Height: want.Height, Hidden: want.Hidden})
	return c.NoContent(http.StatusNoContent)
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
