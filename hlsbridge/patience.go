package hlsbridge

import (
	"net/http"
	"time"

	"watershed/hlsbridge/lane"
)

// patient gives the client of a response that net/http sends lane.SendTime to take each piece of it. Without this, one that reads nothing would hold a goroutine,
// a connection and a segment for ever: the http.Server has no limit of its own, as responses without end could not have one.
type patient struct {
	http.ResponseWriter
	time time.Duration
	set  time.Time // when the deadline was moved last
	own  bool      // the handler sets deadlines itself
}

// withPatience bounds a response's writes, if they are not package lane's, which sees to its own.
func withPatience(w http.ResponseWriter) http.ResponseWriter {
	if postponable(w) != nil {
		return w
	}
	return newPatient(w, lane.SendTime)
}

func newPatient(w http.ResponseWriter, d time.Duration) *patient {
	p := &patient{ResponseWriter: w, time: d}
	p.renew()
	return p
}

// renew moves the deadline. It may be some seconds early, for with HTTP/2 that is a message to another goroutine less for each piece.
func (p *patient) renew() {
	now := time.Now()
	if p.own || now.Sub(p.set) < p.time/8 {
		return
	}
	p.set = now
	http.NewResponseController(p.ResponseWriter).SetWriteDeadline(now.Add(p.time)) // what cannot, has no client that is slow: a test's recorder
}

func (p *patient) Write(b []byte) (int, error) {
	p.renew()
	return p.ResponseWriter.Write(b)
}

// FlushError is for http.ResponseController, as what follows.
func (p *patient) FlushError() error {
	p.renew()
	return http.NewResponseController(p.ResponseWriter).Flush()
}

// SetWriteDeadline is of handlers that know better.
func (p *patient) SetWriteDeadline(t time.Time) error {
	p.own = true
	return http.NewResponseController(p.ResponseWriter).SetWriteDeadline(t)
}

func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// forgetPatience takes the bridge's deadline from a connection that asks for something else now: with HTTP/1 it outlives the response.
func forgetPatience(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}
