package hlsbridge

import (
	"testing"

	"github.com/stretchr/testify/require"

	"watershed/sfu/media"
)

// An initialisation segment goes with the last segment that needs it, and comes back under its number while it is here.
func TestInitsAreForgotten(t *testing.T) {
	r := &rendition{inits: [][]byte{[]byte("a")}, configs: []*media.Config{{}}, open: &segment{msn: 9}}
	r.segments = []*segment{{msn: 7}, {msn: 8}}
	before := r.inits
	r.adopt(&media.Config{}, []byte("b"))
	require.Equal(t, 1, r.init)
	r.adopt(&media.Config{}, []byte("a"))
	require.Equal(t, 0, r.init)
	r.adopt(&media.Config{}, []byte("b"))
	r.open.init, r.segments[1].init = 1, 1
	all := r.inits
	r.forget(8)
	require.Equal(t, [][]byte{nil, []byte("b")}, r.inits)
	require.Nil(t, r.configs[0])
	require.Equal(t, [][]byte{[]byte("a"), []byte("b")}, all, "generations keep what they have")
	require.Len(t, before, 1)
	r.adopt(&media.Config{}, []byte("a"))
	require.Equal(t, 2, r.init, "names are never used twice")
}
