package mediatest

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Clip returns the access units of one of the synthetic cameras' clips, 25 a second, in decoding order and without delimiters.
func Clip(t testing.TB, name string) [][][]byte {
	t.Helper()
	units, err := LoadClip(name)
	if err != nil {
		t.Fatal(err)
	}
	return units
}

// LoadClip is Clip for those who are no test. It reads the repository that the program was built from.
func LoadClip(name string) (units [][][]byte, err error) {
	_, here, _, _ := runtime.Caller(0)
	data, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../cmd/watershed/camera/clips", name+".h264"))
	if err != nil {
		return nil, err
	}
	for _, nal := range bytes.Split(data, []byte{0, 0, 1}) {
		nal = bytes.TrimRight(nal, "\x00")
		switch {
		case len(nal) == 0:
		case nal[0]&0x1f == 9:
			units = append(units, nil)
		default:
			units[len(units)-1] = append(units[len(units)-1], nal)
		}
	}
	return units, nil
}
