package ops

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// Health answers whoever decides about restarts (/healthz) and about new viewers (/readyz). The zero value is alive and not ready.
type Health struct{ ready atomic.Bool }

// Ready says whether the node takes new viewers: not before its ports are open, and no longer once it was asked to end.
func (h *Health) Ready(ok bool) { h.ready.Store(ok) }

// Alive is the handler of /healthz: the process answers.
func (h *Health) Alive(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive") }

// Takes is the handler of /readyz.
func (h *Health) Takes(w http.ResponseWriter, _ *http.Request) {
	if h.ready.Load() {
		say(w, http.StatusOK, "ready")
	} else {
		say(w, http.StatusServiceUnavailable, "not ready: starting, or about to end")
	}
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
