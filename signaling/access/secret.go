package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"watershed/sfu/id"
)

const (
	secretFile  = "secret"
	secretBytes = 32
	secretLeast = 16 // characters; config says the same of auth.secret
)

// Secret is what tokens are signed with: the configured one, else that of the file `secret` in the data folder, which is made, readable by its owner
// only, if it is not there; then made is true.
func Secret(data, configured string) (secret []byte, made bool, err error) {
	if configured != "" {
		return []byte(configured), false, nil
	}
	name := filepath.Join(data, secretFile)
	secret, err = readSecret(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, false, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, false, fmt.Errorf("data folder: %w", err)
	}
	secret = []byte(id.Random(secretBytes))
	if err := writeSecret(name, secret); err != nil {
		return nil, false, fmt.Errorf("keep a new secret for tokens: %w", err)
	}
	return secret, true, nil
}

func readSecret(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("secret for tokens: %w", err)
	}
	s := strings.TrimSpace(string(text))
	if len(s) < secretLeast {
		return nil, fmt.Errorf("secret for tokens: %s has less than %d characters; delete it to have a new one made, which makes all tokens invalid", name, secretLeast)
	}
	return []byte(s), nil
}

// writeSecret makes a file that is either whole or not there, and never replaces one that another process made meanwhile.
func writeSecret(name string, secret []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), secretFile+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(secret, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Link(f.Name(), name)
}
