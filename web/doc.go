// Package web is the face in a browser: the pages, the player that others may embed, and what they are built from.
//
// The sources are TypeScript in src; `npm run build` puts modules with hashed names into dist, which this package embeds. A
// page is a template here that names the stream and shows its poster before any script runs, and one module:
//
//	/                 src/pages/hub.tsx      the wall of streams
//	/watch/{stream}   src/pages/watch.tsx    player and chat
//	/room/{room}      src/pages/room.tsx     people who see each other
//	/publish/{stream} src/pages/publish.tsx  a camera or a screen, by WHIP
//	/embed/{stream}   src/pages/embed.ts     only the player, for frames
//	/embed.js         src/player             <watershed-player> for foreign pages, one script, no framework
//
// src/player is a custom element with nothing beside it: WHEP first, then LL-HLS, then HLS. Its first step is also
// a small script (early.js) inside the page's head, so that the picture does not wait for the modules: it sends the offer or, where the visitor
// asked for HLS, fetches what hls.js begins with while that is on its way itself. With low latency hls.js only loads and appends:
// steady.ts chooses the encoding, pace.ts the speed of playing. src/socket.ts speaks
// watershed.v1 (signaling/PROTOCOL.md) and knows no browser. Pages learn who the visitor is from a token in the address's
// fragment or local storage; the server renders nothing that needs one.
//
// worker is no page but a Cloudflare Worker for the HLS bridge's crowd: it checks path tokens and keeps them out of the cache's keys. It is tested in
// workerd; the real Cloudflare is not tested.
package web
