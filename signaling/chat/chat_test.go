package chat

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"你好":                          "你好",
		"  two\t\r\n words ":          "two words",
		"e\u0301":                     "é",
		"a\u202ecba":                  "acba", // right-to-left override
		"a\u2066b\u2069c":             "abc",
		"bell\a, \x1b[31mred":         "bell, [31mred",
		"family 👨\u200d👩\u200d👧":      "family 👨\u200d👩\u200d👧",
		"zero\u200bwidth\ufeff":       "zerowidth",
		"bad\xffutf8":                 "bad\ufffdutf8",
		"z" + rep("\u0337", 50) + "x": "z" + rep("\u0337", maxMarks) + "x",
		rep("水", MaxText):             rep("水", MaxText),
	} {
		got, err := Text(in)
		require.NoError(t, err, "%q", in)
		require.Equal(t, want, got)
	}
	for in, want := range map[string]error{
		"":                         ErrEmpty,
		" \n\u200b\u202e\u3164":    ErrEmpty,
		"\u200d":                   ErrEmpty,
		rep("x", MaxText+1):        ErrTooLong,
		rep("x", 1<<20):            ErrTooLong,
		rep("\u202e", 8*MaxText+1): ErrTooLong,
	} {
		_, err := Text(in)
		require.Equal(t, want, err, "%.20q", in)
	}
}

func rep(s string, n int) string { return strings.Repeat(s, n) }

func TestName(t *testing.T) {
	require.Equal(t, "Li Lei", Name(" Li \u202eLei\n"))
	require.Equal(t, rep("x", MaxName), Name(rep("x", 1<<16)))
	require.Equal(t, "", Name("\u200b \u202e"))
}

func FuzzText(f *testing.F) {
	f.Add("你好 e\u0301 \u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Text(s)
		if err != nil {
			return
		}
		require.LessOrEqual(t, utf8.RuneCountInString(got), MaxText)
		require.True(t, utf8.ValidString(got) && norm.NFC.IsNormalString(got))
		require.NotContains(t, got, "\n")
		again, err := Text(got)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Bucket{Rate: 2, Burst: 3}
		for range 3 {
			_, ok := b.Take(time.Now())
			require.True(t, ok)
		}
		wait, ok := b.Take(time.Now())
		require.False(t, ok)
		require.Equal(t, 500*time.Millisecond, wait)
		time.Sleep(wait)
		_, ok = b.Take(time.Now())
		require.True(t, ok)
		require.False(t, b.Idle(time.Now()))
		time.Sleep(1500 * time.Millisecond)
		require.True(t, b.Idle(time.Now()))
		time.Sleep(time.Hour)
		for range 3 {
			_, ok := b.Take(time.Now())
			require.True(t, ok)
		}
		_, ok = b.Take(time.Now())
		require.False(t, ok, "a long rest does not save up more than the burst")
	})
}
