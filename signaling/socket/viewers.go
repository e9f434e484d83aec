package socket

import (
	"time"

	"watershed/sfu/id"
	"watershed/sfu/media"
	"watershed/signaling/rest"
)

// viewersOf a stream are the sockets that carry it now.
func (s *Server) viewersOf(stream id.Stream) map[*conn]*viewer {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.open))
	for c := range s.open {
		all = append(all, c)
	}
	s.mu.Unlock()
	found := map[*conn]*viewer{}
	for _, c := range all {
		if v := c.currentViewer(); v != nil && v.watches(stream) {
			found[c] = v
		}
	}
	return found
}

// Viewers of a stream by socket on this node.
func (s *Server) Viewers(stream id.Stream) []rest.Viewer {
	var list []rest.Viewer
	for c, v := range s.viewersOf(stream) {
		q := v.sfu.Quality()
		out := rest.Viewer{
			ID: c.id, Protocol: "ws", Since: rest.Millis(v.sfu.Joined().UnixMilli()), Address: c.request.RemoteAddr, User: c.user, Name: c.name,
			Loss: q.Loss, RTT: float64(q.RTT) / float64(time.Millisecond),
		}
		for _, sl := range v.sfu.Slots {
			l := sl.Layer()
			if l == nil || l.Track.Stream.Name != stream {
				continue
			}
			_, _, bitrate, _ := l.Frames()
			out.Bitrate += int(bitrate)
			if sl.Kind == media.Video {
				out.Layer = l.Label
			}
		}
		list = append(list, out)
	}
	return list
}

// Kick ends what a socket watches, and leaves the socket; false if there is none of this id.
func (s *Server) Kick(stream id.Stream, viewer string, reason error) bool {
	for c := range s.viewersOf(stream) {
		if c.id == viewer {
			return c.dropViewer(reason)
		}
	}
	return false
}

var _ rest.Viewers = (*Server)(nil)
