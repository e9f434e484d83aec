package socket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coder/websocket"

	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/chat"
	"watershed/signaling/room"
)

// Times of a socket.
const (
	helloWithin = 5 * time.Second
	heartbeat   = 25 * time.Second
	silence     = heartbeat * 5 / 2
	writeWithin = 10 * time.Second
	closeWithin = 2 * time.Second // what is queued is written and the peer has said goodbye, or the connection is cut
)

// Frames a second that a client may send, and how often it may exceed that, or the size of a frame, before it is cut off.
const (
	frameRate, frameBurst   = 20, 40
	strikeRate, strikeBurst = 1, 60
)

// conn is one socket.
type conn struct {
	server  *Server
	id      string // of the session
	request *http.Request
	ws      *websocket.Conn
	queue   *queue
	log     *slog.Logger
	ctx     context.Context // its end cuts the connection
	cut     context.CancelFunc

	// Set by hello, not changed after it.
	who   *access.Principal
	user  string
	name  string
	guest bool

	frames, strikes chat.Bucket // the reader's own

	ending sync.Once
	code   int // of the close; set before the queue is closed
	reason string
	kill   *time.Timer

	mu         sync.Mutex // guards what follows; nothing is called while it is held
	rooms      map[id.Stream]*place
	publishers map[string]*publisher // by source
	viewer     *viewer
	held       *access.Session // the token
}

func newConn(s *Server, r *http.Request) *conn {
	c := &conn{
		server: s, id: id.Random(10), request: r, queue: newQueue(),
		frames: chat.Bucket{Rate: frameRate, Burst: frameBurst}, strikes: chat.Bucket{Rate: strikeRate, Burst: strikeBurst},
		rooms: map[id.Stream]*place{}, publishers: map[string]*publisher{},
	}
	c.log = s.cfg.Log.With("session", c.id)
	c.ctx, c.cut = context.WithCancel(context.Background())
	return c
}

// serve the socket until it has ended.
func (c *conn) serve(ws *websocket.Conn) {
	c.ws = ws
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer c.survive()
		c.write()
	}()
	defer func() {
		c.leaveEverything()
		c.end(int(websocket.StatusNormalClosure), "")
		<-written
		c.kill.Stop()
	}()
	defer c.survive()
	c.read()
}

// survive is deferred by a socket's goroutines: an error of ours in one of them ends this socket, not the node.
func (c *conn) survive() {
	if r := recover(); r != nil {
		c.log.Error("panic in a socket", "panic", r, "stack", string(debug.Stack()))
		c.end(int(websocket.StatusInternalError), "something went wrong here")
	}
}

// Send puts a frame into the queue. A client that does not read is closed: nobody waits for it.
func (c *conn) Send(frame []byte) {
	if !c.queue.put(frame) {
		c.end(closeSlow, "too slow in reading")
	}
}

// end closes the socket after what is queued was written. Only the first call counts; it does not wait.
func (c *conn) end(code int, reason string) {
	c.ending.Do(func() {
		c.code, c.reason = code, reason
		c.server.metrics.closed(code)
		c.kill = time.AfterFunc(closeWithin, c.cut)
		c.queue.close(code == closeSlow)
	})
}

// write is the writing side.
func (c *conn) write() {
	defer c.cut()
	for {
		frames, done := c.queue.take()
		for _, f := range frames {
			if !c.writeOne(f) {
				c.queue.close(true)
				return
			}
		}
		if done {
			break
		}
		if len(frames) > 0 {
			continue
		}
		select {
		case <-c.queue.ready:
		case <-c.ctx.Done():
			return
		}
	}
	c.ws.Close(websocket.StatusCode(c.code), c.reason)
}

func (c *conn) writeOne(frame []byte) bool {
	ctx, cancel := context.WithTimeout(c.ctx, writeWithin)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, frame) == nil
}

// errTooLarge is a frame that was read to its end and thrown away.
var errTooLarge = errors.New("frame too large")

// next reads one frame.
func (c *conn) next() ([]byte, error) {
	kind, r, err := c.ws.Reader(c.ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		c.end(int(websocket.StatusUnsupportedData), "frames are text")
		return nil, errNotJSON
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxOffer+1))
	if err != nil || len(raw) <= maxOffer {
		return raw, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return nil, errTooLarge
}

// read is the reading side; it returns when the socket is to end.
func (c *conn) read() {
	if !c.greet() {
		return
	}
	silent := time.AfterFunc(c.server.silence, func() { c.end(closeSlow, "nothing heard for too long") })
	defer silent.Stop()
	for {
		raw, err := c.next()
		silent.Reset(c.server.silence)
		switch {
		case errors.Is(err, errTooLarge):
			c.fail(request{}, faultf("too-large", "a frame has at most %d kB, an offer %d kB", maxFrame>>10, maxOffer>>10))
			if !c.strike(time.Now()) {
				return
			}
		case err != nil:
			return
		case !c.handle(raw):
			return
		}
	}
}

// handle one frame; false ends the socket.
func (c *conn) handle(raw []byte) bool {
	now := time.Now()
	wait, ok := c.frames.Take(now)
	if !ok && !c.strike(now) {
		return false
	}
	r, err := parse(raw)
	switch {
	case errors.Is(err, errNotJSON):
		c.end(int(websocket.StatusInvalidFramePayloadData), err.Error())
		return false
	case !ok:
		err = &room.Refusal{Code: "rate", Text: "too many frames a second", Retry: max(wait, time.Millisecond)}
	case err == nil && len(raw) > maxFrame && r.T != "view" && r.T != "publish":
		err = faultf("too-large", "a frame without an offer has at most %d kB", maxFrame>>10)
		if !c.strike(now) {
			return false
		}
	}
	if err == nil {
		if do := handlerOf(r.T); do != nil {
			err = do(c, &r)
		} else {
			err = faultf("unknown-type", "there is no request %.40q", r.T)
		}
	}
	if err != nil {
		c.fail(r, err)
	}
	return true
}

// strike notes a frame that broke the limits; false ends the socket of one who goes on with it.
func (c *conn) strike(now time.Time) bool {
	_, again := c.strikes.Take(now)
	if !again {
		c.end(closeFlood, "too many frames, or too large ones")
	}
	return again
}

// handlerOf a type of request. Each answers by itself, or returns why not.
func handlerOf(t string) func(*conn, *request) error {
	switch t {
	case "ping":
		return (*conn).ping
	case "join":
		return (*conn).join
	case "leave":
		return (*conn).leave
	case "say":
		return (*conn).say
	case "moderate":
		return (*conn).moderate
	case "playing":
		return (*conn).playing
	case "view":
		return (*conn).view
	case "bind":
		return (*conn).bind
	case "unview":
		return (*conn).unview
	case "publish":
		return (*conn).publish
	case "unpublish":
		return (*conn).unpublish
	case "mute":
		return (*conn).mute
	case "candidate":
		return (*conn).candidate
	case "watch":
		return (*conn).watch
	case "hello":
		return func(*conn, *request) error {
			return faultf("bad-request", "hello was said; open another socket to be somebody else")
		}
	}
	return nil
}

// fail answers a request with what went wrong.
func (c *conn) fail(r request, err error) {
	f, known := explain(err)
	if !known && c.ctx.Err() == nil {
		c.log.Error("request failed", "type", r.T, "err", err)
	}
	c.Send(frame("error", r.ID, f))
}

// reply answers a request with a frame of a type; body is a struct, or nil.
func (c *conn) reply(r *request, t string, body any) { c.Send(frame(t, r.ID, body)) }

// tell sends a frame unasked.
func (c *conn) tell(t string, body any) { c.Send(frame(t, nil, body)) }

// frame puts type and id before the fields of a struct.
func frame(t string, id json.RawMessage, body any) []byte {
	b := append([]byte(`{"t":"`), t...)
	b = append(b, '"')
	if len(id) > 0 {
		b = append(append(b, `,"id":`...), id...)
	}
	if body == nil {
		return append(b, '}')
	}
	fields, err := json.Marshal(body)
	if err != nil {
		panic(err) // ours cannot fail to encode
	}
	if len(fields) > 2 {
		b = append(b, ',')
	}
	return append(b, fields[1:]...)
}

func (c *conn) ping(r *request) error {
	c.reply(r, "pong", struct {
		Now int64 `json:"now"`
	}{time.Now().UnixMilli()})
	return nil
}

// leaveEverything ends what the socket began.
func (c *conn) leaveEverything() {
	c.mu.Lock()
	held := c.held
	c.mu.Unlock()
	if held != nil {
		held.Release()
	}
	c.server.events.unwatch(c)
	c.dropViewer(nil)
	for _, p := range c.allPublishers("") {
		p.close(errSocketEnded)
	}
	for _, p := range c.places() {
		c.dropPlace(p.name)
	}
}
