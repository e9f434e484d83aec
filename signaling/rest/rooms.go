package rest

import (
	"net/http"
	"slices"

	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/problem"
)

const maxSlow = 3600 // seconds between one person's messages

func (a *API) roomOf(name id.Stream) Room {
	rules, _ := a.cfg.Rooms.Rules(name)
	return Room{Room: name, Rules: rules, Count: a.cfg.Rooms.Count(name)}
}

// listRooms: every stream has a room; others have rules or people.
func (a *API) listRooms(c *call) (any, error) {
	names := a.cfg.Rooms.All()
	for _, st := range a.cfg.SFU.Streams() {
		if _, _, ephemeral := st.Name.Room(); !ephemeral {
			names = append(names, st.Name)
		}
	}
	slices.Sort(names)
	out := RoomList{Rooms: []Room{}}
	for _, name := range slices.Compact(names) {
		if c.who.Of(name.Tenant()) && a.cfg.Access.May(c.who, access.Join, name) == nil {
			out.Rooms = append(out.Rooms, a.roomOf(name))
		}
	}
	return out, nil
}

func (a *API) room(c *call) (any, error) {
	_, own := a.cfg.Rooms.Rules(c.name)
	if _, stream := a.cfg.SFU.Stream(c.name); !own && !stream && !slices.Contains(a.cfg.Rooms.All(), c.name) {
		return nil, problem.New(http.StatusNotFound, "Unknown room", "there is no room "+string(c.name))
	}
	return a.roomOf(c.name), nil
}

func (a *API) putRules(c *call) (any, error) {
	var r RoomRules
	if err := c.read(&r); err != nil {
		return nil, err
	}
	if _, _, ephemeral := c.name.Room(); ephemeral {
		return nil, problem.New(http.StatusNotFound, "Unknown room", "a participant has no room")
	}
	if r.Publish == "" {
		r.Publish = "token"
	}
	switch {
	case r.Slow < 0 || r.Slow > maxSlow:
		return nil, problem.BadField("slow", "use 0 to 3600 seconds")
	case r.Publish != "token" && r.Publish != "guests":
		return nil, problem.BadField("publish", "use token or guests")
	}
	if _, err := a.cfg.Rooms.SetRules(c.ctx, c.name, r); err != nil {
		return nil, err
	}
	a.cfg.Access.Recheck() // guests may have lost it
	a.cfg.Log.Info("rules of a room changed", "room", c.name, "by", c.who.Subject)
	return a.roomOf(c.name), nil
}
