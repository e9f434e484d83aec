package main

import (
	"github.com/labstack/echo/v4"

	"watershed/sfu/ingest/whip"
	"watershed/signaling/access"
	"watershed/signaling/socket"
)

// openSockets routes /ws.
func (n *node) openSockets(publishers *whip.Server) error {
	secret, _, err := access.Secret(n.cfg.Data, n.cfg.Auth.Secret)
	if err != nil {
		return err
	}
	n.sockets = socket.New(socket.Config{
		SFU: n.sfu, Publishers: publishers, Access: n.access, Admit: n.access.Admit(n.sfu.Ensure),
		Decisions: n.cluster.Decisions, Messages: n.cluster.Messages,
		Origins: n.cfg.HTTP.Origins, Secret: secret, Node: n.cluster.ID, Version: version(), Log: n.log,
	})
	n.sig.Echo().GET("/ws", echo.WrapHandler(n.sockets))
	return nil
}
