// Package socket speaks watershed.v1 (signaling/PROTOCOL.md) with clients: one WebSocket each.
//
// # Actors
//
// A Server accepts sockets and knows those that are open. A conn has two goroutines: conn.read, which is the HTTP handler's own, decodes
// frames and handles one after the other, so that a client's requests are answered in order; conn.write takes what the queue
// has and owns the writing side, closing included. Everybody else (rooms, events, transports that end) only puts frames into the queue, and
// never waits: a queue that is full ends the conn with 4408.
//
// Server.Run tells watchers of streams what changed (events.go) and, when its context ends, tells every socket to go away and closes it.
//
// # Who owns what
//
//   - conn.mu guards the conn's rooms, publishers and viewer: they end from other goroutines, too.
//   - What a conn began (members, viewer, publishers, held permissions) ends before conn.read returns.
package socket
