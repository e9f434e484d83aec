package peer

import "net"

// socket is a connected UDP socket that takes runs of datagrams at once where the kernel offers it.
type socket struct {
	*net.UDPConn
	oob []byte
}

func dialSocket(to *net.UDPAddr) (*socket, error) {
	c, err := net.DialUDP("udp", nil, to)
	if err != nil {
		return nil, err
	}
	c.SetReadBuffer(1 << 20)
	enableGRO(c)
	return &socket{UDPConn: c, oob: make([]byte, 64)}, nil
}

// ReadSegments reads one datagram, or a run that the kernel kept together: all of segment bytes but the last.
func (s *socket) ReadSegments(b []byte) (n, segment int, err error) {
	n, oobn, _, _, err := s.ReadMsgUDPAddrPort(b, s.oob)
	if err != nil {
		return 0, 0, err
	}
	return n, segmentSize(s.oob[:oobn], n), nil
}
