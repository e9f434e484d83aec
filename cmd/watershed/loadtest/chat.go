package loadtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Chat is a load of people in one room, some of whom talk. All are in this process, so one clock measures how long a message takes.
type Chat struct {
	URL      string // ws://host/ws
	Room     string
	People   int
	Speakers int     // of them
	Messages float64 // a second, of all speakers together
	Join     float64 // people a second
	Duration time.Duration
	Token    string // of role moderator or above, whom no limit stops; without one the server's limits show
	PID      int    // of the server, for its CPU and memory; 0 is not measured
	Progress io.Writer
}

// ChatResult of a load.
type ChatResult struct {
	People     int
	Failed     int
	FirstError string
	Joined     Spread // ms from dialling to the answer of hello
	Said       int
	Refused    map[string]int // by code
	Ack        Spread         // ms from say to said
	Delivery   Spread         // ms from say to each person's messages frame
	Delivered  uint64         // messages to people
	Missing    uint64
	Repeated   uint64
	Misordered uint64
	Closed     int // sockets that the server ended
	Seconds    float64

	CPU, TesterCPU      float64 // seconds
	RSSBefore, RSSAfter int64   // bytes: without people, with all of them
}

// person is one socket.
type person struct {
	ws        *websocket.Conn
	joined    float64
	offset    uint64
	delays    []float64
	got       atomic.Uint64
	repeated  uint64
	wrong     uint64
	closed    bool
	acks      chan chatFrame
	measuring *atomic.Bool
}

// chatFrame is what of the server's frames counts here.
type chatFrame struct {
	T        string `json:"t"`
	ID       int64  `json:"id"`
	Code     string `json:"code"`
	Messages []struct {
		Offset uint64 `json:"offset"`
		Text   string `json:"text"`
	} `json:"messages"`
	Rooms []struct {
		Offset uint64 `json:"offset"`
	} `json:"rooms"`
}

// Run the load.
func (c *Chat) Run(ctx context.Context) (*ChatResult, error) {
	r := &ChatResult{Refused: map[string]int{}, RSSBefore: rss(c.PID)}
	var measuring atomic.Bool
	var readers sync.WaitGroup
	people := c.join(ctx, r, &measuring)
	defer func() {
		for _, p := range people {
			p.ws.CloseNow()
		}
		readers.Wait()
	}()
	if len(people) == 0 {
		return nil, fmt.Errorf("nobody could join: %s", r.FirstError)
	}
	for _, p := range people {
		readers.Go(func() { p.read(ctx) })
	}
	r.RSSAfter = rss(c.PID)
	began, cpu, own := time.Now(), cpuSeconds(c.PID), cpuSeconds(os.Getpid())
	measuring.Store(true)
	if err := c.talk(ctx, r, people); err != nil {
		return nil, err
	}
	c.settle(ctx, r, people)
	measuring.Store(false)
	r.Seconds = time.Since(began).Seconds()
	r.CPU, r.TesterCPU = cpuSeconds(c.PID)-cpu, cpuSeconds(os.Getpid())-own
	for _, p := range people {
		p.ws.CloseNow()
	}
	readers.Wait()
	r.sum(people)
	return r, nil
}

// join opens the sockets at the rate, several at once.
func (c *Chat) join(ctx context.Context, r *ChatResult, measuring *atomic.Bool) (people []*person) {
	var mu sync.Mutex // guards people and r
	var all sync.WaitGroup
	tick := time.NewTicker(time.Duration(float64(time.Second) / c.Join))
	defer tick.Stop()
	for range c.People {
		<-tick.C
		all.Go(func() {
			p, err := c.enter(ctx, measuring)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.Failed++
				r.FirstError = cmp.Or(r.FirstError, err.Error())
				return
			}
			people = append(people, p)
		})
	}
	all.Wait()
	fmt.Fprintf(c.Progress, "%d people are in room %s\n", len(people), c.Room)
	return people
}

func (c *Chat) enter(ctx context.Context, measuring *atomic.Bool) (*person, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	began := time.Now()
	ws, _, err := websocket.Dial(ctx, c.URL, &websocket.DialOptions{Subprotocols: []string{"watershed.v1"}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(16 << 20)
	hello, _ := json.Marshal(map[string]any{"t": "hello", "token": c.Token, "rooms": []any{map[string]any{"room": c.Room}}})
	if err := ws.Write(ctx, websocket.MessageText, hello); err != nil {
		return nil, err
	}
	_, text, err := ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	var w chatFrame
	if err := json.Unmarshal(text, &w); err != nil || w.T != "welcome" || len(w.Rooms) != 1 {
		ws.CloseNow()
		return nil, fmt.Errorf("no welcome to room %s: %.200s", c.Room, text)
	}
	return &person{ws: ws, joined: ms(time.Since(began)), offset: w.Rooms[0].Offset, acks: make(chan chatFrame, 1), measuring: measuring}, nil
}

// read takes what comes until the socket ends.
func (p *person) read(ctx context.Context) {
	for {
		_, text, err := p.ws.Read(ctx)
		if err != nil {
			p.closed = p.measuring.Load()
			return
		}
		now := time.Now()
		var f chatFrame
		if json.Unmarshal(text, &f) != nil {
			continue
		}
		switch f.T {
		case "said", "error":
			p.acks <- f
		case "messages":
			p.take(&f, now)
		}
	}
}

func (p *person) take(f *chatFrame, now time.Time) {
	for _, m := range f.Messages {
		switch {
		case m.Offset == p.offset:
			p.repeated++
			continue
		case m.Offset < p.offset:
			p.wrong++
			continue
		}
		p.offset = m.Offset
		stamp, ok := strings.CutPrefix(m.Text, prefix)
		sent, err := strconv.ParseInt(stamp, 10, 64)
		if ok && err == nil {
			p.got.Add(1)
			p.delays = append(p.delays, ms(now.Sub(time.Unix(0, sent))))
		}
	}
}

// prefix of the texts; the rest is when it was sent, in Unix nanoseconds.
const prefix = "loadtest "

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// talk has each speaker say one thing after the other, each at its turn of the common rate.
func (c *Chat) talk(ctx context.Context, r *ChatResult, people []*person) error {
	var mu sync.Mutex // guards r and acks
	var acks []float64
	var all sync.WaitGroup
	speakers := people[:min(c.Speakers, len(people))]
	end := time.Now().Add(c.Duration)
	for i, p := range speakers {
		all.Go(func() {
			every := time.Duration(float64(len(speakers)) / c.Messages * float64(time.Second))
			time.Sleep(every * time.Duration(i) / time.Duration(len(speakers)))
			for n := int64(1); time.Now().Before(end) && ctx.Err() == nil; n++ {
				turn := time.Now().Add(every)
				took, code := p.say(ctx, c.Room, n)
				mu.Lock()
				if code == "" {
					acks = append(acks, took)
				} else {
					r.Refused[code]++
				}
				mu.Unlock()
				time.Sleep(time.Until(turn))
			}
		})
	}
	all.Wait()
	r.Said, r.Ack = len(acks), spread(acks)
	return ctx.Err()
}

// say one thing and wait for the answer; code is why not.
func (p *person) say(ctx context.Context, room string, n int64) (took float64, code string) {
	began := time.Now()
	frame, _ := json.Marshal(map[string]any{
		"t": "say", "id": n, "room": room, "cid": fmt.Sprint(began.UnixNano()), "text": prefix + strconv.FormatInt(began.UnixNano(), 10),
	})
	if err := p.ws.Write(ctx, websocket.MessageText, frame); err != nil {
		return 0, "closed"
	}
	select {
	case f := <-p.acks:
		return ms(time.Since(began)), f.Code
	case <-time.After(10 * time.Second):
		return 0, "no answer"
	case <-ctx.Done():
		return 0, "ended"
	}
}

// settle waits for what is under way, at most five seconds.
func (c *Chat) settle(ctx context.Context, r *ChatResult, people []*person) {
	limit := time.Now().Add(5 * time.Second)
	missing := func(p *person) bool { return p.got.Load() < uint64(r.Said) }
	for slices.ContainsFunc(people, missing) && time.Now().Before(limit) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
}

// sum up what everybody saw; nobody reads any more.
func (r *ChatResult) sum(people []*person) {
	var delays, joins []float64
	r.People = len(people)
	for _, p := range people {
		joins = append(joins, p.joined)
		delays = append(delays, p.delays...)
		r.Delivered += p.got.Load()
		r.Missing += uint64(r.Said) - min(uint64(r.Said), p.got.Load())
		r.Repeated += p.repeated
		r.Misordered += p.wrong
		if p.closed {
			r.Closed++
		}
	}
	r.Joined, r.Delivery = spread(joins), spread(delays)
}

// Print the result for people. Figures that were not measured are left out.
func (r *ChatResult) Print(out io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-28s %s\n", name, fmt.Sprintf(format, args...))
	}
	times := func(s Spread) string {
		return fmt.Sprintf("p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms", s.P50, s.P95, s.P99, s.Max)
	}
	row("people", "%d joined, %d failed, %d closed by the server", r.People, r.Failed, r.Closed)
	if r.FirstError != "" {
		row("first error", "%s", r.FirstError)
	}
	row("joining", "%s", times(r.Joined))
	row("said", "%d in %.1f s, refused %v", r.Said, r.Seconds, r.Refused)
	row("say to said", "%s", times(r.Ack))
	row("say to everybody's screen", "%s (the server gathers for up to 100 ms)", times(r.Delivery))
	row("delivered", "%d, %.0f/s; missing %d, repeated %d, out of order %d", r.Delivered, float64(r.Delivered)/r.Seconds, r.Missing, r.Repeated, r.Misordered)
	if r.CPU > 0 {
		row("server CPU", "%.2f cores, %.1f µs a delivery", r.CPU/r.Seconds, r.CPU*1e6/float64(max(1, r.Delivered)))
		row("server memory", "%.1f MiB before, %.1f MiB with all, %.0f KiB a socket", mib(r.RSSBefore), mib(r.RSSAfter), float64(r.RSSAfter-r.RSSBefore)/1024/float64(max(1, r.People)))
	}
	row("tester CPU", "%.2f cores", r.TesterCPU/r.Seconds)
}

// Err is what a chat must never do.
func (r *ChatResult) Err() error {
	if r.Missing+r.Repeated+r.Misordered > 0 {
		return errors.New("messages were lost, came twice or out of order")
	}
	return nil
}
