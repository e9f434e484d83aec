package sfu

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"runtime/debug"
	"sync"
	"time"
)

// Feed pulls a stream's inputs: the first healthy one, again and again.
type Feed struct {
	Stream *Stream
	part   Part
	inputs []string
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex // guards what follows
	active int        // input in use, -1 when none
	tries  int
}

// FeedStatus tells how a pulled source does.
type FeedStatus struct {
	Inputs []string // without credentials
	Active int      // index of the input in use, -1 when none
	Tries  int      // attempts since the last success
}

func (f *Feed) status() FeedStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := FeedStatus{Active: f.active, Tries: f.tries}
	for _, in := range f.inputs {
		s.Inputs = append(s.Inputs, Redact(in))
	}
	return s
}

// secrets are what cameras and servers have passwords under, in queries and, of some makers, in the path: /user=admin&password=x&channel=1.
var secrets = regexp.MustCompile(`(?i)((?:pass[a-z]*|pwd|psw|pw|[a-z_-]*key|[a-z_-]*token|auth|secret|signature|sig|streamid)=)[^&;/?#]*`)

// Redact removes the credentials of a URL and everything of one that cannot be read.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return "(unreadable URL)"
	}
	u.User = nil
	return secrets.ReplaceAllString(u.String(), "${1}xxxxx")
}

func (st *Stream) startFeed(part Part, inputs []string) {
	ctx, cancel := context.WithCancel(st.sfu.ctx)
	f := &Feed{Stream: st, part: part, inputs: inputs, cancel: cancel, done: make(chan struct{}), active: -1}
	st.mu.Lock()
	ended := st.ended
	if !ended {
		st.feeds = append(st.feeds, f)
	}
	st.mu.Unlock()
	if ended { // removed meanwhile
		cancel()
		return
	}
	st.sfu.tasks.Go(func() {
		defer close(f.done)
		f.supervise(ctx)
	})
}

// stop ends the feed and waits for its adapter.
func (f *Feed) stop() {
	f.cancel()
	<-f.done
}

// Retry delays: quick at first, because most cameras are back at once; long enough later not to hammer a dead network.
const (
	firstDelay   = 250 * time.Millisecond
	longestDelay = 8 * time.Second
	watchedDelay = 500 * time.Millisecond // at most, while somebody watches and the host answers
	healthy      = 5 * time.Second        // a session that lasted so long starts the delays anew
)

// supervise keeps the feed's stream supplied until ctx ends.
func (f *Feed) supervise(ctx context.Context) {
	delay := firstDelay
	for input := 0; ; {
		if !f.awaitDemand(ctx) {
			return
		}
		began := time.Now()
		err := f.pull(ctx, input)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errNoDemand) {
			f.Stream.forgetPictures(f.part)
			f.setState(Idle, NoReason, "")
			delay, input = firstDelay, 0
			continue
		}
		reason := Classify(err)
		f.setState(Offline, reason, err.Error())
		if time.Since(began) > healthy {
			delay, input = firstDelay, 0
		} else {
			input = (input + 1) % len(f.inputs)
		}
		f.pause(ctx, delay, reason)
		delay = min(2*delay, longestDelay)
	}
}

// awaitDemand waits until the stream is wanted; false when ctx ends.
func (f *Feed) awaitDemand(ctx context.Context) bool {
	for {
		if ok, _, _ := f.wanted(time.Now()); ok {
			return ctx.Err() == nil
		}
		f.setState(Idle, NoReason, "")
		changed := f.Stream.Changed()
		if ok, _, _ := f.wanted(time.Now()); ok {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

var errNoDemand = errors.New("nobody watches")

// pull runs the adapter of one input until it fails or nobody wants it.
func (f *Feed) pull(ctx context.Context, input int) error {
	u, err := url.Parse(f.inputs[input])
	if err != nil {
		return &SourceError{ReasonSource, fmt.Errorf("input %d: the URL cannot be read", input+1)}
	}
	puller := f.Stream.sfu.cfg.Pullers[u.Scheme]
	if puller == nil {
		return &SourceError{ReasonSource, fmt.Errorf("input %d: no way to pull %q URLs", input+1, u.Scheme)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watcher sync.WaitGroup
	watcher.Go(func() { f.endWithoutDemand(ctx, cancel) })
	defer watcher.Wait()
	defer cancel(nil)
	f.note(input, false)
	defer f.note(-1, true)
	if s := f.Stream.Status().State; s != Stalled {
		f.setState(Starting, NoReason, "")
	}
	err = f.contained(ctx, u, puller)
	if errors.Is(context.Cause(ctx), errNoDemand) {
		return errNoDemand
	}
	if err == nil {
		err = &SourceError{ReasonSource, errors.New("the source ended the session")}
	}
	return err
}

// contained runs an adapter. What breaks it is that input's failure and nobody else's.
func (f *Feed) contained(ctx context.Context, u *url.URL, puller Puller) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f.Stream.sfu.cfg.Log.Error("an adapter panicked", "stream", f.Stream.Name, "panic", r, "stack", string(debug.Stack()))
			err = &SourceError{ReasonSource, errors.New("what the source sent broke its adapter here; the log has more")}
		}
	}()
	return puller(ctx, u, f)
}

func (f *Feed) endWithoutDemand(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		changed := f.Stream.Changed()
		ok, _, again := f.wanted(time.Now())
		if !ok {
			cancel(errNoDemand)
			return
		}
		var expire <-chan time.Time
		if again > 0 {
			expire = time.After(again)
		}
		select {
		case <-changed:
		case <-expire:
		case <-ctx.Done():
			return
		}
	}
}

func (f *Feed) note(active int, failed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = active
	if failed {
		f.tries++
	}
}

// Begin opens the feed's session on its stream: what a Puller calls once it knows the tracks.
func (f *Feed) Begin(o SessionOptions) (*Session, []*Writer, error) {
	f.mu.Lock()
	f.tries = 0
	f.mu.Unlock()
	o.Part = f.part
	return f.Stream.Begin(o)
}

// wanted is Stream.wanted for the feed's part.
func (f *Feed) wanted(now time.Time) (ok, watched bool, again time.Duration) {
	if f.part == LowPart {
		return f.Stream.lowWanted(now)
	}
	return f.Stream.wanted(now)
}

// setState tells how the stream does: the main part says it.
func (f *Feed) setState(s State, r Reason, message string) {
	if f.part == MainPart {
		f.Stream.setState(s, r, message)
	} else if s == Offline {
		f.Stream.sfu.cfg.Log.Warn("small layer unavailable", "stream", f.Stream.Name, "reason", r, "detail", message)
	}
}

// pause waits before the next try; less when somebody begins to watch meanwhile.
func (f *Feed) pause(ctx context.Context, delay time.Duration, reason Reason) {
	deadline := time.Now().Add(delay/2 + rand.N(delay/2+1)) // jitter: cameras behind one switch come back together
	for {
		changed := f.Stream.Changed()
		wait := time.Until(deadline)
		if _, watched, _ := f.wanted(time.Now()); watched && hostAnswers(reason) {
			wait = min(wait, watchedDelay)
			deadline = time.Now().Add(wait)
		}
		if wait <= 0 {
			return
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-changed:
			t.Stop()
			continue
		case <-ctx.Done():
			t.Stop()
			return
		}
		return
	}
}
