package rtsp

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// What was read is the same when it is written and read again, and nothing beyond it is touched.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("SETUP rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"))
	f.Add([]byte("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0rest"))
	f.Add([]byte("$\x00\x00\x02ab"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readMessage(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		again, err := readMessage(bufio.NewReader(bytes.NewReader(append(m.bytes(), "rest"...))))
		require.NoError(t, err)
		require.Equal(t, m.first, again.first)
		require.Equal(t, m.body, again.body)
		require.Equal(t, m.frame, again.frame)
	})
}

func TestTransportParameters(t *testing.T) {
	const transport = "RTP/AVP;unicast;client_port=4588-4589;Server_Port=6256;ssrc=D3B35A24"
	for key, want := range map[string]int{"client_port": 4588, "server_port": 6256} {
		n, ok := parameter(transport, key)
		require.True(t, ok)
		require.Equal(t, want, n)
	}
	for _, key := range []string{"interleaved", "ssrc", "unicast"} {
		_, ok := parameter(transport, key)
		require.False(t, ok, key)
	}
}
