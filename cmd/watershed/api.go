package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"

	"watershed/cluster"
	"watershed/cluster/seal"
	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/rest"
)

// openAPI adds the API to the server.
func (n *node) openAPI(ctx context.Context) error {
	box, err := seal.Load(filepath.Join(n.cfg.Data, "seal"), n.secret)
	if err != nil {
		return err
	}
	streams := streamRecords{n.cluster.Decisions.Streams, box}
	streams.sealAll(ctx, n.log)
	n.api = rest.New(rest.Config{
		SFU: n.sfu, Access: n.access, Secret: n.secret, Streams: streams, Rooms: n.rooms(), Viewers: allViewers{n.sig, n.sockets},
		Nodes: n.nodes, Files: n.inFile(), Schemes: n.sfu.Schemes(),
		Formats: map[string]string{"hls": "/hls/{stream}/index.m3u8", "dash": "/dash/{stream}/manifest.mpd", "flv": "/flv/{stream}.flv"},
		Log:     n.log, Recording: n.hls.Recording,
	})
	n.api.Route(n.sig.Echo())
	return nil
}

// inFile reports whether the configuration declares a stream.
func (n *node) inFile() func(id.Stream) bool {
	declared := map[id.Stream]bool{}
	for name := range n.cfg.Streams {
		full, _ := id.ParseStream(name) // config.Check has seen it
		declared[full] = true
	}
	return func(name id.Stream) bool { return declared[name] }
}

func (n *node) nodes() []rest.Node {
	var list []rest.Node
	for _, m := range n.cluster.Decisions.Members.All() {
		v := rest.Node{ID: m.ID, Self: m.ID == n.cluster.ID, Version: m.Version, Addresses: m.Addresses, Since: rest.Millis(m.Created.UnixMilli())}
		if v.Addresses == nil {
			v.Addresses = map[string]string{}
		}
		if v.Self {
			v.Streams, v.Viewers = n.load()
		}
		list = append(list, v)
	}
	return list
}

func (n *node) load() (streams, viewers int) {
	for _, st := range n.sfu.Streams() {
		streams++
		viewers += watching(st)
	}
	return streams, viewers
}

func watching(st *sfu.Stream) (count int) {
	for _, n := range st.Status().Viewers {
		count += n
	}
	return count
}

// allViewers are those by WHEP and those by socket.
type allViewers []rest.Viewers

func (a allViewers) Viewers(stream id.Stream) (list []rest.Viewer) {
	for _, v := range a {
		list = append(list, v.Viewers(stream)...)
	}
	slices.SortFunc(list, func(a, b rest.Viewer) int { return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.ID, b.ID)) })
	return list
}

func (a allViewers) Kick(stream id.Stream, viewer string, reason error) bool {
	return slices.ContainsFunc(a, func(v rest.Viewers) bool { return v.Kick(stream, viewer, reason) })
}

// streamRecords are the cluster's decisions about streams, as the API wants them. Inputs are sealed in the log: they have cameras' passwords in them.
type streamRecords struct {
	table *cluster.Table[cluster.Stream, *cluster.Stream]
	box   *seal.Box
}

func (r streamRecords) stored(s cluster.Stream) rest.Stored {
	for i, in := range s.Spec.Inputs { // one that cannot be opened stays as it is: the media plane says that it cannot be pulled
		in.High, _ = r.box.Open(in.High, string(s.Name))
		in.Low, _ = r.box.Open(in.Low, string(s.Name))
		s.Spec.Inputs[i] = in
	}
	return rest.Stored{Name: s.Name, Title: s.Title, By: s.By, Spec: s.Spec, Version: s.Index, Created: s.Created}
}

func (r streamRecords) Find(name id.Stream) (rest.Stored, bool) {
	s, ok := r.table.Find(string(name))
	return r.stored(s), ok
}

func (r streamRecords) All() []rest.Stored {
	all := r.table.All()
	list := make([]rest.Stored, len(all))
	for i, s := range all {
		list[i] = r.stored(s)
	}
	return list
}

func (r streamRecords) Put(ctx context.Context, s rest.Stored) (rest.Stored, error) {
	spec := s.Spec
	spec.Inputs = slices.Clone(spec.Inputs)
	for i, in := range spec.Inputs {
		spec.Inputs[i] = sfu.Input{High: r.box.Seal(in.High, string(s.Name)), Low: r.box.Seal(in.Low, string(s.Name))}
	}
	done, err := r.table.PutIf(ctx, cluster.Stream{Name: s.Name, Title: s.Title, Origin: "api", By: s.By, Spec: spec}, s.Version)
	return r.stored(done), decided(err)
}

func (r streamRecords) Delete(ctx context.Context, name id.Stream, version uint64) error {
	return decided(r.table.DeleteIf(ctx, string(name), version))
}

// sealAll seals what a version that did not has written, and tells the log of what this node cannot open.
func (r streamRecords) sealAll(ctx context.Context, log *slog.Logger) {
	for _, s := range r.table.All() {
		plain := false
		for _, in := range s.Spec.Inputs {
			for _, text := range []string{in.High, in.Low} {
				plain = plain || text != "" && !seal.Sealed(text)
				if _, err := r.box.Open(text, string(s.Name)); err != nil {
					log.Error("a stream's source cannot be read: restore the file seal of the data folder, or enter the source again", "stream", s.Name, "error", err)
				}
			}
		}
		if !plain {
			continue
		}
		if _, err := r.Put(ctx, r.stored(s)); err != nil {
			log.Warn("a stream's source stays in the log unsealed until it is written again", "stream", s.Name, "error", err)
		}
	}
}

func (r streamRecords) Watch(ctx context.Context, changed func()) {
	for {
		next := r.table.Changed()
		changed()
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// decided says a decision's failure in the API's words.
func decided(err error) error {
	switch {
	case errors.Is(err, cluster.ErrConflict):
		return rest.ErrConflict
	case errors.Is(err, cluster.ErrNotFound):
		return rest.ErrNotFound
	case errors.Is(err, cluster.ErrNoLeader), errors.Is(err, cluster.ErrClosed):
		return rest.ErrNoLeader
	}
	return err
}

// roomRecords are the rules of rooms, and who is there.
type roomRecords struct {
	table *cluster.Table[cluster.Rules, *cluster.Rules]
	open  func() []id.Stream // in which somebody sits
	count func(id.Stream) int
}

// rooms of this node.
func (n *node) rooms() rest.Rooms {
	open := n.sockets.Rooms()
	return roomRecords{table: n.cluster.Decisions.Rules, open: open.Names, count: func(room id.Stream) int {
		if people, ok := open.Count(room); ok {
			return people
		}
		st, ok := n.sfu.Stream(room)
		if !ok {
			return 0
		}
		return watching(st)
	}}
}

func (r roomRecords) All() []id.Stream {
	var list []id.Stream
	for _, rules := range r.table.All() {
		list = append(list, rules.Room)
	}
	return append(list, r.open()...)
}

func rulesOf(r cluster.Rules) rest.RoomRules {
	return rest.RoomRules{Chat: r.Chat, Guests: r.Guests, Slow: r.Slow, Publish: cmp.Or(r.Publish, cluster.PublishToken)}
}

func (r roomRecords) Rules(room id.Stream) (rest.RoomRules, bool) {
	rules, ok := r.table.Find(string(room))
	if !ok {
		return rulesOf(cluster.DefaultRules(room)), false
	}
	return rulesOf(rules), true
}

func (r roomRecords) SetRules(ctx context.Context, room id.Stream, v rest.RoomRules) (rest.RoomRules, error) {
	if have, own := r.Rules(room); own && have == v {
		return have, nil // a repeated PUT writes nothing
	}
	done, err := r.table.Put(ctx, cluster.Rules{Room: room, Chat: v.Chat, Guests: v.Guests, Slow: v.Slow, Publish: v.Publish})
	return rulesOf(done), decided(err)
}

func (r roomRecords) Count(room id.Stream) int { return r.count(room) }

var (
	_ rest.Streams = streamRecords{}
	_ rest.Rooms   = roomRecords{}
)
