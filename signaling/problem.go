package signaling

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// Problem is an error as clients see it: RFC 9457 problem+json. Detail says what, why and what to do.
type Problem struct {
	Type       string        `json:"type,omitempty"`
	Title      string        `json:"title"`
	Status     int           `json:"status"`
	Detail     string        `json:"detail,omitempty"`
	Stream     string        `json:"stream,omitempty"`
	RetryAfter time.Duration `json:"-"` // header Retry-After
}

func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

func problem(status int, title, detail string) *Problem {
	return &Problem{Title: title, Status: status, Detail: detail}
}

func (p *Problem) write(w http.ResponseWriter) {
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

// handleError turns what handlers return into problem+json.
func handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	var p *Problem
	var h *echo.HTTPError
	switch {
	case errors.As(err, &p):
	case errors.As(err, &h):
		p = problem(h.Code, http.StatusText(h.Code), "")
		if s, ok := h.Message.(string); ok && s != p.Title {
			p.Detail = s
		}
	default:
		p = problem(http.StatusInternalServerError, "Internal error", "something went wrong here; the log has it")
		c.Logger().Error(err)
	}
	p.write(c.Response())
}
