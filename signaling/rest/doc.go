// Package rest is /api/v1: streams, rooms, tokens, stream keys, nodes, for programs and for our own pages.
//
// One table (endpoints.go) has every route: method, path, the right that it takes, the shapes of its body and answer, its handler. Routes are
// registered from it, permission is asked by it before a handler runs, and GET /api/v1/openapi.json is made from it and from the Go types, so the three
// cannot tell different stories.
//
// Streams come from three places. Those of the configuration file are read-only here. Those that the API made are records that all nodes share
// (Streams), and Run declares them to the media plane of this node. Those that somebody just publishes live as long as they do.
package rest
