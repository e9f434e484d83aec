// Package room is people round a stream: who is there, what they say, what they publish, what moderators decide.
//
// # Actors
//
// A Hub has the rooms in which somebody sits on this node. A Room is one goroutine (Room.run) that owns its members and what they
// publish; others post to it, nobody else touches it. It lives from the first member to the last; what must
// outlive it is in package cluster: the history in Messages, rules and sanctions in Decisions.
//
// A panic in a room ends that room: its members' sockets close and come back to a new one, which has the same history.
//
// # The path of a message
//
//	Hub.Say           rules, sanctions, limits; then cluster.Messages.Say commits it and gives its offset
//	Messages.Watch    pokes the room, on every node
//	Room.flush        at most each 100 ms: reads what is new, checks sanctions once more, encodes one frame
//	Outlet.Send       the same bytes into each member's queue, never waiting
//
// A member who joins gets the history up to what the room has sent, and from then on what the room sends: nothing is lost between, nothing
// comes twice.
//
// # Voices
//
// While somebody publishes, the room asks each voice for its level and ranks who speaks (speakers.go). Moderators' mutes are enforced where the sound comes in.
//
// # Presence
//
// The count of a room is its members here, plus those who watch the stream of the same name by WebRTC, HLS or any protocol, less the members of
// whom is known that they are among these: whoever watches over the same socket, or said so (Member.Playing).
package room
