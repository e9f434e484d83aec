// Package signaling is the face to people and programs: HTTP, WHIP, WHEP, the WebSocket protocol, rooms, chat, tokens, REST.
//
// A Server is an http.Handler. It knows the media plane (package sfu) as offer → answer and streams with a state; it never
// touches a packet. Each WHEP or WHIP session is an entry in a table by its id; closing the transport removes it.
//
// The socket of PROTOCOL.md is package socket (one connection each), on package room (people round a stream, one goroutine a room), on package chat
// (what a text may be, and how many). What people say and what moderators decide is in package cluster.
//
// Who asks and what they may is package access: JWTs and stream keys become a Principal, one table says what roles may do, and whatever lasts is held and
// ends with the permission for it. The written form of tokens is package token, which edge servers and the bridge share. Package rest is /api/v1, made
// from one table of routes. An error that a client sees is a problem.Problem.
package signaling
