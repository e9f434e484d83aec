package config

import (
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1000": 1000, "50GB": 50e9, "1.5 TB": 1.5e12, "20GiB": 20 << 30, "16MiB": 16 << 20} {
		var h HLS
		require.NoError(t, yaml.Unmarshal([]byte("keepSize: "+text), &h), text)
		require.Equal(t, want, h.KeepSize, text)
		again, err := yaml.Marshal(h)
		require.NoError(t, err)
		var back HLS
		require.NoError(t, yaml.Unmarshal(again, &back))
		require.Equal(t, h, back)
	}
	for _, text := range []string{"much", "-1", "5 PB", "1e30GB", "NaN"} {
		require.Error(t, yaml.Unmarshal([]byte("keepSize: "+text), &HLS{}), text)
	}
}

func TestRecordingKeys(t *testing.T) {
	for _, c := range []struct{ text, wrong string }{
		{"hls: { dvr: 4h, keep: 720h, keepSize: 50GB }\nstreams: { a: { record: true, dvr: 1m, keep: 1m, keepSize: 16MiB } }", ""},
		{"hls: { dvr: 25h }", "hls: dvr: 25h0m0s: use 1m0s to 24h0m0s"},
		{"hls: { keep: 10s }", "hls: keep: 10s: at least 1m0s"},
		{"hls: { keep: -1h }", "hls: keep"},
		{"hls: { keepSize: 5MB }", "hls: keepSize: 4.768 MiB: at least 16 MiB"},
		{"streams: { a: { dvr: 48h } }", "streams.a: dvr"},
		{"streams: { a: { keep: 1s } }", "streams.a: keep"},
	} {
		cfg := Default()
		require.NoError(t, cfg.parse([]byte(c.text)), c.text)
		err := cfg.Check()
		if c.wrong == "" {
			require.NoError(t, err)
			require.EqualValues(t, 16<<20, func() int64 { s := cfg.Streams["a"]; return s.Spec().KeepSize }())
			continue
		}
		require.ErrorContains(t, err, c.wrong)
	}
}
