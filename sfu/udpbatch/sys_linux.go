package udpbatch

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const canSharePort = true

// Addr is a peer's address as the kernel wants it. It is comparable.
type Addr struct {
	raw [28]byte
	len uint32
}

// Addr encodes a peer's address for this socket.
func (c *Conn) Addr(ap netip.AddrPort) (a Addr) {
	if !c.ipv6 {
		ip := ap.Addr().Unmap().As4()
		binary.NativeEndian.PutUint16(a.raw[0:], unix.AF_INET)
		binary.BigEndian.PutUint16(a.raw[2:], ap.Port())
		copy(a.raw[4:], ip[:])
		a.len = unix.SizeofSockaddrInet4
		return a
	}
	ip := ap.Addr().As16()
	binary.NativeEndian.PutUint16(a.raw[0:], unix.AF_INET6)
	binary.BigEndian.PutUint16(a.raw[2:], ap.Port())
	copy(a.raw[8:], ip[:])
	a.len = unix.SizeofSockaddrInet6
	return a
}

func sharePort(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(err, failed)
}

// forceBuffers sets both buffers past net.core.rmem_max and wmem_max, which are 208 KiB on most systems, if the process may.
func forceBuffers(c syscall.RawConn, bytes int) {
	c.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bytes)
	})
}

// probeGSO asks whether the kernel knows UDP_SEGMENT (Linux 4.18).
func probeGSO(c syscall.RawConn) (ok bool) {
	c.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		ok = err == nil
	})
	return ok
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

const cmsgSpace = 24 // of one uint16 control message on 64-bit systems, with room on 32-bit ones

// system is what a batch hands to sendmmsg, made once.
type system struct {
	hdrs  [maxMessages]mmsghdr
	iovs  [maxMessages]unix.Iovec
	cmsgs [maxMessages][cmsgSpace]byte
	from  int
	to    int
	sent  int
	errno syscall.Errno

	refusals int // runs refused in a row that went one by one
	patience patience

	call func(fd uintptr) bool // made once, so that sending allocates nothing
}

func (s *system) init(b *Batch) {
	s.call = func(fd uintptr) bool {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.hdrs[s.from])),
			uintptr(s.to-s.from), unix.MSG_DONTWAIT, 0, 0)
		s.sent, s.errno = int(n), e
		return true
	}
	for i := range s.hdrs {
		h := &s.hdrs[i].hdr
		h.Iov = &s.iovs[i]
		h.SetIovlen(1)
		c := (*unix.Cmsghdr)(unsafe.Pointer(&s.cmsgs[i][0]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
}

func (s *system) prepare(b *Batch) {
	for i := range b.msgs[:b.n] {
		m, h := &b.msgs[i], &s.hdrs[i].hdr
		h.Name = &m.to.raw[0]
		h.Namelen = m.to.len
		s.iovs[i].Base = &b.slab[m.start]
		s.iovs[i].SetLen(m.end - m.start)
		h.Control = nil
		h.SetControllen(0)
		if m.count > 1 {
			binary.NativeEndian.PutUint16(s.cmsgs[i][unix.CmsgLen(0):], uint16(m.segment))
			h.Control = &s.cmsgs[i][0]
			h.SetControllen(unix.CmsgSpace(2))
		}
	}
}

func (s *system) send(b *Batch) {
	s.prepare(b)
	st := &b.conn.Stats
	for s.from, s.to = 0, b.n; s.from < s.to; {
		if err := b.conn.raw.Write(s.call); err != nil { // closed
			s.count(b, s.from, s.to, &st.Dropped)
			return
		}
		st.Calls.Add(1)
		if s.errno == 0 {
			s.delivered(b, s.from, s.from+s.sent)
			s.from += s.sent
			continue
		}
		if s.errno == unix.EINTR || s.errno == unix.EAGAIN && s.awaitRoom(b) {
			continue
		}
		s.refused(b, s.from)
		s.from++
	}
}

func (s *system) delivered(b *Batch, from, to int) {
	st := &b.conn.Stats
	s.count(b, from, to, &st.Datagrams)
	st.Messages.Add(uint64(to - from))
	bytes := 0
	for i := from; i < to; i++ {
		bytes += b.msgs[i].end - b.msgs[i].start
		if b.msgs[i].count > 1 {
			s.refusals = 0
		}
	}
	st.Bytes.Add(uint64(bytes))
}

func (s *system) count(b *Batch, from, to int, counter interface{ Add(uint64) uint64 }) {
	n := 0
	for i := from; i < to; i++ {
		n += b.msgs[i].count
	}
	counter.Add(uint64(n))
}

// maxRefused is how many runs in a row are refused before segmentation is given up. A path with a small MTU is refused, too: one viewer must not make the others
// dear, and a device that cannot segment refuses them all.
const maxRefused = 8

// refused handles the message at which the kernel stopped. A run goes out one by one instead; if that works again and again, it is segmentation that a
// device refuses (EIO, EINVAL), and this socket never asks again. A peer that cannot be sent to changes nothing for others.
func (s *system) refused(b *Batch, i int) {
	m := &b.msgs[i]
	st := &b.conn.Stats
	if m.count == 1 || s.errno != unix.EIO && s.errno != unix.EINVAL && s.errno != unix.EMSGSIZE {
		st.Dropped.Add(uint64(m.count))
		return
	}
	from, to, hdr, iov := s.from, s.to, s.hdrs[i], s.iovs[i]
	s.from, s.to = i, i+1
	s.hdrs[i].hdr.Control = nil
	s.hdrs[i].hdr.SetControllen(0)
	sent := 0
	for start := m.start; start < m.end; start += m.segment {
		n := min(m.segment, m.end-start)
		s.iovs[i].Base = &b.slab[start]
		s.iovs[i].SetLen(n)
		st.Calls.Add(1)
		if b.conn.raw.Write(s.call) != nil || s.errno != 0 {
			st.Dropped.Add(1)
			continue
		}
		sent++
		st.Messages.Add(1)
		st.Datagrams.Add(1)
		st.Bytes.Add(uint64(n))
	}
	if sent > 0 {
		s.refusals++
	}
	if s.refusals >= maxRefused && b.conn.gso.Swap(false) {
		st.Fallbacks.Add(1)
	}
	s.from, s.to, s.hdrs[i], s.iovs[i] = from, to, hdr, iov
}

// awaitRoom waits until the socket has drained to the half; false if that takes too long.
func (s *system) awaitRoom(b *Batch) (ok bool) {
	began := time.Now()
	left := s.patience.at(began)
	if left < time.Millisecond {
		return false
	}
	b.conn.Stats.Waits.Add(1)
	b.conn.raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds()))
		ok = n == 1 || err == unix.EINTR
	})
	s.patience.spend(min(time.Since(began), left)) // what is over that, the machine took for others
	return ok
}

// patience is how long a full socket may be waited for: it grows with the time in between.
type patience struct {
	left time.Duration
	last time.Time
}

const (
	maxPatience   = 8 * time.Millisecond // a wire of 1 Gb/s carries a megabyte in that
	patienceShare = 10                   // one part in ten of the time
)

func (p *patience) at(now time.Time) time.Duration {
	if p.last.IsZero() {
		p.left = maxPatience
	} else {
		p.left = min(p.left+now.Sub(p.last)/patienceShare, maxPatience)
	}
	p.last = now
	return p.left
}

func (p *patience) spend(d time.Duration) { p.left -= d }
