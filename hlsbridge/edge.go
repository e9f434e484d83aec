package hlsbridge

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"watershed/hlsbridge/shield"
	"watershed/sfu/id"
	"watershed/signaling/problem"
)

// openShields makes the shields that a configuration asks for. One that cannot be is left out, and said.
func openShields(origins map[id.Stream]string, log *slog.Logger) map[id.Stream]*shield.Shield {
	all := map[id.Stream]*shield.Shield{}
	for name, origin := range origins {
		s, err := shield.New(shield.Config{Origin: origin})
		if err != nil {
			log.Error("hls: a shield is left out", "stream", name, "error", err)
			continue
		}
		all[name] = s
	}
	return all
}

// query is the directives in their one form: what a cache's key may have of a query.
func (d *directives) query() string {
	var q []string
	if d.block {
		q = append(q, fmt.Sprintf("_HLS_msn=%d", d.msn))
	}
	if d.part >= 0 {
		q = append(q, fmt.Sprintf("_HLS_part=%d", d.part))
	}
	if d.skip {
		q = append(q, "_HLS_skip=YES")
	}
	return strings.Join(q, "&")
}

// serveShielded answers from the cache of another origin's stream, at once or when the object has come.
func (b *Bridge) serveShielded(w http.ResponseWriter, r *http.Request, s *shield.Shield, kind, file string) {
	if kind != "hls" {
		notFound(w, "a shielded stream is there as HLS only")
		return
	}
	query := ""
	if strings.HasSuffix(file, ".m3u8") {
		d, err := parseDirectives(r.URL.RawQuery)
		if err != nil {
			fail(w, http.StatusBadRequest, "Not a valid reload", err.Error())
			return
		}
		query = d.query()
	}
	if !shield.Plain(file) {
		problem.New(http.StatusNotFound, "Not found", "no file has such a name").Write(w)
		return
	}
	answer := func(o *shield.Object) {
		if o.Err() != nil {
			unavailable(w, "the stream's origin does not answer; it is tried again")
			return
		}
		o.Write(w, r)
	}
	o := s.Object(file, query)
	select {
	case <-o.Done():
		answer(o)
		return
	default:
	}
	if later := postponable(w); later != nil {
		x := &shield.Waiter{Answer: finishing(b, later, r, answer)}
		later.Postpone(func() { s.Leave(o, x) })
		s.Join(o, x)
		return
	}
	select {
	case <-o.Done():
		answer(o)
	case <-r.Context().Done():
	}
}
