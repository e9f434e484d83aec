package hlsbridge

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAudience()
		ask := func(addr, agent string) {
			r := httptest.NewRequest(http.MethodGet, "/hls/a/v0.m3u8", nil)
			r.RemoteAddr, r.Header = addr, http.Header{"User-Agent": {agent}}
			a.note(r, time.Now())
		}
		require.Equal(t, 0, a.count(time.Now()))
		for i := range 100 {
			ask(fmt.Sprintf("10.0.0.%d:%d", i, 1000+i), "a")
			ask(fmt.Sprintf("10.0.0.%d:%d", i, 2000+i), "a") // another connection of the same
		}
		ask("10.0.0.1:3000", "b")
		time.Sleep(countEvery)
		require.Equal(t, 101, a.count(time.Now()))
		time.Sleep(stays - countEvery)
		ask("10.0.0.7:4000", "a")
		require.Equal(t, 101, a.count(time.Now()))
		time.Sleep(countEvery)
		require.Equal(t, 1, a.count(time.Now()), "the others asked for nothing lately")
		time.Sleep(stays + countEvery)
		require.Equal(t, 0, a.count(time.Now()))
	})
}
