package socket

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"watershed/sfu/id"
	"watershed/signaling/chat"
)

// guests gives people without a token a name that they keep.
type guests struct{ key []byte }

func newGuests(secret []byte) guests {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("watershed guest key"))
	return guests{m.Sum(nil)}
}

// guest is somebody without a token.
type guest struct {
	user string
	name string
	key  string // user, name and their MAC: sent back, it makes the same guest
}

// recall the guest of a key, or make a new one; a new name that is wished for counts.
func (g guests) recall(key, wish string) guest {
	user, name, ok := g.open(key)
	if !ok {
		user = "guest-" + id.Random(8)
	}
	if wish := chat.Name(wish); wish != "" {
		name = wish
	}
	if name == "" {
		name = "Guest " + strings.ToUpper(user[len(user)-4:])
	}
	return guest{user, name, g.seal(user, name)}
}

func (g guests) mac(text string) string {
	m := hmac.New(sha256.New, g.key)
	m.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:16])
}

func (g guests) seal(user, name string) string {
	text := user + "." + base64.RawURLEncoding.EncodeToString([]byte(name))
	return text + "." + g.mac(text)
}

func (g guests) open(key string) (user, name string, ok bool) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 || !hmac.Equal([]byte(key[i+1:]), []byte(g.mac(key[:i]))) {
		return "", "", false
	}
	user, coded, _ := strings.Cut(key[:i], ".")
	text, err := base64.RawURLEncoding.DecodeString(coded)
	return user, string(text), err == nil
}
