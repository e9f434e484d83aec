// Package hlsbridge carries streams to the crowd over HTTP: LL-HLS that any CDN can cache.
//
// # Actors
//
// A packager serves one stream. It follows the rings of the layers that it publishes, cuts their frames
// into parts and segments (package cmaf), and after each part stores a new generation. A rendition is one of these layers; the first
// one leads: where its segments begin, those of all others begin. A generation is everything that a request can see, immutable: playlists rendered and
// compressed in full and as a delta, and the bodies of all segments and parts that may still be asked for.
//
// # Who owns what
//
//   - A packager is one goroutine (packager.run). It alone touches the renditions.
//   - Requests touch only generations: load the pointer, compare numbers, write bytes. One that asks for what
//     is not there yet is kept in waits under what it asks for, and answered when that is published, by as many goroutines as there are processors. Package crowd
//     does that, for shields, too.
//   - Over plain HTTP/1.1 package lane reads the requests of players, and one that waits is a connection and some words; over HTTP/2, and whatever
//     else net/http serves, it is a goroutine.
//   - Bridge's mutex guards the list of packagers and is held for a look-up.
//
// # What a URL means
//
//	/hls/{stream}/index.m3u8                     multivariant playlist
//	/hls/{stream}/v0.m3u8, a0.m3u8               media playlists, pictures and sound
//	/hls/{stream}/{epoch}/v0/{msn}.m4s           a segment
//	/hls/{stream}/{epoch}/v0/{msn}.{part}.m4s    a part of it
//	/hls/{stream}/{epoch}/v0/init{n}.mp4         the n-th initialisation segment
//	/hls/{stream}/compat.m3u8                    MPEG-TS for old players, made of the same segments when somebody asks
//	/hls/{stream}/dvr.m3u8, vod.m3u8, clip.mp4   recordings: timeshift.go
//	/hls/{stream}/dvr.json                       what a time line shows of them: dvr.go
//	/dash/{stream}/manifest.mpd                  LL-DASH of the same files
//	/flv/{stream}.flv                            HTTP-FLV
//
// An epoch is one life of a packager, so no name is ever used twice, and numbers only grow: the first media sequence number
// of an epoch is the half seconds since 2026 began, and segments last a second or more. Its first discontinuity sequence is the hours, or one more than
// the last epoch's, which a file keeps over a restart (numbers.go): hls.js cannot have large ones.
// Playlists hold relative addresses and nothing of who asks. They are the same bytes for everyone.
//
// # Caches in front
//
// edge has configurations for nginx and Varnish, web/worker is one for Cloudflare, and a node with shield: true (package shield) is one of
// our own. What they save is seen in watershed_hls_requests_total, and with `watershed loadtest hls --origin-metrics`.
//
// # When packaging runs
//
// From a stream's first request until thirty seconds after the last, for a stream on demand; five minutes after the last for others,
// whose source runs anyway: a first playlist at once is worth the processor's hundredth.
package hlsbridge
