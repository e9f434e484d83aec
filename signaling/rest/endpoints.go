package rest

import (
	"net/http"

	"watershed/signaling/access"
)

// endpoint is one route.
type endpoint struct {
	method, path, summary string

	do       access.Action // what the caller must be allowed to; "": everybody may ask
	existing bool          // the path's stream must be there
	body     any           // zero value of what is sent; nil: nothing
	answer   any           // zero value of what comes; nil: nothing
	status   int           // of success
	query    []string      // parameters that it knows
	media    string        // type of an answer that is not JSON

	handle func(*API, *call) (any, error) // nil: served elsewhere, and only described here
}

// prefix of all paths.
const prefix = "/api/v1"

// endpoints are all routes of the API but openapi.json itself.
var endpoints = []endpoint{
	{method: "GET", path: "/streams", summary: "List the streams that the caller may see", do: access.List, answer: StreamList{}, query: []string{"limit", "after", "tenant"}, handle: (*API).listStreams},
	{method: "GET", path: "/streams/:stream", summary: "One stream, with its state and reason", do: access.Watch, existing: true, answer: Stream{}, handle: (*API).stream},
	{method: "PUT", path: "/streams/:stream", summary: "Create a stream, or replace what it is", do: access.Manage, body: StreamBody{}, answer: Stream{}, handle: (*API).putStream},
	{method: "PATCH", path: "/streams/:stream", summary: "Change some of what a stream is", do: access.Manage, existing: true, body: StreamBody{}, answer: Stream{}, handle: (*API).patchStream},
	{method: "DELETE", path: "/streams/:stream", summary: "Delete a stream; who watches it is disconnected", do: access.Manage, existing: true, status: http.StatusNoContent, handle: (*API).deleteStream},
	{method: "GET", path: "/streams/:stream/viewers", summary: "Who watches by WebRTC on this node", do: access.Viewers, existing: true, answer: ViewerList{}, handle: (*API).viewers},
	{method: "DELETE", path: "/streams/:stream/viewers/:viewer", summary: "End a viewer's session", do: access.Viewers, existing: true, status: http.StatusNoContent, handle: (*API).kick},
	{method: "POST", path: "/streams/:stream/play", summary: "URLs for a player that can send no header", do: access.Watch, existing: true, answer: Play{}, handle: (*API).play},
	{method: "GET", path: "/streams/:stream/keys", summary: "The stream's keys, without their secrets", do: access.Keys, answer: KeyList{}, handle: (*API).keys},
	{method: "POST", path: "/streams/:stream/keys", summary: "Make a stream key", do: access.Keys, body: KeyBody{}, answer: Key{}, status: http.StatusCreated, handle: (*API).makeKey},
	{method: "DELETE", path: "/streams/:stream/keys/:key", summary: "Delete a stream key; who publishes with it is disconnected", do: access.Keys, status: http.StatusNoContent, handle: (*API).deleteKey},
	{method: "GET", path: "/streams/:stream/snapshot", summary: "A still", do: access.Watch, media: "image/jpeg", query: []string{"at"}},

	{method: "GET", path: "/rooms", summary: "List the rooms that the caller may be in", do: access.List, answer: RoomList{}, handle: (*API).listRooms},
	{method: "GET", path: "/rooms/:room", summary: "One room, with its rules", do: access.Join, answer: Room{}, handle: (*API).room},
	{method: "PUT", path: "/rooms/:room/rules", summary: "Replace a room's rules", do: access.Rules, body: RoomRules{}, answer: Room{}, handle: (*API).putRules},

	{method: "POST", path: "/tokens", summary: "Make a token", do: access.Mint, body: TokenBody{}, answer: Token{}, status: http.StatusCreated, handle: (*API).makeToken},
	{method: "POST", path: "/tokens/redeem", summary: "Exchange a one-time link's word for a token", body: TicketBody{}, answer: Token{}, status: http.StatusCreated, handle: (*API).redeem},
	{method: "DELETE", path: "/tokens/:jti", summary: "Revoke a token: what was begun with it ends. Everybody may revoke their own", do: access.List, status: http.StatusNoContent, handle: (*API).revoke},
	{method: "GET", path: "/path-keys", summary: "The keys of path tokens, for edge servers", do: access.PathKeys, answer: PathKeyList{}, handle: (*API).pathKeys},
	{method: "POST", path: "/path-keys", summary: "Make a new key; path tokens are signed with it from now on", do: access.PathKeys, answer: PathKey{}, status: http.StatusCreated, handle: (*API).makePathKey},
	{method: "DELETE", path: "/path-keys/:kid", summary: "Withdraw a key with all path tokens that it signed", do: access.PathKeys, status: http.StatusNoContent, handle: (*API).deletePathKey},

	{method: "GET", path: "/nodes", summary: "The nodes of the cluster", do: access.Nodes, answer: NodeList{}, handle: (*API).nodes},
	{method: "GET", path: "/me", summary: "Who the caller is, and may do", answer: Me{}, query: []string{"stream", "room"}, handle: (*API).me},
}
