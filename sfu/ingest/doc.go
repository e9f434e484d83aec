// Package ingest holds the adapters: each protocol's way from a source to Writers of package sfu.
//
// Every adapter ends in the same sink (sfu.Stream.Begin, then Writer.Write of access units) and none knows who reads. Pulling
// adapters are a sfu.Puller: they return when the source fails, and are called again. Pushed ones are servers that ask an Admit
// function first.
package ingest
