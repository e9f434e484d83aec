package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/problem"
)

// Config of the API.
type Config struct {
	SFU     *sfu.SFU
	Access  *access.Access
	Secret  []byte // that tokens are signed with
	Streams Streams
	Rooms   Rooms
	Viewers Viewers
	Nodes   func() []Node
	Files   func(id.Stream) bool // declared by the configuration file
	Schemes []string             // of URLs that can be pulled
	Formats map[string]string    // of what /play offers: name to path, in which {stream} is the stream
	Log     *slog.Logger

	Recording func(*sfu.Stream) (state, message string) // how a stream's recording does; nil: nothing is recorded
}

// API serves /api/v1.
type API struct {
	cfg  Config
	spec []byte // openapi.json

	mu      sync.Mutex             // guards applied; held while streams are declared
	applied map[id.Stream]sfu.Spec // what this node was told to have, by the records
}

// New API. Route registers it, Run keeps the node's streams what the records say.
func New(cfg Config) *API {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &API{cfg: cfg, spec: openAPI(), applied: map[id.Stream]sfu.Spec{}}
}

// Run applies the records of streams to this node until ctx ends.
func (a *API) Run(ctx context.Context) error {
	a.cfg.Streams.Watch(ctx, a.apply)
	return nil
}

// Route adds the API to a server.
func (a *API) Route(e *echo.Echo) {
	seen := map[string][]string{}
	for _, ep := range endpoints {
		if ep.handle == nil {
			continue
		}
		e.Add(ep.method, prefix+ep.path, a.serve(ep))
		if ep.method == http.MethodGet {
			e.HEAD(prefix+ep.path, a.serve(ep))
		}
		seen[ep.path] = append(seen[ep.path], ep.method)
	}
	for path, methods := range seen {
		e.OPTIONS(prefix+path, preflight(strings.Join(methods, ", ")))
	}
	e.Match([]string{http.MethodGet, http.MethodHead}, prefix+"/openapi.json", a.openAPI)
}

// openToAll lets pages of any origin use the API: nothing here works by a cookie, so a foreign page can do no more than its own program could.
func openToAll(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "ETag, Link, Location, Retry-After")
}

func preflight(methods string) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		openToAll(h)
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, If-None-Match")
		h.Set("Access-Control-Max-Age", "600")
		return c.NoContent(http.StatusNoContent)
	}
}

// call is one request on its way through a handler.
type call struct {
	echo.Context
	ctx    context.Context
	who    *access.Principal
	name   id.Stream   // of the path's stream or room
	stream *sfu.Stream // if the endpoint wants an existing one
	status int
	etag   string
	at     string // Location
}

// serve asks for permission by the endpoint's line, runs it and writes its answer.
func (a *API) serve(ep endpoint) echo.HandlerFunc {
	return func(e echo.Context) error {
		h := e.Response().Header()
		openToAll(h)
		h.Set("Cache-Control", "no-store")
		c := &call{Context: e, ctx: e.Request().Context(), status: ep.status}
		if c.status == 0 {
			c.status = http.StatusOK
		}
		if err := a.permit(ep, c); err != nil {
			return err
		}
		answer, err := ep.handle(a, c)
		if err != nil {
			return a.explain(err)
		}
		return c.write(answer)
	}
}

func (a *API) permit(ep endpoint, c *call) (err error) {
	if ep.path == "/tokens/redeem" {
		return nil // the ticket is the credential
	}
	if c.who, err = a.cfg.Access.Authenticate(c.Request()); err != nil {
		return err
	}
	if raw := c.Param("stream") + c.Param("room"); raw != "" {
		if c.name, err = id.ParseStream(raw); err != nil {
			return problem.New(http.StatusNotFound, "Unknown name", err.Error())
		}
	}
	switch {
	case ep.do == "":
		return nil
	case ep.existing:
		c.stream, err = a.cfg.Access.Stream(c.who, ep.do, c.name)
		return err
	}
	return a.cfg.Access.May(c.who, ep.do, c.name)
}

// unescaped is a part of the path. Echo gives it as it was sent where net/url kept that, which it does when it was escaped in an unusual way.
func (c *call) unescaped(name string) string {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}

func (c *call) write(answer any) error {
	h := c.Response().Header()
	if c.etag != "" {
		h.Set("ETag", c.etag)
	}
	if c.at != "" {
		h.Set("Location", c.at)
	}
	if answer == nil {
		return c.NoContent(c.status)
	}
	return c.JSON(c.status, answer)
}

// explain makes a problem of what the records say.
func (a *API) explain(err error) error {
	switch {
	case errors.Is(err, ErrConflict):
		return problem.New(http.StatusPreconditionFailed, "Changed meanwhile", "somebody else changed it: read it again, then repeat with its new ETag")
	case errors.Is(err, ErrNotFound):
		return problem.New(http.StatusNotFound, "Not found", "it may have been deleted already")
	case errors.Is(err, ErrNoLeader), errors.Is(err, context.DeadlineExceeded):
		p := problem.New(http.StatusServiceUnavailable, "Cannot decide now", "the cluster has no leader at this moment; try again")
		p.RetryAfter = retryDecision
		return p
	}
	return err
}

// maxBody bounds what is sent: a stream with 50 inputs has 10 kB.
const maxBody = 64 << 10

// read takes the request's body; an error names the field that is wrong.
func (c *call) read(into any) error {
	if t, _, _ := mime.ParseMediaType(c.Request().Header.Get("Content-Type")); t != "application/json" {
		return problem.New(http.StatusUnsupportedMediaType, "Wrong media type", "send the body as application/json")
	}
	d := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("something follows the object")
	}
	return badBody(err)
}

func badBody(err error) error {
	var wrongType *json.UnmarshalTypeError
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return problem.New(http.StatusRequestEntityTooLarge, "Too large", "a body has at most 64 kB")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem.New(http.StatusRequestTimeout, "Too slow", "the body did not come whole in time")
	case errors.As(err, &wrongType):
		return problem.BadField(wrongType.Field, fmt.Sprintf("a %s is not wanted here", wrongType.Value))
	case errors.Is(err, io.EOF):
		return problem.New(http.StatusBadRequest, "No body", "send a JSON object")
	}
	if field, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok {
		return problem.BadField(strings.TrimSuffix(field, `"`), "there is no such field")
	}
	return problem.New(http.StatusBadRequest, "Not JSON", err.Error())
}
