package signaling

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"watershed/sfu"
	"watershed/sfu/transcode"
	"watershed/signaling/access"
)

// Headers of a still, beside HTTP's own.
const (
	headerPictureTime = "X-Watershed-Time"        // when the picture was taken: the stream's server time, RFC 3339 with milliseconds
	headerPlaceholder = "X-Watershed-Placeholder" // the picture is a placeholder, and why: never-live, no-ffmpeg, busy or failed
)

func (s *Server) routeSnapshot() {
	s.echo.GET("/api/v1/streams/:stream/snapshot", s.getSnapshot)
	s.echo.HEAD("/api/v1/streams/:stream/snapshot", s.getSnapshot)
	s.echo.OPTIONS("/api/v1/streams/:stream/snapshot", snapshotOptions)
}

// snapshotOptions answers the preflight of a page elsewhere that has a player and a token.
func snapshotOptions(c echo.Context) error {
	h := c.Response().Header()
	openToAll(h)
	h.Set("Access-Control-Allow-Methods", "OPTIONS, HEAD, GET")
	h.Set("Access-Control-Allow-Headers", "Authorization, If-None-Match, If-Modified-Since")
	h.Set("Access-Control-Max-Age", "600")
	return c.NoContent(http.StatusNoContent)
}

// getSnapshot answers with a recent still of the stream as JPEG, or with a placeholder as SVG when there is none. With at= (RFC 3339, or seconds
// since 1970) it is the last keyframe at or before that time.
func (s *Server) getSnapshot(c echo.Context) error {
	openToAll(c.Response().Header())
	c.Response().Header().Add("Access-Control-Expose-Headers", headerPictureTime+", "+headerPlaceholder)
	_, st, err := s.stream(c, access.Watch)
	if err != nil {
		return err
	}
	if at := c.QueryParam("at"); at != "" {
		return s.pictureAt(c, st, at)
	}
	if s.cfg.Stills == nil {
		return placeholder(c, st, transcode.ErrNoFFmpeg)
	}
	still, err := s.cfg.Stills.Picture(c.Request().Context(), st)
	if err != nil {
		return placeholder(c, st, err)
	}
	return sendStill(c, st, still, "max-age=5, stale-while-revalidate=10") // a new one is made every 10 s at most
}

// settled is the age from which the last keyframe before a time is known for good: what is recorded is listed by then.
const settled = time.Minute

// inFuture is how far a client's clock may be ahead of ours.
const inFuture = 10 * time.Second

func (s *Server) pictureAt(c echo.Context, st *sfu.Stream, at string) error {
	t, err := parseTime(at)
	if err != nil {
		return problem(http.StatusBadRequest, "Time not understood", err.Error())
	}
	if time.Until(t) > inFuture {
		return problem(http.StatusBadRequest, "Time in the future", "there is no picture of "+at+" yet")
	}
	if s.cfg.Stills == nil {
		return problem(http.StatusNotImplemented, "No pictures here", transcode.ErrNoFFmpeg.Error())
	}
	still, err := s.cfg.Stills.At(c.Request().Context(), st, t)
	switch {
	case err == nil && time.Since(t) > settled:
		return sendStill(c, st, still, "max-age=86400, immutable")
	case err == nil:
		return sendStill(c, st, still, "max-age=5")
	case errors.Is(err, transcode.ErrPast):
		return problem(http.StatusNotFound, "Not kept", "there is no picture of "+at+": a stream is kept for some seconds, and longer where it is recorded")
	case errors.Is(err, transcode.ErrBusy):
		p := problem(http.StatusServiceUnavailable, "Too many pictures at once", err.Error())
		p.RetryAfter = 5 * time.Second
		return p
	case s.cfg.Stills.Err() != nil:
		return problem(http.StatusNotImplemented, "No pictures here", err.Error())
	}
	return problem(http.StatusBadGateway, "No picture", "the stream's picture could not be decoded; the log says why")
}

// parseTime reads RFC 3339 or Unix seconds, which may have a fraction.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1e11 {
		return time.Time{}, errors.New("a time is written like 2006-01-02T15:04:05Z, or as seconds since 1970")
	}
	return time.UnixMilli(int64(f * 1000)), nil
}

func sendStill(c echo.Context, st *sfu.Stream, still *transcode.Still, keep string) error {
	h := c.Response().Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Cache-Control", cacheable(st)+", "+keep)
	h.Set("ETag", still.ETag)
	h.Set(headerPictureTime, still.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	http.ServeContent(c.Response(), c.Request(), "", still.Time, bytes.NewReader(still.JPEG))
	return nil
}

// cacheable says who may keep a stream's picture.
func cacheable(st *sfu.Stream) string {
	if st.Spec().Public {
		return "public"
	}
	return "private"
}

// placeholder is what is shown in place of a picture: quiet water, so that it fits any page, and the reason for those who look closely.
func placeholder(c echo.Context, st *sfu.Stream, why error) error {
	reason, text := "failed", "no picture"
	switch {
	case errors.Is(why, transcode.ErrNoPicture):
		reason, text = "never-live", "not live yet"
	case errors.Is(why, transcode.ErrNoFFmpeg):
		reason, text = "no-ffmpeg", "pictures need FFmpeg on the server"
	case errors.Is(why, transcode.ErrBusy):
		reason, text = "busy", "picture follows"
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set(headerPlaceholder, reason)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	return c.Blob(http.StatusOK, "image/svg+xml", fmt.Appendf(nil, placeholderSVG, st.Name, text))
}

// placeholderSVG takes the stream's name, which has no character that XML minds, and a line below it.
const placeholderSVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" role="img">
<rect width="640" height="360" fill="#12202b"/>
<path d="M0 236q80-22 160 0t160 0 160 0 160 0v124H0z" fill="#173042"/>
<path d="M0 278q80-18 160 0t160 0 160 0 160 0v82H0z" fill="#1c3b50"/>
<g fill="#8fb3c7" font-family="system-ui,sans-serif" text-anchor="middle"><text x="320" y="104" font-size="30">%s</text>
<text x="320" y="136" font-size="18" opacity=".7">%s</text></g>
</svg>
`
