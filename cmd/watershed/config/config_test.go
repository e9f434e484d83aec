package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestErrorsSayWhereAndWhat: every error has file, line and key, and none the value of what may be a password.
func TestErrorsSayWhereAndWhat(t *testing.T) {
	for text, want := range map[string]string{
		"http:\n  listen: :0\n  lissten: x\n":                        "f.yaml:3:3: http.lissten: unknown field",
		"webrtc:\n  shards: many\n":                                  "f.yaml:2:11: webrtc.shards: a number is wanted here, not a text",
		"webrtc:\n  shards: -1\n":                                    "f.yaml:2:3: webrtc.shards: -1",
		"webrtc: { public: [10.0.0.1, nonsense] }\n":                 "f.yaml:1:11: webrtc.public: ",
		"data: x\nhls: { part: fast }\n":                             "f.yaml:2:8: hls.part: time: invalid duration",
		"hls:\n  segment: 20s\n":                                     "f.yaml:2:3: hls.segment: 20s",
		"hls: { keepSize: much }\n":                                  "f.yaml:1:8: hls.keepSize: ",
		"data: [x]\n":                                                "f.yaml:1:7: data: a text is wanted here, not a list",
		"http: [\n":                                                  "f.yaml:1:",
		"\tdata: x\n":                                                "f.yaml:1:",
		"- data: x\n":                                                "f.yaml:1:",
		"auth: { mode: token, mode: open }\n":                        "f.yaml:1:22: auth.mode: mapping key \"mode\" already defined",
		"auth:\n  mode: none\n":                                      "f.yaml:2:3: auth.mode: ",
		"auth:\n  secret: hunter2\n":                                 "f.yaml:2:3: auth.secret: ",
		"auth:\n  claims: { rolle: x }\n":                            "f.yaml:2:3: auth.claims: ",
		"rtsp: { listen: nowhere }\n":                                "f.yaml:1:9: rtsp.listen: ",
		"http: { origins: [example.org] }\n":                         "f.yaml:1:9: http.origins: ",
		"log: { level: loud }\n":                                     "f.yaml:1:8: log.level: ",
		"log: { format: xml }\n":                                     "f.yaml:1:8: log.format: ",
		"srt: { passphrase: hunter2 }\n":                             "f.yaml:1:8: srt.passphrase: ",
		"streams:\n  UPPER: {}\n":                                    "f.yaml:2:3: streams.UPPER: ",
		"streams:\n  a.b:\n    source: camera 5\n":                   "f.yaml:2:3: streams.a.b: ",
		"streams:\n  a:\n    demand: true\n":                         "f.yaml:2:3: streams.a: demand",
		"streams:\n  a: { idle: -5s, source: \"rtsp://x/1\" }\n":     "f.yaml:2:3: streams.a: idle",
		"streams:\n  a:\n    public: rtsp://user:hunter2@h/x\n":      "f.yaml:3:13: streams.a.public: true or false is wanted here, not a text",
		"streams:\n  a:\n    source: [rtsp://user:hunter2@h/x]\n":    "f.yaml:3:13: streams.a.source: a text is wanted here, not a list",
		"streams:\n  a:\n    inputs:\n    - high: x\n      lou: y\n": "f.yaml:5:7: streams.a.inputs.lou: unknown field",
	} {
		file := filepath.Join(t.TempDir(), "f.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := Load(file)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
