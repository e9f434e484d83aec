package seal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const secret, camera = "a secret of the installation", "rtsp://user:hunter2@10.0.0.5/1"

func TestSealedTextOpensInItsPlaceOnly(t *testing.T) {
	b, err := Load(filepath.Join(t.TempDir(), "seal"), []byte(secret))
	require.NoError(t, err)
	s := b.Seal(camera, "river-1")
	require.True(t, Sealed(s))
	require.NotContains(t, s, "hunter2")
	require.NotEqual(t, s, b.Seal(camera, "river-1"), "nothing tells that two cameras have one password")
	require.Equal(t, s, b.Seal(s, "river-1"))
	require.Empty(t, b.Seal("", "river-1"))

	plain, err := b.Open(s, "river-1")
	require.NoError(t, err)
	require.Equal(t, camera, plain)
	plain, err = b.Open(camera, "river-1")
	require.NoError(t, err, "what an earlier version wrote")
	require.Equal(t, camera, plain)

	for _, bad := range []string{s[:len(s)-1], s + "x", strings.ToUpper(s[:20]) + s[20:], prefix, prefix + b.id + ":", prefix + b.id + ":AAAA"} {
		kept, err := b.Open(bad, "river-1")
		if Sealed(bad) {
			require.Error(t, err, bad)
		}
		require.Equal(t, bad, kept)
	}
	_, err = b.Open(s, "river-2")
	require.Error(t, err)
}

func TestKeyStaysWhenTheSecretChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seal")
	b, err := Load(file, []byte(secret))
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	s := b.Seal(camera, "river-1")

	again, err := Load(file, []byte("another secret"))
	require.NoError(t, err)
	plain, err := again.Open(s, "river-1")
	require.NoError(t, err)
	require.Equal(t, camera, plain)

	peer, err := Load(filepath.Join(t.TempDir(), "seal"), []byte(secret))
	require.NoError(t, err)
	_, err = peer.Open(s, "river-1")
	require.NoError(t, err, "another node with the same secret")

	stranger, err := Load(filepath.Join(t.TempDir(), "seal"), []byte("another secret"))
	require.NoError(t, err)
	_, err = stranger.Open(s, "river-1")
	require.ErrorIs(t, err, ErrKey)

	require.NoError(t, os.WriteFile(file, []byte("rubbish"), 0o600))
	_, err = Load(file, []byte(secret))
	require.ErrorContains(t, err, file)
}

func FuzzOpen(f *testing.F) {
	b, err := New(make([]byte, keyBytes))
	require.NoError(f, err)
	f.Add(b.Seal(camera, "x"))
	f.Fuzz(func(t *testing.T, text string) { b.Open(text, "x") })
}
