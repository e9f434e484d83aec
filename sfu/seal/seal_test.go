package seal

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/stretchr/testify/require"
)

var (
	key  = []byte("0123456789abcdef")
	salt = []byte("salt-of-12-b")
)

// TestOpensWithAnotherImplementation seals across a rollover of the sequence number and lets pion/srtp open every packet.
func TestOpensWithAnotherImplementation(t *testing.T) {
	s, err := New(key, salt)
	require.NoError(t, err)
	open, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	require.NoError(t, err)
	for index := uint64(65000); index < 3*65536; index += 13 {
		h := rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(index), Timestamp: uint32(index * 3600), SSRC: 0xfedcba98, Marker: index%2 == 0}
		payload := bytes.Repeat([]byte{byte(index)}, int(index%1188)+1)
		buf := make([]byte, 12+len(payload)+Overhead)
		_, err := h.MarshalTo(buf)
		require.NoError(t, err)
		n := s.Seal(buf, payload, h.SSRC, index)
		require.Equal(t, len(buf), n)
		plain, err := open.DecryptRTP(nil, buf[:n], nil)
		require.NoError(t, err, "index %d", index)
		require.Equal(t, payload, plain[12:])
	}
}

func TestSealAllocatesNothing(t *testing.T) {
	s, err := New(key, salt)
	require.NoError(t, err)
	payload, buf, index := make([]byte, 1188), make([]byte, 1400), uint64(0)
	require.Zero(t, testing.AllocsPerRun(100, func() { index++; s.Seal(buf, payload, 1, index) }))
}

func TestWrongLengths(t *testing.T) {
	_, err := New(key[:5], salt)
	require.Error(t, err)
	_, err = New(key, salt[:11])
	require.Error(t, err)
}

// BenchmarkSeal compares a packet of 1,200 bytes with what a general SRTP library does for it.
func BenchmarkSeal(b *testing.B) {
	payload := make([]byte, 1188)
	buf := make([]byte, 1400)
	b.Run("straight", func(b *testing.B) {
		s, _ := New(key, salt)
		b.ReportAllocs()
		for i := range b.N {
			s.Seal(buf, payload, 1, uint64(i))
		}
	})
	b.Run("pion", func(b *testing.B) {
		c, _ := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
		h := rtp.Header{Version: 2, PayloadType: 96, SSRC: 1}
		plain := make([]byte, 1200)
		b.ReportAllocs()
		for i := range b.N {
			h.SequenceNumber = uint16(i)
			h.MarshalTo(plain)
			copy(buf, plain)
			c.EncryptRTP(buf[:1216], buf[:1200], &h)
		}
	})
}
