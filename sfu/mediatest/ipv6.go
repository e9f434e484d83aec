package mediatest

import (
	"net"
	"testing"
)

// NeedIPv6 skips a test on a machine where even loopback has no IPv6, as in many containers.
func NeedIPv6(t testing.TB) {
	t.Helper()
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	c.Close()
}
