// Package seal protects RTP packets with AES-GCM (RFC 7714) straight into the buffer that is sent.
//
// It is the part of SRTP that a sender of one source to many needs: no state beside the key, because the caller numbers packets with
// their 48-bit index (rollover counter and sequence number) itself; no copy of the payload before it is encrypted.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// Overhead is the length of the tag after the payload.
const Overhead = 16

// headerLen of the packets sealed: no CSRCs, no extensions.
const headerLen = 12

// Sealer holds one direction's session key. It is not for concurrent use: the nonce is scratch.
type Sealer struct {
	aead  cipher.AEAD
	salt  [12]byte
	nonce [12]byte
}

// New derives the SRTP session key and salt from the master's (RFC 3711 section 4.3.1, key derivation rate 0; RFC 7714 section 11).
func New(masterKey, masterSalt []byte) (*Sealer, error) {
	block, err := aes.NewCipher(masterKey)
	if err != nil {
		return nil, fmt.Errorf("SRTP master key: %w", err)
	}
	if len(masterSalt) != 12 {
		return nil, fmt.Errorf("SRTP master salt has %d bytes, not 12", len(masterSalt))
	}
	const labelKey, labelSalt = 0, 2
	session, err := aes.NewCipher(derive(block, masterSalt, labelKey, len(masterKey)))
	if err != nil {
		return nil, err
	}
	s := &Sealer{}
	if s.aead, err = cipher.NewGCM(session); err != nil {
		return nil, err
	}
	copy(s.salt[:], derive(block, masterSalt, labelSalt, 12))
	return s, nil
}

// derive is AES in counter mode over the salt with the label in its eighth byte.
func derive(block cipher.Block, salt []byte, label byte, n int) []byte {
	var iv [16]byte
	copy(iv[:14], salt) // 12 bytes, the rest zero
	iv[7] ^= label
	out := make([]byte, n)
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, out)
	return out
}

// Seal encrypts payload after the RTP header that dst begins with, and returns the length of the whole packet. dst must have room for the header, the payload
// and Overhead. index is the packet's 48-bit SRTP index; the same index and SSRC must never be sealed twice.
func (s *Sealer) Seal(dst, payload []byte, ssrc uint32, index uint64) int {
	n := &s.nonce // RFC 7714 section 8.1: zero, SSRC, rollover counter, sequence number; all XOR salt
	n[0], n[1] = s.salt[0], s.salt[1]
	binary.BigEndian.PutUint32(n[2:], ssrc^binary.BigEndian.Uint32(s.salt[2:]))
	binary.BigEndian.PutUint32(n[6:], uint32(index>>16)^binary.BigEndian.Uint32(s.salt[6:]))
	binary.BigEndian.PutUint16(n[10:], uint16(index)^binary.BigEndian.Uint16(s.salt[10:]))
	return len(s.aead.Seal(dst[:headerLen], n[:], payload, dst[:headerLen]))
}
