package streamid

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]ID{
		"publish:river-1:k7":                      {Mode: "publish", Stream: "river-1", Key: "k7"},
		"publish:river-1":                         {Mode: "publish", Stream: "river-1"},
		"publish:acme~river:k:takeover=1":         {Mode: "publish", Stream: "acme~river", Key: "k", Takeover: true},
		"read:river-1":                            {Mode: "request", Stream: "river-1"},
		"#!::m=publish,r=river-1,s=k7,u=me":       {Mode: "publish", Stream: "river-1", Key: "k7", User: "me"},
		"#!::r=river-1":                           {Mode: "request", Stream: "river-1"},
		"#!::r=a,m=publish,takeover=1,h=host,x=y": {Mode: "publish", Stream: "a", Takeover: true},
	} {
		got, err := Parse(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "river-1", "publish:", "push:river-1", "#!::m=publish", "#!::", "publish:" + strings.Repeat("a", 512)} {
		_, err := Parse(s)
		require.Error(t, err, s)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("publish:river-1:k7")
	f.Add("#!::m=publish,r=river-1,s=k7")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		if err == nil && (id.Stream == "" || id.Mode != "publish" && id.Mode != "request") {
			t.Fatalf("%+v", id)
		}
	})
}
