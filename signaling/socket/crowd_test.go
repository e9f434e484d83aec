package socket

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"watershed/cluster"
	"watershed/sfu/id"
	"watershed/signaling/room"
	"watershed/signaling/token"
)

// within waits for what a crowd on a slow machine takes its time for.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, time.Minute, 50*time.Millisecond, what)
}

// crowd is who publishes, by stream, and who watches.
type crowd struct {
	t       *testing.T
	streams map[string]byte
	people  map[string]*person
}

// everybodySees waits until all see and hear all others, each where it should be.
func (c *crowd) everybodySees(when string) {
	c.t.Helper()
	var missing []string
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		missing = nil
		for user, p := range c.people {
			others := map[string]byte{}
			for name, mark := range c.streams {
				if mark != p.mark {
					others[name] = mark
				}
			}
			if m := p.missing(others); len(m) > 0 {
				missing = append(missing, user+" misses "+strings.Join(m, ", "))
			}
		}
		if len(missing) == 0 {
			return
		}
		require.True(c.t, time.Now().Before(end), "%s: %v", when, missing)
	}
}

// everybodyHears waits until it holds of all of them.
func (c *crowd) everybodyHears(what string, holds func(*person) bool) {
	c.t.Helper()
	for _, p := range c.people {
		within(c.t, what+", at "+p.user, p.has(func() bool { return holds(p) }))
	}
}

func (c *crowd) goes(user string) {
	c.people[user].goes()
	delete(c.people, user)
	for name := range c.streams {
		if strings.HasPrefix(name, "river-1+"+user) {
			delete(c.streams, name)
		}
	}
}

// TestTwentyFiveInARoom: 25 people publish and watch each other. They come and go, present, are muted and put out, and nobody negotiates again.
func TestTwentyFiveInARoom(t *testing.T) {
	n := newNode(t, t.TempDir())
	c := &crowd{t: t, streams: map[string]byte{}, people: map[string]*person{}}
	const slots = room.PublishersMax + 1 // for those who only watch, and a screen
	come := func(i int) *person {
		t.Helper()
		user := fmt.Sprintf("p%02d", i)
		p := n.arrive(t, user, n.mint(user, token.Publisher), byte(i+1))
		p.watch(slots)
		c.people[user] = p
		return p
	}
	shows := func(p *person) {
		t.Helper()
		require.NoError(t, p.publish(sourceCamera, nil))
		c.streams["river-1+"+p.user] = p.mark
	}
	for i := range room.PublishersMax {
		shows(come(i))
	}
	c.everybodySees("25 people")

	// The 26th is told so, and watches.
	late := come(25)
	require.EqualError(t, late.publish(sourceCamera, nil), "full")
	c.everybodySees("a 26th who watches")

	// One shows a screen beside the camera.
	require.NoError(t, c.people["p03"].publish(sourceScreen, nil))
	c.streams["river-1+p03-screen"] = c.people["p03"].mark
	c.everybodySees("a screen")
	require.Equal(t, "unpublished", c.people["p03"].ask(object{"t": "unpublish", "source": "screen"})["t"])
	delete(c.streams, "river-1+p03-screen")

	// Who speaks is told, and who is louder comes first.
	c.people["p07"].level.Store(40)
	c.everybodyHears("p07 speaks", func(p *person) bool { return fmt.Sprint(p.speakers) == "[p07]" })
	c.people["p11"].level.Store(10)
	c.everybodyHears("p11 is louder", func(p *person) bool { return fmt.Sprint(p.speakers) == "[p11 p07]" })

	// One leaves: the place is the 26th's, in the slots that became free.
	c.goes("p20")
	within(t, "a place is free", func() bool { return late.publish(sourceCamera, nil) == nil })
	c.streams["river-1+"+late.user] = late.mark
	c.everybodySees("another after one left")

	// A moderator mutes the loudest: nobody hears them, whatever they send, and they do not speak.
	mod := n.enter(n.mint("mod", token.Moderator), "river-1")
	moderate := func(do, user string) {
		t.Helper()
		require.Equal(t, "moderated", mod.ask(object{"t": "moderate", "room": "river-1", "do": do, "user": user})["t"])
	}
	moderate("mute", "p11")
	within(t, "p11 is told", c.people["p11"].has(func() bool { return c.people["p11"].muted }))
	c.everybodyHears("p11 is muted", func(p *person) bool {
		s := p.streams["river-1+p11"]
		return p.user == "p11" || s["muted"] != nil && s["muted"].(object)["audio"] == true
	})
	c.everybodyHears("p07 speaks alone", func(p *person) bool { return fmt.Sprint(p.speakers) == "[p07]" })
	silent := func(p *person) bool {
		for _, sl := range p.slots {
			if sl.kind == "audio" && sl.stream == "river-1+p11" {
				return sl.silence > 0
			}
		}
		return p.user == "p11"
	}
	c.everybodyHears("silence instead of p11", silent)
	require.Equal(t, "muted", c.people["p11"].ask(object{"t": "mute", "audio": false})["t"])
	moderate("unmute", "p11")
	c.everybodyHears("p11 speaks again", func(p *person) bool { return fmt.Sprint(p.speakers) == "[p11 p07]" })

	// Who mutes themselves does not speak either.
	require.Equal(t, "muted", c.people["p07"].ask(object{"t": "mute", "audio": true})["t"])
	c.everybodyHears("p11 speaks alone", func(p *person) bool { return fmt.Sprint(p.speakers) == "[p11]" })

	// A moderator ends what one publishes, and puts another out.
	moderate("unpublish", "p05")
	delete(c.streams, "river-1+p05")
	within(t, "p05 is told", c.people["p05"].has(func() bool { return c.people["p05"].told["unpublished removed"] == 1 }))
	moderate("remove", "p06")
	removed := c.people["p06"]
	within(t, "p06 is told", removed.has(func() bool { return removed.told["left removed"] == 1 }))
	c.goes("p06")
	c.everybodyHears("both are gone", func(p *person) bool { return p.streams["river-1+p05"] == nil && p.streams["river-1+p06"] == nil })
	_, gone := n.sfu.Stream("river-1+p06")
	require.False(t, gone)

	for _, p := range c.people {
		p.mu.Lock()
		require.Equal(t, 1, p.sent["view"], "%s negotiates once to watch", p.user)
		published := 1
		switch p.user {
		case "p03":
			published = 2 // the screen
		case late.user:
			published = p.sent["publish"] // tried until there was a place
		}
		require.Equal(t, published, p.sent["publish"], "%s negotiates once for each source", p.user)
		require.Zero(t, p.told["unviewed lost"], p.user)
		require.Len(t, p.slots, 2*slots, p.user)
		p.mu.Unlock()
	}
	for user := range c.people {
		c.people[user].goes()
	}
	within(t, "nothing is left of them", func() bool {
		for _, st := range n.sfu.Streams() {
			if _, _, ephemeral := st.Name.Room(); ephemeral {
				return false
			}
		}
		return true
	})
}

// TestWhoMayPublish: by token, or by the room's rules; rules that change count for the next who wants to.
func TestWhoMayPublish(t *testing.T) {
	n := newNode(t, t.TempDir())
	may := func(token string) (can any, err error) {
		t.Helper()
		w := n.enterAs(t, token)
		defer w.goes()
		return w.joined["can"].(object)["publish"], w.publish(sourceCamera, nil)
	}
	can, err := may("")
	require.Equal(t, false, can)
	require.EqualError(t, err, "unauthorized", "a guest")
	can, err = may(n.mint("vi", token.Viewer))
	require.Equal(t, false, can)
	require.EqualError(t, err, "forbidden", "a viewer")
	can, err = may(n.mint("pu", token.Publisher))
	require.Equal(t, true, can)
	require.NoError(t, err)
	elsewhere := func(c *token.Claims) { c.Rooms = []string{"river-2"} }
	can, err = may(n.mint("el", token.Publisher, elsewhere))
	require.Equal(t, false, can)
	require.Error(t, err)

	mod := n.enter(n.mint("mod", token.Moderator), "river-1")
	rules := func(publish string) object {
		return mod.ask(object{"t": "moderate", "room": "river-1", "do": "rules", "rules": object{"publish": publish}})
	}
	require.Equal(t, "bad-request", rules("everybody")["code"])
	require.Equal(t, "moderated", rules(cluster.PublishGuests)["t"])
	require.Equal(t, cluster.PublishGuests, n.sockets.rooms.Rules(id.Stream("river-1")).Publish)
	can, err = may("")
	require.Equal(t, true, can)
	require.NoError(t, err)
	require.Equal(t, "moderated", rules(cluster.PublishToken)["t"])
	_, err = may("")
	require.EqualError(t, err, "unauthorized")
}

// enterAs is somebody in the room who need not have a name.
func (n *node) enterAs(t *testing.T, jwt string) *person {
	t.Helper()
	return n.arrive(t, "somebody", jwt, 1)
}
