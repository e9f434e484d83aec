package leg

import (
	"bytes"
	"context"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
)

type nobody struct{}

func (nobody) Ready(*Leg)         {}
func (nobody) RTCP(*Leg, []byte)  {}
func (nobody) Closed(*Leg, error) {}

// FuzzReceive throws datagrams at the port: from strangers, and from the address of a leg.
func FuzzReceive(f *testing.F) {
	port, err := Listen(context.Background(), Config{Listen: "127.0.0.1:0", Shards: 1})
	require.NoError(f, err)
	f.Cleanup(port.shutdown)
	l, err := port.New(Remote{Ufrag: "them", Password: "their password of some length", Fingerprint: "AB"}, nobody{})
	require.NoError(f, err)
	known := netip.MustParseAddrPort("127.0.0.1:9")
	port.route(l, &path{peer: known, addr: port.conns[0].Addr(known)})
	ufrag, password := l.Credentials()
	check, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag+":them"),
		stun.RawAttribute{Type: stun.AttrUseCandidate}, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	require.NoError(f, err)
	f.Add(check.Raw, true)
	f.Add([]byte{0x80, 200, 0, 6, 1, 2, 3, 4}, true)
	f.Add([]byte{22, 254, 253, 0, 0}, true)
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, false)
	f.Fuzz(func(t *testing.T, datagram []byte, fromLeg bool) {
		from := netip.MustParseAddrPort("127.0.0.1:7")
		if fromLeg {
			from = known
		}
		port.receive(datagram, from, path{peer: from})
	})
}

// FuzzFrames reads what a TCP connection brings: no frame is larger than a datagram, and none takes from the next.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 3, 1, 2, 3, 0, 0, 0, 1, 9})
	f.Add([]byte{255, 255, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r, buf := bytes.NewReader(stream), make([]byte, maxFrame)
		for at := 0; ; {
			n, err := readFrame(r, buf)
			if err != nil {
				return
			}
			require.Equal(t, stream[at+2:at+2+n], buf[:n])
			at += 2 + n
		}
	})
}

// TestChecksNeedThePassword: nothing that a stranger sends makes its address the leg's.
func TestChecksNeedThePassword(t *testing.T) {
	port, err := Listen(context.Background(), Config{Listen: "127.0.0.1:0", Shards: 1})
	require.NoError(t, err)
	t.Cleanup(port.shutdown)
	l, err := port.New(Remote{Ufrag: "them", Password: "x", Fingerprint: "AB"}, nobody{})
	require.NoError(t, err)
	ufrag, _ := l.Credentials()
	from := netip.MustParseAddrPort("127.0.0.1:7")
	for name, integrity := range map[string]stun.Setter{
		"wrong password": stun.NewShortTermIntegrity("guess"),
		"none":           stun.Fingerprint,
	} {
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag+":them"), stun.RawAttribute{Type: stun.AttrUseCandidate}, integrity)
		require.NoError(t, err)
		require.True(t, port.receive(m.Raw, from, path{peer: from}), name)
		require.Nil(t, l.path.Load(), name)
	}
	require.EqualValues(t, 2, port.Rejected())
}

func TestUnknownDatagramsAreLeftToOthers(t *testing.T) {
	port, err := Listen(context.Background(), Config{Listen: "127.0.0.1:0", Shards: 1})
	require.NoError(t, err)
	t.Cleanup(port.shutdown)
	from := netip.MustParseAddrPort("127.0.0.1:7")
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("somebody:else"))
	require.NoError(t, err)
	require.False(t, port.receive(m.Raw, from, path{peer: from}))
	require.False(t, port.receive([]byte{22, 254, 253}, from, path{peer: from}))
	require.True(t, port.receive(nil, from, path{peer: from}))
}
