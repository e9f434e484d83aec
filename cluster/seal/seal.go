// Package seal keeps what is secret in a log or snapshot from those who have only these: cameras' addresses have passwords in them.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The sealed form is prefix, id of the key, `:`, base64url of nonce and AES-256-GCM of the text. The number is the form's version.
const prefix = "sealed:1:"

const keyBytes = 32

// ErrKey means that a text was sealed with a key that is not here.
var ErrKey = errors.New("sealed with a key that this node does not have")

// Box seals and opens with one key. Its methods may be called from any goroutine.
type Box struct {
	aead cipher.AEAD
	id   string // tells keys apart; says nothing of them
}

// Load reads the key of a file, which is made from the installation's secret if it is not there: so nodes with one secret get one key, and it
// stays when the secret is changed.
func Load(file string, secret []byte) (*Box, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = create(file, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("key of what is sealed: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("key of what is sealed: %s holds no key: restore it from a backup, or delete it and enter the cameras' addresses again", file)
	}
	return New(key)
}

// create writes the file whole or not at all.
func create(file string, secret []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "watershed sealed records", keyBytes)
	if err != nil {
		return nil, err
	}
	text := []byte(hex.EncodeToString(key) + "\n")
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return text, os.Rename(f.Name(), file)
}

// New box of a key of 32 bytes.
func New(key []byte) (*Box, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(append([]byte("watershed seal id "), key...))
	return &Box{aead, hex.EncodeToString(id[:4])}, nil
}

// Sealed reports whether a text is sealed.
func Sealed(text string) bool { return strings.HasPrefix(text, prefix) }

// Seal a text for one place, such as a stream's name: it opens nowhere else. What is empty or sealed stays as it is.
func (b *Box) Seal(text, place string) string {
	if text == "" || Sealed(text) {
		return text
	}
	nonce := make([]byte, b.aead.NonceSize(), b.aead.NonceSize()+len(text)+b.aead.Overhead())
	rand.Read(nonce) // never fails since Go 1.24
	return prefix + b.id + ":" + base64.RawURLEncoding.EncodeToString(b.aead.Seal(nonce, nonce, []byte(text), []byte(place)))
}

// Open what was sealed for the place. What was never sealed stays as it is; what cannot be opened does too, with an error.
func (b *Box) Open(text, place string) (string, error) {
	if !Sealed(text) {
		return text, nil
	}
	id, coded, _ := strings.Cut(text[len(prefix):], ":")
	if id != b.id {
		return text, fmt.Errorf("key %s: %w", id, ErrKey)
	}
	raw, err := base64.RawURLEncoding.DecodeString(coded)
	if err != nil || len(raw) < b.aead.NonceSize() {
		return text, errors.New("sealed text is cut short or not well formed")
	}
	plain, err := b.aead.Open(nil, raw[:b.aead.NonceSize()], raw[b.aead.NonceSize():], []byte(place))
	if err != nil {
		return text, errors.New("sealed text was changed, or belongs elsewhere")
	}
	return string(plain), nil
}
