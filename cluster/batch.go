package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"watershed/sfu/id"
)

// Group commit: an entry costs a flush to disk and a round to the other nodes however many messages it has.
const (
	gatherFor = 2 * time.Millisecond // what a message waits at most for company
	gatherMax = 500                  // messages in an entry; at 4 kB each still far below Raft's limits
	inFlight  = 8                    // entries that wait to be committed; more gather meanwhile
)

// ErrBusy means that a message was not committed in time. It may yet be: say it again with the same CID.
var ErrBusy = errors.New("not committed in time: send it again with the same id")

// waiting is a post on its way through the log.
type waiting struct {
	post *Post
	done chan outcome // takes one without waiting
}

// batcher gathers posts into entries.
type batcher struct {
	in    chan waiting
	slots chan struct{} // one for each entry in flight
	tasks sync.WaitGroup
	ctx   context.Context
	close context.CancelFunc
}

func newBatcher() batcher {
	ctx, stop := context.WithCancel(context.Background())
	return batcher{in: make(chan waiting), slots: make(chan struct{}, inFlight), ctx: ctx, close: stop}
}

// start lets posts flow into the group's log.
func (m *Messages) start(g *group) {
	m.group = g
	m.batcher.tasks.Go(m.gather)
}

func (m *Messages) stop() {
	m.batcher.close()
	m.batcher.tasks.Wait()
}

// Say writes a post and waits until it is committed and applied here, or ctx ends (then ErrBusy: nobody knows).
func (m *Messages) Say(ctx context.Context, p Post) (Posted, error) {
	p.mid = id.Random(10)
	w := waiting{&p, make(chan outcome, 1)}
	select {
	case m.batcher.in <- w:
	case <-ctx.Done():
		return Posted{}, ErrBusy
	case <-m.batcher.ctx.Done():
		return Posted{}, ErrClosed
	}
	select {
	case o := <-w.done:
		return o.Posted, o.err
	case <-ctx.Done():
		return Posted{}, ErrBusy
	}
}

// gather makes one entry of what arrives together.
func (m *Messages) gather() {
	b := &m.batcher
	for {
		select {
		case w := <-b.in:
			batch := b.fill(w)
			b.slots <- struct{}{}
			b.tasks.Go(func() {
				defer func() { <-b.slots }()
				m.commit(batch)
			})
		case <-b.ctx.Done():
			return
		}
	}
}

// fill waits for company for the first.
func (b *batcher) fill(first waiting) []waiting {
	batch := []waiting{first}
	full := time.NewTimer(gatherFor)
	defer full.Stop()
	for len(batch) < gatherMax {
		select {
		case w := <-b.in:
			batch = append(batch, w)
		case <-full.C:
			return batch
		case <-b.ctx.Done():
			return batch
		}
	}
	return batch
}

// again is how long to wait for a leader before proposing once more.
const again = 50 * time.Millisecond

// commit proposes an entry until it is applied. To propose it twice does no harm: posts are known by their ids.
func (m *Messages) commit(batch []waiting) {
	posts := make([]*Post, len(batch))
	for i, w := range batch {
		posts[i] = w.post
	}
	ctx, cancel := context.WithTimeout(m.batcher.ctx, proposeTimeout)
	defer cancel()
	done, err := m.group.propose(ctx, encodeCommand(kindPosts, encodePosts(posts)))
	for err != nil && m.halt.reason() == nil {
		select {
		case <-ctx.Done():
			answer(batch, nil, ErrBusy)
			return
		case <-time.After(again):
		}
		done, err = m.group.propose(ctx, encodeCommand(kindPosts, encodePosts(posts)))
	}
	if err != nil {
		answer(batch, nil, err)
		return
	}
	answer(batch, done.([]outcome), nil)
}

func answer(batch []waiting, done []outcome, err error) {
	for i, w := range batch {
		if err != nil {
			w.done <- outcome{err: err}
			continue
		}
		w.done <- done[i]
	}
}

// found names the history; the first name stays.
func (m *Messages) found(ctx context.Context, epoch string) error {
	_, err := m.group.propose(ctx, encodeCommand(kindFound, []byte(epoch)))
	return err
}
