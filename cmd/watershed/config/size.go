package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as 500MB, 1.5TB or 20GiB.
type Size int64

var units = []struct {
	name  string
	bytes float64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"", 1}}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n >= 0 && n*u.bytes < 1<<62) {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 500MB, 50GB or 2TiB", text)
}

// MarshalText writes bytes.
func (s Size) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(s), 10), nil }

// String is for people.
func (s Size) String() string {
	for _, u := range units[:3] {
		if float64(s) >= u.bytes {
			return strconv.FormatFloat(float64(s)/u.bytes, 'g', 4, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + " bytes"
}
