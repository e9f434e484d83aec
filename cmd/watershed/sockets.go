package main

import (
	"github.com/labstack/echo/v4"

	"watershed/sfu"
	"watershed/sfu/ingest/whip"
	"watershed/signaling/access"
	"watershed/signaling/socket"
)

// openSockets routes /ws.
func (n *node) openSockets(publishers *whip.Server) {
	n.sockets = socket.New(socket.Config{
		SFU: n.sfu, Publishers: publishers, Access: n.access, Admit: n.access.Admit(n.sfu.Ensure),
		Decisions: n.cluster.Decisions, Messages: n.cluster.Messages,
		Secret: n.secret, Node: n.cluster.ID, Version: version(), TURN: n.turn, Log: n.log,
		Describe: func(p *access.Principal, st *sfu.Stream) any { return n.api.Stream(p, st) },
	})
	n.sig.Echo().GET("/ws", echo.WrapHandler(n.sockets))
}
