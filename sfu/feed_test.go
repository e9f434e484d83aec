package sfu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"rtsp://10.0.0.5/1":                                "rtsp://10.0.0.5/1",
		"rtsp://user:hunter2@10.0.0.5/1":                   "rtsp://10.0.0.5/1",
		"rtsp://10.0.0.5/1?Password=hunter2&channel=1":     "rtsp://10.0.0.5/1?Password=xxxxx&channel=1",
		"rtsp://10.0.0.5/cgi?user=a&pwd=hunter2":           "rtsp://10.0.0.5/cgi?user=a&pwd=xxxxx",
		"rtsp://10.0.0.5/user=a&password=hunter2&ch=1.sdp": "rtsp://10.0.0.5/user=a&password=xxxxx&ch=1.sdp",
		"rtsp://10.0.0.5/user=a_password=hunter2_ch=1.sdp": "rtsp://10.0.0.5/user=a_password=xxxxx",
		"srt://10.0.0.5:9000?streamid=r:hunter2&latency=9": "srt://10.0.0.5:9000?streamid=xxxxx&latency=9",
		"srt://10.0.0.5:9000?passphrase=hunter2":           "srt://10.0.0.5:9000?passphrase=xxxxx",
		"rtsp://10.0.0.5/?access_token=hunter2":            "rtsp://10.0.0.5/?access_token=xxxxx",
		"rtsp://a:hunter2@10.0.0.5:x/":                     "(unreadable URL)",
		"sealed:1:abc:hunter2":                             "(unreadable URL)",
	} {
		require.Equal(t, want, Redact(raw))
	}
}
