package signaling

import (
	"time"

	"watershed/sfu/id"
	"watershed/sfu/media"
	"watershed/signaling/rest"
)

// viewerID is what others see of a session: too little of its secret address to use it.
func viewerID(sid string) string { return sid[:8] }

func (s *sessions) viewers(stream id.Stream) (list []*session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.all {
		if v != nil && v.viewer != nil && v.stream == stream {
			list = append(list, v)
		}
	}
	return list
}

// Viewers of a stream by WebRTC on this node.
func (s *Server) Viewers(stream id.Stream) []rest.Viewer {
	var list []rest.Viewer
	for _, v := range s.sessions.viewers(stream) {
		list = append(list, v.shown())
	}
	return list
}

// Kick ends a viewer's session; false if there is none of this id.
func (s *Server) Kick(stream id.Stream, viewer string, reason error) bool {
	for _, v := range s.sessions.viewers(stream) {
		if viewerID(v.id) == viewer {
			v.Close(reason)
			return true
		}
	}
	return false
}

func (v *session) shown() rest.Viewer {
	q := v.viewer.Quality()
	out := rest.Viewer{
		ID: viewerID(v.id), Protocol: "whep", Since: rest.Millis(v.since.UnixMilli()), Address: v.addr, User: v.who.Subject, Name: v.who.Name,
		Loss: q.Loss, RTT: float64(q.RTT) / float64(time.Millisecond),
	}
	for _, sl := range v.viewer.Slots {
		l := sl.Layer()
		if l == nil {
			continue
		}
		_, _, bitrate, _ := l.Frames()
		out.Bitrate += int(bitrate)
		if sl.Kind == media.Video {
			out.Layer = l.Label
		}
	}
	return out
}

var _ rest.Viewers = (*Server)(nil)
