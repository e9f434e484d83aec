package rest

import (
	"cmp"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"watershed/sfu"
	"watershed/sfu/id"
	"watershed/signaling/access"
	"watershed/signaling/problem"
)

// Where a stream was declared.
const (
	originFile = "file"
	originAPI  = "api"
	originPush = "push"
)

const (
	defaultLimit = 1000
	maxLimit     = 5000

	retryDecision = 2 * time.Second // an election takes 1.1 s
)

func (a *API) origin(name id.Stream) string {
	if a.cfg.Files(name) {
		return originFile
	}
	if _, ok := a.cfg.Streams.Find(name); ok {
		return originAPI
	}
	return originPush
}

// Stream as the principal may see it; what it may not is left out.
func (a *API) Stream(p *access.Principal, st *sfu.Stream) Stream {
	now := st.Status()
	name := string(st.Name)
	s := Stream{
		Name: st.Name, Tenant: st.Name.Tenant(), Public: now.Spec.Public,
		State: string(now.State), Reason: string(now.Reason), Since: millis(now.Since), Created: millis(st.Created),
		Viewers: now.Viewers, Demand: now.Spec.Demand, Idle: int(now.Spec.Idle / time.Second),
		Ladder: append([]string{}, now.Spec.Ladder...), Record: now.Spec.Record,
		DVR: int(now.Spec.DVR / time.Second), Keep: int(now.Spec.Keep / time.Second), KeepSize: now.Spec.KeepSize, Origin: a.origin(st.Name), Tracks: []Track{},
		Links: Links{
			WHEP: "/whep/" + name, HLS: "/hls/" + name + "/index.m3u8", Poster: prefix + "/streams/" + name + "/snapshot", Page: "/watch/" + name,
		},
	}
	for _, n := range now.Viewers {
		s.Watching += n
	}
	if stored, ok := a.cfg.Streams.Find(st.Name); ok && s.Origin == originAPI {
		s.Title, s.Created = stored.Title, millis(stored.Created)
	}
	for _, t := range now.Tracks {
		s.Tracks = append(s.Tracks, trackOf(t))
	}
	failure := ""
	if a.cfg.Recording != nil {
		s.Recording, failure = a.cfg.Recording(st)
	}
	if a.cfg.Access.May(p, access.Source, st.Name) == nil {
		s.Message, s.RecordingFailure = now.Message, failure
		s.Source = sourceOf(now)
	}
	return s
}

func trackOf(t *sfu.Track) Track {
	out := Track{Kind: t.Kind.String(), Layers: []Layer{}}
	for _, l := range t.Layers() {
		cfg := l.Config()
		_, _, bitrate, fps := l.Frames()
		out.Layers = append(out.Layers, Layer{
			Label: l.Label, Codec: l.Codec.String(), Width: cfg.Width, Height: cfg.Height, FPS: cmp.Or(fps, cfg.FPS), Bitrate: int(bitrate), Converted: l.Converted,
		})
	}
	return out
}

func sourceOf(now sfu.Status) *Source {
	s := &Source{Kind: "push", Inputs: []string{}, Active: -1}
	if len(now.Spec.Inputs) > 0 {
		s.Kind = "pull"
	}
	for _, in := range now.Spec.Inputs {
		s.Inputs = append(s.Inputs, sfu.Redact(in.High))
	}
	for _, f := range now.Feeds {
		s.Active, s.Tries = max(s.Active, f.Active), max(s.Tries, f.Tries)
	}
	return s
}

// Streams that a list for the principal shows, by name. A tenant other than its own gives its public ones; "" is its own.
func (a *API) Streams(p *access.Principal, tenant string) []*sfu.Stream {
	var list []*sfu.Stream
	for _, st := range a.cfg.SFU.Streams() {
		_, _, ephemeral := st.Name.Room()
		if ephemeral || tenant == "" && !a.cfg.Access.Sees(p, st.Name) ||
			tenant != "" && (st.Name.Tenant() != tenant || a.cfg.Access.May(p, access.Watch, st.Name) != nil) {
			continue
		}
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b *sfu.Stream) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (a *API) listStreams(c *call) (any, error) {
	limit := defaultLimit
	if q := c.QueryParam("limit"); q != "" {
		n, err := strconv.Atoi(q)
		if err != nil || n < 1 || n > maxLimit {
			return nil, problem.BadField("limit", "use 1 to 5000")
		}
		limit = n
	}
	out := StreamList{Streams: []Stream{}}
	for _, st := range a.Streams(c.who, c.QueryParam("tenant")) {
		if string(st.Name) <= c.QueryParam("after") {
			continue
		}
		if len(out.Streams) == limit {
			out.Next = string(out.Streams[limit-1].Name)
			break
		}
		out.Streams = append(out.Streams, a.Stream(c.who, st))
	}
	return out, nil
}

func (a *API) stream(c *call) (any, error) {
	if stored, ok := a.cfg.Streams.Find(c.name); ok {
		c.etag = etag(stored.Version)
	}
	return a.Stream(c.who, c.stream), nil
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

// writable refuses to change what the configuration file says.
func (a *API) writable(name id.Stream) error {
	if _, _, ephemeral := name.Room(); ephemeral {
		return problem.New(http.StatusConflict, "Not a declared stream", "a participant's stream lives as long as the participant publishes")
	}
	if !a.cfg.Files(name) {
		return nil
	}
	p := problem.New(http.StatusConflict, "Declared in the configuration file", string(name)+" is declared in watershed.yaml: change it there and restart the node, or take it out there and create it here")
	p.Stream = string(name)
	return p
}

// matches answers a precondition (RFC 9110 section 13.1) on the record of which this is the version, 0 if there is none.
func matches(c *call, version uint64) error {
	h := c.Request().Header
	want, none := h.Get("If-Match"), h.Get("If-None-Match")
	switch {
	case want != "" && !names(want, version):
		return ErrConflict
	case none != "" && names(none, version):
		return problem.New(http.StatusPreconditionFailed, "It is there already", "without If-None-Match it is replaced")
	}
	return nil
}

// names reports whether a header of preconditions, a list of ETags or *, is for the version.
func names(header string, version uint64) bool {
	if version == 0 {
		return false
	}
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(version) {
			return true
		}
	}
	return false
}

func (a *API) putStream(c *call) (any, error) {
	var body StreamBody
	if err := a.readStream(c, &body); err != nil {
		return nil, err
	}
	return a.change(c, func(s *Stored) error {
		s.Title, s.Spec = "", sfu.Spec{}
		return a.fill(s, &body)
	})
}

func (a *API) patchStream(c *call) (any, error) {
	var body StreamBody
	if err := a.readStream(c, &body); err != nil {
		return nil, err
	}
	return a.change(c, func(s *Stored) error { return a.fill(s, &body) })
}

func (a *API) readStream(c *call, body *StreamBody) error {
	if err := a.writable(c.name); err != nil {
		return err
	}
	return c.read(body)
}

// change writes the record of the call's stream, as often as others come between, and answers with the stream as it is then. Writing what is there already
// changes nothing.
func (a *API) change(c *call, edit func(*Stored) error) (any, error) {
	for {
		old, found := a.cfg.Streams.Find(c.name)
		if err := matches(c, old.Version); err != nil {
			return nil, err
		}
		s := old
		s.Name, s.By = c.name, c.who.Subject
		if !found && c.stream != nil {
			s.Spec = c.stream.Spec() // somebody publishes it: it becomes a declared one
		}
		if err := edit(&s); err != nil {
			return nil, err
		}
		s.Spec.Ephemeral = false
		c.status, c.at = http.StatusOK, ""
		if !found {
			c.status, c.at = http.StatusCreated, prefix+"/streams/"+string(c.name)
		}
		if found && s.Title == old.Title && reflect.DeepEqual(s.Spec, old.Spec) {
			return a.written(c, old)
		}
		done, err := a.cfg.Streams.Put(c.ctx, s)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		a.cfg.Log.Info("stream written", "stream", c.name, "by", c.who.Subject)
		return a.written(c, done)
	}
}

func (a *API) written(c *call, s Stored) (any, error) {
	a.apply()
	c.etag = etag(s.Version)
	st, ok := a.cfg.SFU.Stream(c.name)
	if !ok {
		return nil, ErrNotFound // deleted by another meanwhile
	}
	return a.Stream(c.who, st), nil
}

func (a *API) deleteStream(c *call) (any, error) {
	if err := a.writable(c.name); err != nil {
		return nil, err
	}
	for {
		stored, found := a.cfg.Streams.Find(c.name)
		if err := matches(c, stored.Version); err != nil {
			return nil, err
		}
		if !found {
			a.cfg.SFU.Remove(c.name) // pushed: its publisher is told
			return nil, nil
		}
		err := a.cfg.Streams.Delete(c.ctx, c.name, stored.Version)
		if errors.Is(err, ErrConflict) {
			continue // what was written meanwhile may not be what If-Match is for
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		break
	}
	a.apply()
	a.cfg.Log.Info("stream deleted", "stream", c.name, "by", c.who.Subject)
	return nil, nil
}

// apply declares what the records say and this node does not have yet, and removes what they no longer say.
func (a *API) apply() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := map[id.Stream]sfu.Spec{}
	for _, s := range a.cfg.Streams.All() {
		if !a.cfg.Files(s.Name) {
			now[s.Name] = s.Spec
		}
	}
	for name := range a.applied {
		if _, ok := now[name]; !ok {
			a.cfg.SFU.Remove(name)
		}
	}
	for name, spec := range now {
		if old, ok := a.applied[name]; !ok || !reflect.DeepEqual(old, spec) {
			a.cfg.SFU.Declare(name, spec)
		}
	}
	a.applied = now
	a.cfg.Access.Recheck() // one may have stopped being public
}

func (a *API) viewers(c *call) (any, error) {
	out := ViewerList{Viewers: append([]Viewer{}, a.cfg.Viewers.Viewers(c.name)...)}
	if a.cfg.Access.May(c.who, access.Source, c.name) != nil {
		for i := range out.Viewers {
			out.Viewers[i].Address = ""
		}
	}
	return out, nil
}

var errKicked = errors.New("ended by a moderator")

func (a *API) kick(c *call) (any, error) {
	if !a.cfg.Viewers.Kick(c.name, c.Param("viewer"), errKicked) {
		return nil, problem.New(http.StatusNotFound, "Unknown viewer", "the session may have ended already")
	}
	a.cfg.Log.Info("viewer ended", "stream", c.name, "by", c.who.Subject)
	return nil, nil
}

// play says where a public stream is, and makes a path token for any other.
func (a *API) play(c *call) (any, error) {
	out := Play{URLs: map[string]string{}}
	before := ""
	if !c.stream.Spec().Public {
		path, expires, err := a.cfg.Access.MintPath(c.who, c.name)
		if err != nil {
			return nil, err
		}
		before, out.Expires = "/t/"+path, millis(expires)
	}
	for format, path := range a.cfg.Formats {
		out.URLs[format] = before + replaceName(path, c.name)
	}
	return out, nil
}
