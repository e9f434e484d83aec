// Package sfu is the media plane of one node: frames in, frames out, no HTTP, no users.
//
// # Actors
//
// A Stream is what is watched; it outlives its sources. It has at most one video and one audio Track, each with
// Layers, and each layer has a ring (package ring) of recent frames. A Session is one connection of one source. It is opened with Stream.Begin, and
// its Writers, one a layer, are the sink in which every ingest adapter ends. A Viewer is one subscriber's transport (package leg) with Slots that carry one track
// each; WHEP has two, a room's viewer as many as it negotiated. A shard owns viewers and sends to them.
//
// Layers come from three places. A session brings its Part's: the main part all tracks, with a layer for each encoding of a simulcast; the low part a camera's
// own small stream, which is pulled while a slot wants it (low.go). A conversion (convert.go) makes a layer that some reader can take when none of the source's is
// one; a ladder (ladder.go) makes smaller ones. All follow the same way once they are written.
//
// # Who owns what
//
//   - A Writer belongs to its adapter's goroutine. It alone appends to its layer's ring; when another publisher takes over, Layer.writing makes one wait for
//     the other's last frame.
//   - A shard is one goroutine (shard.run) with its own socket and batch. It owns its viewers' slots, their numbering, and the
//     lists of slots on each layer (tap). Others post to its mailbox; nobody else touches what it owns.
//   - A Stream's mutex guards its spec, its state and its lists of tracks, and is never held over a call elsewhere.
//   - Feed supervisors (Feed.supervise), one goroutine a pulled feed, so one for each part, run adapters and try again.
//   - Conversions (convert.go), one goroutine each, run the Converter between layers while a reader needs it, and a ladder (ladder.go)
//     while somebody watches. Its writers append to the new layers, whose times are their source's.
//   - The watchdog (SFU.watch) marks streams whose frames stopped, and has slots choose again when a layer begins or stops to flow.
//
// # The path of a packet
//
//	adapter             Writer.Write(access unit)
//	codec.Parser        parameter sets, keyframe?, decoding time
//	timeline.Clock      the source's time becomes the stream's
//	rtpfmt              packets, cut to equal size
//	ring.Append         one writer; immutable from here
//	mailbox             one wake-up for each shard that has viewers on the layer
//	shard.burst         for viewer: for frame: for packet: number, seal
//	udpbatch            one GSO message a viewer, one sendmmsg for many viewers
//
// A viewer who joins is first sent what the ring holds since the last keyframe, in small portions with squeezed timestamps
// (catchup.go), and then sits in the tap's list.
//
// # Which layer
//
// A slot is in one list of one tap at a time: slots, waiting (for a keyframe) or the shard's catching. One that is to rise is in another tap's coming list, too. Slot.choose finds its layer: the one asked for by label, else
// the one that its viewer's budget allows, of those that flow and that the peer takes. Streams call Slot.reselect when their layers change.
//
// A viewer whose path is known to be full is sent no faster than it drains, waits for keyframes to rise, and gets a layer that is too large for
// it slowly while no other is there (sluice.go).
//
// Feedback is read by the port's goroutines and posted to the viewer's shard, a bounded number at a time. There NACKs are answered from the ring, a lost decoder is given
// the GOP once more (feedback.go), and package bwe guesses from loss, delay and REMB what the path carries; adapt.go shares that among the viewer's slots.
package sfu
