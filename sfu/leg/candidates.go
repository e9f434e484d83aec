package leg

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// Addresses at which peers can reach the port: those configured as public, else those of the interfaces.
func (p *Port) Addresses() []netip.Addr {
	if len(p.cfg.Public) > 0 {
		return p.cfg.Public
	}
	local := p.conns[0].LocalAddr().Addr().Unmap()
	if !local.IsUnspecified() {
		return []netip.Addr{local}
	}
	var found, loopback []netip.Addr
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		prefix, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(prefix.IP)
		if ip = ip.Unmap(); !ok || ip.IsLinkLocalUnicast() {
			continue
		}
		if ip.IsLoopback() {
			if ip.Is4() { // one loopback candidate is enough for a browser on this machine
				loopback = append(loopback, ip)
			}
			continue
		}
		found = append(found, ip)
	}
	return append(found, loopback...)
}

// Peers are the UDP addresses of the candidates.
func (p *Port) Peers() (all []netip.AddrPort) {
	port := p.conns[0].LocalAddr().Port()
	for _, ip := range p.Addresses() {
		all = append(all, netip.AddrPortFrom(ip, port))
	}
	return all
}

// Local is an address at which this machine itself reaches the port.
func (p *Port) Local() netip.AddrPort {
	local := p.conns[0].LocalAddr()
	if local.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), local.Port())
	}
	return netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
}

// Candidates are the port's ICE candidates as SDP attribute values (RFC 8839 section 5.1), UDP before TCP.
func (p *Port) Candidates() []string {
	port := p.conns[0].LocalAddr().Port()
	var lines []string
	for i, ip := range p.Addresses() {
		lines = append(lines, fmt.Sprintf("%d 1 udp %d %s %d typ host", i+1, priority(65535-i), ip, port))
	}
	for i, ip := range p.Addresses() {
		lines = append(lines, fmt.Sprintf("%d 1 tcp %d %s %d typ host tcptype passive", i+101, priority(32000-i), ip, port))
	}
	return lines
}

// priority of a host candidate of component 1 (RFC 8445 section 5.1.2.1).
func priority(local int) uint32 { return 126<<24 | uint32(local)<<8 | 255 }

// newCertificate makes the self-signed certificate that all legs of this process share; its fingerprint goes into every answer.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make DTLS certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
