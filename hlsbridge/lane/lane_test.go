package lane

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// house is an http.Server with a lane in front, or without one.
type house struct {
	address string
	lane    *Listener
	others  atomic.Int64 // requests that the http.Server answered
}

func isCrowd(path string) bool { return strings.HasPrefix(path, "/hls/") }

func open(t *testing.T, handler http.Handler, withLane bool) *house {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &house{address: tcp.Addr().String()}
	l := tcp
	if withLane {
		h.lane = Listen(tcp.(*net.TCPListener), isCrowd, handler, slog.New(slog.DiscardHandler))
		l = h.lane
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.others.Add(1)
		handler.ServeHTTP(w, r)
	}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, srv.Shutdown(ctx))
		if h.lane != nil {
			h.lane.Wait(ctx)
		}
		require.Error(t, <-ended) // ErrServerClosed, or what the lane says that a test closed before
	})
	return h
}

// exchange sends bytes, and returns all that comes back in a form that compares.
func (h *house) exchange(t *testing.T, sent string) (answers []string) {
	t.Helper()
	conn, err := net.Dial("tcp", h.address)
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(conn, sent)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	in := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(res.Body)
		date := res.Header.Get("Date") != ""
		res.Header.Del("Date")
		res.Header.Del("Content-Length") // net/http leaves some bodies chunked
		header, _ := json.Marshal(res.Header)
		answers = append(answers, fmt.Sprintf("%d date=%v close=%v err=%v %s %d %.300s", res.StatusCode, date, res.Close, err, header, len(body), body))
	}
}

// ways of a handler to answer, by the last letter of the path.
func ways(w http.ResponseWriter, r *http.Request) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	switch r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] {
	case "echo":
		r.Header.Del("Connection")
		json.NewEncoder(w).Encode([]any{r.Method, r.URL.Path, r.URL.RawQuery, r.RequestURI, r.Host, r.Proto, r.Header, r.ContentLength})
	case "length":
		w.Header().Set("Content-Length", "5")
		w.Header().Set("Content-Type", "text/x")
		io.WriteString(w, "he")
		io.WriteString(w, "llo")
	case "big":
		w.Header().Set("Content-Length", fmt.Sprint(len(big)+3))
		io.WriteString(w, "abc")
		w.Write(big)
	case "large":
		w.Write(big)
	case "pieces":
		w.Header().Set("Content-Length", fmt.Sprint(10*20000))
		for i := range 10 {
			w.Write(big[i : i+20000])
		}
	case "empty":
	case "none":
		w.WriteHeader(http.StatusNoContent)
	case "missing":
		w.Header().Set("X-Odd", "one\r\ntwo: three")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "<html>no")
	case "leave":
		w.Header().Set("Connection", "close")
		io.WriteString(w, "bye")
	case "short":
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "he")
	case "panic":
		panic(http.ErrAbortHandler)
	}
}

// Whatever is sent, the answers are those of net/http.
func TestAnswersAsNetHTTP(t *testing.T) {
	noLeaks(t)
	ours, theirs := open(t, http.HandlerFunc(ways), true), open(t, http.HandlerFunc(ways), false)
	get := func(path string, more ...string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: x:1\r\n" + strings.Join(append(more, ""), "\r\n") + "\r\n"
	}
	inLane := []string{
		get("/hls/echo"), get("/hls/echo?a=b&_HLS_msn=3"), get("/hls/a~b/x+y/echo"), get("/hls/echo?"),
		get("/hls/echo", "user-agent: curl", "ACCEPT: */*", "X-A: 1", "x-a:2", "X-Tab: \ta\tb\t ", "Accept-Encoding: gzip, br", "Cookie: a=b"),
		get("/hls/echo", "Authorization: Bearer x", "Connection: keep-alive", "Origin: http://a"),
		get("/hls/length"), get("/hls/big"), get("/hls/large"), get("/hls/pieces"), get("/hls/empty"), get("/hls/none"), get("/hls/missing"),
		get("/hls/length") + get("/hls/big") + get("/hls/none") + get("/hls/echo"),
		get("/hls/leave") + get("/hls/echo"), get("/hls/panic") + get("/hls/echo"),
	}
	for _, sent := range inLane {
		require.Equal(t, theirs.exchange(t, sent), ours.exchange(t, sent), sent)
	}
	require.Zero(t, ours.others.Load(), "all of these are for the lane")

	strange := []string{
		"", "\r\n", "GET", "x\r\n\r\n", "\r\n\r\n" + get("/hls/echo"), get("*"), get("//hls/echo"), get("/hls/%65cho"), get("/hls/echo#a"), get("/hls/é/echo"), get("/hls/a b"),
		get("http://x:1/hls/echo"), get("/api/echo"), get("/hls/length") + get("/api/echo") + get("/hls/echo"),
		"GET /hls/echo HTTP/1.0\r\n\r\n", "GET /hls/echo HTTP/1.1\r\n\r\n", "GET /hls/echo HTTP/1.1\nHost: x\n\n", "GET /hls/echo HTTP/1.2\r\nHost: x\r\n\r\n",
		"GET  /hls/echo HTTP/1.1\r\nHost: x\r\n\r\n", "get /hls/echo HTTP/1.1\r\nHost: x\r\n\r\n",
		"HEAD /hls/length HTTP/1.1\r\nHost: x\r\n\r\n", "POST /hls/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		get("/hls/echo", "Host: y"), get("/hls/echo", "Bad Name: y"), get("/hls/echo", "Name : y"), get("/hls/echo", " folded"), get("/hls/echo", "X: a\x00b"), get("/hls/echo", "X: a\rb"),
		get("/hls/echo", "Content-Length: 3") + "abc", get("/hls/echo", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n",
		get("/hls/echo", "Content-Length: 3", "Transfer-Encoding: chunked") + "0\r\n\r\n" + get("/hls/echo"),
		get("/hls/echo", "Expect: 100-continue"), get("/hls/echo", "Connection: close") + get("/hls/echo"), get("/hls/echo", "Connection: upgrade", "Upgrade: x"),
		get("/hls/echo", "Range: bytes=0-1"), get("/hls/echo", "If-None-Match: x"), get("/hls/echo", "X-Long: "+strings.Repeat("a", headSize)),
		get("/hls/length") + "GET /hls/ec", get("/hls/length") + "GET /hls/" + strings.Repeat("a", headSize),
		"GET /hls/echo HTTP/1.1\r\nHost: \r\n\r\n", "GET /hls/echo HTTP/1.1\r\nHost: a/b\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	}
	for _, sent := range strange {
		require.Equal(t, theirs.exchange(t, sent), ours.exchange(t, sent), sent)
	}
}

// A handler that says more than it writes is cut off, so that a cache keeps nothing of it.
func TestShortAnswerIsCut(t *testing.T) {
	noLeaks(t)
	h := open(t, http.HandlerFunc(ways), true)
	res, err := http.Get("http://" + h.address + "/hls/short")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	require.Error(t, err)
}

// later is a handler that postpones what it answers, and says when it was asked and left.
type later struct{ asked, left chan *Response }

func newLater() *later { return &later{make(chan *Response, 64), make(chan *Response, 64)} }

func (l *later) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, ok := w.(*Response)
	if !ok {
		return
	}
	x.Header().Set("X-Path", r.URL.Path)
	x.Postpone(func() { l.left <- x })
	l.asked <- x
}

func answer(w *Response, body string) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	io.WriteString(w, body)
	w.Finish()
}

func request(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func dial(t *testing.T, h *house) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", h.address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn, bufio.NewReader(conn)
}

func expect(t *testing.T, in *bufio.Reader, path, body string) {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, path, res.Header.Get("X-Path"))
	require.Equal(t, body, string(got))
}

// Postponed answers go out in the order of their requests, on one connection after another request and another way of answering.
func TestPostponed(t *testing.T) {
	noLeaks(t)
	l := newLater()
	h := open(t, l, true)
	conn, in := dial(t, h)
	io.WriteString(conn, request("/hls/1")+request("/hls/2"))
	first := <-l.asked
	require.Empty(t, l.asked, "the second is not begun before the first is answered")
	answer(first, "one")
	expect(t, in, "/hls/1", "one")
	answer(<-l.asked, strings.Repeat("two", 1000))
	expect(t, in, "/hls/2", strings.Repeat("two", 1000))
	for range 3 {
		io.WriteString(conn, request("/hls/3"))
		answer(<-l.asked, "three")
		expect(t, in, "/hls/3", "three")
	}
	io.WriteString(conn, request("/hls/4"))
	w := <-l.asked
	io.WriteString(conn, "POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n") // for the http.Server, when its turn comes
	require.Zero(t, h.others.Load())
	answer(w, "four")
	expect(t, in, "/hls/4", "four")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.EqualValues(t, 1, h.others.Load())
}

// Who leaves while waiting is noticed, and an answer that comes at the same time harms nobody.
func TestClientLeaves(t *testing.T) {
	noLeaks(t)
	l := newLater()
	h := open(t, l, true)
	conn, _ := dial(t, h)
	io.WriteString(conn, request("/hls/1"))
	w := <-l.asked
	conn.Close()
	require.Same(t, w, <-l.left)
	for range 50 {
		conn, _ := dial(t, h)
		io.WriteString(conn, request("/hls/1"))
		w := <-l.asked
		go conn.Close()
		answer(w, "too late, perhaps")
	}
}

// A client that takes nothing does not hold up whoever answers.
func TestSlowClient(t *testing.T) {
	noLeaks(t)
	l := newLater()
	h := open(t, l, true)
	conn, in := dial(t, h)
	io.WriteString(conn, request("/hls/1"))
	body := strings.Repeat("0123456789", 3<<20)
	answer(<-l.asked, body) // returns, though nobody has read a byte
	expect(t, in, "/hls/1", body)
	io.WriteString(conn, request("/hls/2"))
	answer(<-l.asked, "again")
	expect(t, in, "/hls/2", "again")
}

// What is large of a postponed answer is not copied for each who waits; small and large pieces arrive in their order, also at who is slow.
func TestPostponedBodiesAreShared(t *testing.T) {
	noLeaks(t)
	large := bytes.Repeat([]byte("0123456789abcdef"), 30<<10)
	w := &Response{c: &conn{l: &Listener{}}, header: http.Header{"Content-Length": {fmt.Sprint(len(large))}, "Content-Type": {"x/y"}}, length: unknown}
	w.Postpone(nil)
	w.Write(large)
	require.LessOrEqual(t, len(w.out), copied)
	require.Same(t, &large[len(large)-1], &w.behind[0][len(w.behind[0])-1])

	l := newLater()
	h := open(t, l, true)
	conn, in := dial(t, h)
	io.WriteString(conn, request("/hls/1"))
	x := <-l.asked
	var want []byte
	sizes := []int{10, copied, 3, len(large), 0, 100, copied + 1, len(large), 7}
	for range 40 { // more than a socket takes at once
		for _, n := range sizes {
			want = append(want, large[:n]...)
		}
	}
	x.Header().Set("Content-Length", fmt.Sprint(len(want)))
	for range 40 {
		for _, n := range sizes {
			x.Write(large[:n])
		}
	}
	x.Finish()
	expect(t, in, "/hls/1", string(want))
}

// An array that an answer outgrew its own into does not stay in the pool.
func TestOutgrownBuffersAreForgotten(t *testing.T) {
	grown := make([]byte, 0, 4*outSize)
	(&Response{out: grown}).recycle()
	for range 8 {
		require.NotSame(t, &grown[:1][0], &outs.Get().(*[outSize]byte)[0])
	}
}

// A server that ends lets those who wait have their answer, and closes the others at once.
func TestClose(t *testing.T) {
	noLeaks(t)
	l := newLater()
	h := open(t, l, true)
	idle, idleIn := dial(t, h)
	waits, in := dial(t, h)
	io.WriteString(idle, request("/hls/0"))
	answer(<-l.asked, "")
	expect(t, idleIn, "/hls/0", "")
	io.WriteString(waits, request("/hls/1"))
	w := <-l.asked
	require.NoError(t, h.lane.Close())
	_, err := idleIn.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	answer(w, "the last")
	expect(t, in, "/hls/1", "the last")
	_, err = in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	_, err = net.Dial("tcp", h.address)
	require.Error(t, err)
}

// Who waits for what does not come is cut when the time to end is over.
func TestWaitCuts(t *testing.T) {
	noLeaks(t)
	l := newLater()
	h := open(t, l, true)
	conn, in := dial(t, h)
	io.WriteString(conn, request("/hls/1"))
	w := <-l.asked
	require.NoError(t, h.lane.Close())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go h.lane.Wait(ctx)
	_, err := in.ReadByte()
	require.Error(t, err)
	answer(w, "too late")
}

// FuzzParse: what is taken means to net/http what it means here.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		request("/hls/a.m3u8?_HLS_msn=3&_HLS_part=1"), "GET /hls/a HTTP/1.1\r\nHost: a:1\r\nAccept: x, y\r\naccept:z\r\nConnection: Keep-Alive\r\n\r\nGET",
		"GET /hls/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", "GET /hls/%20 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /hls/a HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, n, ok := parse(data, isCrowd)
		if !ok {
			return
		}
		all := bytes.NewReader(data)
		in := bufio.NewReaderSize(all, len(data)+16)
		want, err := http.ReadRequest(in)
		require.NoError(t, err)
		require.Equal(t, len(data)-all.Len()-in.Buffered(), n)
		require.Equal(t, []any{want.Method, want.URL.Path, want.URL.RawQuery, want.URL.RawPath, want.Host, want.RequestURI, want.Proto}, []any{r.Method, r.URL.Path, r.URL.RawQuery, "", r.Host, r.RequestURI, r.Proto})
		require.Equal(t, want.Header, r.Header)
		require.Zero(t, want.ContentLength)
		require.Empty(t, want.TransferEncoding)
		require.False(t, want.Close)
	})
}

// noLeaks fails when goroutines stay that were not there before. It goes first, so that it looks last.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		for range 3000 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond) // goroutines end in their own time
		}
		buf := make([]byte, 1<<20)
		t.Errorf("goroutines leaked:\n%s", buf[:runtime.Stack(buf, true)])
	})
}
