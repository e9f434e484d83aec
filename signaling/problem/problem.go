// Package problem is an error as clients see it: RFC 9457 problem+json.
package problem

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// Problem is what a request failed for. Detail says what, why and what to do.
type Problem struct {
	Type       string        `json:"type,omitempty"`
	Title      string        `json:"title"`
	Status     int           `json:"status"`
	Detail     string        `json:"detail,omitempty"`
	Stream     string        `json:"stream,omitempty"`
	Field      string        `json:"field,omitempty"` // of the request's body that is wrong
	RetryAfter time.Duration `json:"-"`               // header Retry-After
}

func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// New problem of an HTTP status.
func New(status int, title, detail string) *Problem {
	return &Problem{Title: title, Status: status, Detail: detail}
}

// BadField is a request whose body has one wrong field.
func BadField(field, detail string) *Problem {
	return &Problem{Status: http.StatusUnprocessableEntity, Title: "Not valid", Field: field, Detail: field + ": " + detail}
}

// Write answers a request.
func (p *Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.RetryAfter.Round(time.Second)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="watershed"`)
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

// Of finds the problem in what a handler returned; anything unknown is an internal error that says nothing.
func Of(err error) (p *Problem, known bool) {
	var h *echo.HTTPError
	switch {
	case errors.As(err, &p):
		return p, true
	case errors.As(err, &h):
		p = New(h.Code, http.StatusText(h.Code), "")
		if h.Code == http.StatusNotFound {
			p.Detail = "there is nothing at this address"
		}
		if s, ok := h.Message.(string); ok && s != p.Title {
			p.Detail = s
		}
		return p, true
	}
	return New(http.StatusInternalServerError, "Internal error", "something went wrong here; the log has it"), false
}

// Handler turns what echo's handlers return into problem+json. What is our own fault goes to the log.
func Handler(log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		p, known := Of(err)
		if !known {
			log.Error("request failed", "method", c.Request().Method, "route", c.Path(), "error", err)
		}
		if allowed := c.Response().Header().Get("Allow"); p.Status == http.StatusMethodNotAllowed && allowed != "" {
			p = New(p.Status, p.Title, "this address takes "+allowed)
		}
		p.Write(c.Response())
	}
}

// Panicked is what a request that panicked is answered with, after the log was told. It fits echo's Recover.
func Panicked(log *slog.Logger) func(c echo.Context, err error, stack []byte) error {
	return func(c echo.Context, err error, stack []byte) error {
		log.Error("panic in a request", "method", c.Request().Method, "route", c.Path(), "panic", err, "stack", string(stack))
		p, _ := Of(nil)
		return p
	}
}
