package socket

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"watershed/cluster"
	"watershed/signaling/token"
)

// unsteady is a client of a room whose connection breaks at any moment. Its methods fail with the connection, never the test.
type unsteady struct {
	node *node
	jwt  string
	dice *rand.Rand
	c    *client
	life context.Context // ends what it waits for

	epoch  any
	offset float64
	seen   []float64 // offsets of messages, as they came
	again  int       // times that all was thrown away
}

// connect comes back with what it had.
func (u *unsteady) connect() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, u.node.url, &websocket.DialOptions{Subprotocols: []string{Protocol}})
	if err != nil {
		return err
	}
	ws.SetReadLimit(16 << 20)
	u.c = &client{t: u.node.t, ws: ws}
	in := object{"room": "river-1"}
	if u.epoch != nil {
		in["epoch"], in["offset"] = u.epoch, u.offset
	}
	if err := u.send(object{"t": "hello", "token": u.jwt, "rooms": []object{in}}); err != nil {
		return err
	}
	o, err := u.next("welcome")
	if err != nil {
		return err
	}
	joined := o["rooms"].([]any)[0].(object)
	if u.epoch != nil && joined["resumed"] != true {
		u.seen, u.again = nil, u.again+1
	}
	u.epoch = joined["epoch"]
	u.take(joined)
	return nil
}

func (u *unsteady) send(o object) error {
	b, _ := json.Marshal(o)
	return u.c.ws.Write(context.Background(), websocket.MessageText, b)
}

// next reads until a frame of this type, and takes messages on the way.
func (u *unsteady) next(t string) (object, error) {
	for {
		o, err := u.c.readIn(u.life)
		if err != nil {
			return nil, err
		}
		if o["t"] == "messages" {
			u.take(o)
		}
		if o["t"] == t {
			return o, nil
		}
	}
}

func (u *unsteady) take(o object) {
	for _, m := range o["messages"].([]any) {
		u.seen = append(u.seen, m.(object)["offset"].(float64))
	}
	u.offset = o["offset"].(float64)
}

// read for a while, then the connection breaks.
func (u *unsteady) read() {
	if u.connect() == nil {
		for range u.dice.IntN(4) {
			if _, err := u.next("messages"); err != nil {
				break
			}
		}
	}
	u.c.ws.CloseNow()
}

// write a message as often as it takes to hear that it is there; the connection breaks before the answer every second time.
func (u *unsteady) write(cid string) (said object) {
	for said == nil {
		if u.c == nil {
			if u.connect() != nil {
				continue
			}
		}
		err := u.send(object{"t": "say", "room": "river-1", "cid": cid, "text": cid})
		if u.dice.IntN(2) == 0 {
			u.c.ws.CloseNow()
		}
		if err == nil {
			said, err = u.next("said")
		}
		if err != nil {
			u.c = nil
		}
	}
	return said
}

// TestNothingIsLostOrDoubled: writers and readers whose connections break at any moment, and a node that starts again in between. Each message is there
// once, at the offset that its writer heard; each reader saw every offset once, in order.
func TestNothingIsLostOrDoubled(t *testing.T) {
	const writers, readers, each, lives = 3, 4, 12, 2
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	all := make([]*unsteady, writers+readers)
	for i := range all {
		all[i] = &unsteady{dice: rand.New(rand.NewPCG(seed, uint64(i)))}
	}
	var mu sync.Mutex
	at := map[string]float64{} // by cid
	for life := range lives {
		n := newNode(t, dir)
		alive, done := context.WithCancel(t.Context())
		var talk, listen sync.WaitGroup
		for i, u := range all {
			u.node, u.jwt, u.c = n, n.mint(fmt.Sprint("u", i), token.Moderator), nil
			if i >= writers {
				u.life = alive
				listen.Go(func() {
					for alive.Err() == nil {
						u.read()
					}
				})
				continue
			}
			u.life = t.Context()
			talk.Go(func() {
				for k := range each {
					cid := fmt.Sprint(i, " ", life, " ", k)
					said := u.write(cid)
					mu.Lock()
					at[cid] = said["offset"].(float64)
					mu.Unlock()
				}
				u.c.ws.CloseNow()
			})
		}
		talk.Wait()
		done()
		listen.Wait()
		if life == lives-1 {
			verify(t, n, all, at)
		}
		n.stop()
	}
}

func verify(t *testing.T, n *node, all []*unsteady, at map[string]float64) {
	t.Helper()
	var truth []float64
	for _, m := range n.cluster.Messages.Last("river-1", cluster.KeepMessages).Messages {
		truth = append(truth, float64(m.Offset))
		require.Equal(t, at[m.CID], float64(m.Offset), m.CID)
		delete(at, m.CID)
	}
	require.Empty(t, at, "these are not there")
	for i, u := range all {
		u.life = t.Context()
		require.NoError(t, u.connect()) // the rest
		u.c.ws.CloseNow()
		require.True(t, slices.IsSorted(u.seen), "%d: %v", i, u.seen)
		require.Equal(t, truth[len(truth)-len(u.seen):], u.seen, "%d", i)
		if u.again == 0 {
			require.Len(t, u.seen, len(truth), "%d", i)
		}
	}
}
