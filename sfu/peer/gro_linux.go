package peer

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// enableGRO lets a run that the sender gave the kernel whole arrive whole (UDP_GRO, Linux 5.0): a tester of a thousand peers needs it
// to stay light.
func enableGRO(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) })
}

func segmentSize(oob []byte, whole int) int {
	for len(oob) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return whole
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4 {
			return int(binary.NativeEndian.Uint32(data))
		}
		oob = rest
	}
	return whole
}
