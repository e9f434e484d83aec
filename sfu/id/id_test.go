package id

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseStream(t *testing.T) {
	for text, want := range map[string]Stream{
		"cam": "cam", "default~cam": "cam", "acme~cam": "acme~cam", "acme~lobby+ann": "acme~lobby+ann", "0": "0", strings.Repeat("a", 63): Stream(strings.Repeat("a", 63)),
		"": "", "~": "", "~cam": "", "acme~": "", "Cam": "", ".cam": "", "a~b~c": "", "lobby+": "", "+ann": "", "lobby+ann+bob": "", "a/../b": "", "cam\n": "",
		strings.Repeat("a", 64): "",
	} {
		got, err := ParseStream(text)
		require.Equal(t, want, got, text)
		require.Equal(t, want == "", err != nil, text)
	}
}

// FuzzParseStream: a name is parsed to itself, is safe in paths and URLs, and is made of the parts that it names.
func FuzzParseStream(f *testing.F) {
	f.Add("acme~lobby+ann")
	f.Add("default~cam")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStream(text)
		if err != nil {
			return
		}
		again, err := ParseStream(string(s))
		require.NoError(t, err)
		require.Equal(t, s, again)
		require.Equal(t, s, MakeStream(s.Tenant(), s.Name()))
		require.False(t, strings.ContainsAny(string(s), "/\\%?#& \x00\n"))
		require.NotContains(t, strings.Split(string(s), "~"), "..")
	})
}
