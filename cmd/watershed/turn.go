package main

import (
	"crypto/hmac"
	"crypto/sha256"

	"watershed/sfu/leg"
	"watershed/signaling/turn"
)

// openTURN opens the relay if the configuration asks for one; its credentials are signed with a key of their own, the same on all nodes.
func (n *node) openTURN(port *leg.Port) error {
	c := n.cfg.WebRTC.TURN
	if c.Listen == "" && c.TLS == "" {
		return nil
	}
	mac := hmac.New(sha256.New, n.secret)
	mac.Write([]byte("turn credentials"))
	cfg := turn.Config{Listen: c.Listen, TLS: c.TLS, Secret: mac.Sum(nil), Media: port.Peers, Local: port.Local(), Log: n.log}
	var err error
	if cfg.Cert, err = n.tlsConfig("http.tls", n.cfg.HTTP.TLS); err != nil {
		return err
	}
	n.turn, err = turn.New(cfg)
	return err
}
