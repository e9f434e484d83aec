// Package soak lets cameras flap and viewers come and go for as long as one likes, with every clock started just before its wrap, and
// proves that nobody sees a broken stream and that nothing grows. `make test` runs it for seconds, `make soak` for 20 minutes.
package soak
