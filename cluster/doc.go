// Package cluster is what nodes agree on: two Raft groups over the same members, and the state that grows from them.
//
// # Actors
//
// A Node is this process's membership. It has two groups, each with a log and snapshots in its own folder below Config.Dir:
// *decisions*, applied to Decisions, and *messages*, applied to Messages. A node that starts on an empty folder
// founds a cluster of one; nothing here assumes that it stays alone: servers are known by node id, addresses are records
// in the log, what a group sends goes through a raft.StreamLayer when Config.Layer gives one.
//
// # Which table holds what
//
//	Decisions.Streams      streams created by the API: spec, origin. Streams of the configuration file are not here. URLs of inputs are
//	                       sealed (package seal) by whoever writes them, so that logs and snapshots have no camera's password
//	Decisions.Rules        rooms whose rules differ from DefaultRules
//	Decisions.Sanctions    who is muted in or removed from which room, until when
//	Decisions.Revocations  ids (jti) of tokens that ended before their time, until they would have ended by themselves
//	Decisions.Keys         stream keys: a hash each, never the key
//	Decisions.SigningKeys  which keys sign tokens and path tokens, and from when to when; never a secret
//	Decisions.Members      the address book: where each node is reached for what
//	Messages               each room's recent messages in order, and which of them a client has sent before
//
// Never here: viewers, presence, load, heartbeats, analytics. They are told node to node and forgotten.
//
// # Commands
//
// An entry is version, kind, the leader's time, body (command.go). Applying is deterministic: time is the
// entry's, ids come from the proposer, nothing is read but the group's own state. A node that meets a version, kind, table or field that it does not know was
// overtaken by a newer one: it stops applying and tells Config.Halt, because to skip the entry would be to disagree for ever.
//
// # Who owns what
//
//   - Each group's state is written by Raft's one applying goroutine only, under the state's RWMutex; readers take copies.
//   - Messages.gather is one goroutine that makes one entry of what arrives within two milliseconds; a goroutine for each entry in flight waits for it.
//   - Whoever waits for changes holds a channel: closed at the next change of a table, poked at the next message of a room.
//
// # The path of a message
//
//	Messages.Say      checked by the caller; gets its id
//	gather            group commit: one entry for many messages
//	Raft              written, replicated, committed
//	Messages.Apply    seen before? then its old offset; else the room's next
//	Watch             rooms' readers are poked, and read what is new
package cluster
