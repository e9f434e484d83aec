// Package ingest holds the adapters: each protocol's way from a source to Writers of package sfu.
//
// Every adapter ends in the same sink (sfu.Stream.Begin, then Writer.Write of access units) and none knows who reads. Pulling
// adapters are a sfu.Puller: they return when the source fails, and are called again. Pushed ones come through a Door, which asks an Admit
// function first.
//
//	rtsp   pull over TCP, UDP and TLS; push by ANNOUNCE and RECORD
//	rtmp   pull and push, RTMPS and Enhanced RTMP
//	srt    caller and listener, of MPEG-TS (package mpegts)
//	whip   WebRTC publishers: WHIP's and the rooms'
//
// What they share are small packages of one idea: reorder (RTP packets in order, after a bounded wait), rtpclock (timestamps of several
// tracks on one clock), depacket (RTP payloads to access units), ingesttest (what their tests have in common).
//
// An adapter's goroutines are its connection's: each reads, and writes what it read into its own Writers. What breaks a parser ends that
// connection. Clocks that wrap (RTP's and FLV's 32 bits, MPEG-TS's 33) are made one count before they reach the sink.
package ingest
