package sdpfrag

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// From RFC 9725 section 4.3.1, with its lines about m-sections.
const trickle = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n" +
	"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\na=end-of-candidates\r\n"

func TestParse(t *testing.T) {
	f, err := Parse(trickle)
	require.NoError(t, err)
	require.Equal(t, Fragment{
		Ufrag: "EsAw", Password: "P2uYro0UCOQ4zxjKXaWCBui1", End: true,
		Candidates: []string{"1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1"},
	}, f)
	again, err := Parse(f.String())
	require.NoError(t, err)
	require.Equal(t, f, again)
	for _, bad := range []string{"", "hello", "a=ice-ufrag:EsAw\r\n", "a=ice-ufrag:E\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n", "a=mid:0\r\n"} {
		_, err := Parse(bad)
		require.Error(t, err, "%q", bad)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(trickle)
	f.Fuzz(func(t *testing.T, body string) {
		p, err := Parse(body)
		if err != nil {
			return
		}
		again, err := Parse(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}
