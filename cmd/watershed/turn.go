package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"fmt"

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
	if files := n.cfg.HTTP.TLS; files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return fmt.Errorf("http.tls: %w", err)
		}
		cfg.Cert = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	var err error
	n.turn, err = turn.New(cfg)
	return err
}
