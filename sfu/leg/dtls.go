package leg

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
)

func (p *Port) dtlsOptions(verify func([][]byte, [][]*x509.Certificate) error) []dtls.ServerOption {
	return []dtls.ServerOption{
		dtls.WithCertificates(p.certificate),
		// AES-128-GCM first: a quarter of the cost of CTR with SHA-1, which some clients still need.
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithEllipticCurves(elliptic.X25519, elliptic.P256),
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithVerifyPeerCertificate(verify),
		dtls.WithInsecureSkipVerify(true),      // no chain: the fingerprint is the identity
		dtls.WithInsecureSkipVerifyHello(true), // ICE has shown already that the address is the peer's
		dtls.WithFlightInterval(100 * time.Millisecond),
	}
}

// sendDTLS sends a handshake datagram on the path of the moment: the address may change under a live session.
func (l *Leg) sendDTLS(b []byte) error {
	p := l.path.Load()
	if p == nil {
		return errors.New("no path to the peer")
	}
	l.port.sendOn(p, b)
	return nil
}
