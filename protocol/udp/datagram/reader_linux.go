package datagram

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The standard library has no call that takes many datagrams at once, and that of golang.org/x/net allocates an address for each:
// so recvmmsg(2) and sendmmsg(2) are called here, in memory that is laid out once.

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	octets uint32
}

// controlOctets is room for the ancillary data of one datagram: IPV6_PKTINFO and SO_RXQ_OVFL.
const controlOctets = 96

// Reader reads datagrams of one socket, many at a time.
type Reader struct {
	raw      syscall.RawConn
	messages [Slots]mmsghdr
	names    [Slots]unix.RawSockaddrInet6
	vectors  [Slots]unix.Iovec
	control  [Slots][controlOctets]byte
	buffer   []byte // MaxOctets octets for each
	receive  func(fd uintptr) bool
	got      int
	errno    unix.Errno
	overflow uint32
}

// NewReader reads from a socket, which stays the caller's.
func NewReader(conn *net.UDPConn) (*Reader, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read from %v: %w", conn.LocalAddr(), err)
	}
	in := &Reader{raw: raw, buffer: make([]byte, Slots*MaxOctets)}
	for i := range in.messages {
		in.vectors[i].Base = &in.buffer[i*MaxOctets]
		in.vectors[i].SetLen(MaxOctets)
		h := &in.messages[i].header
		h.Name, h.Iov, h.Control = (*byte)(unsafe.Pointer(&in.names[i])), &in.vectors[i], &in.control[i][0]
		h.SetIovlen(1)
	}
	in.receive = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.messages[0])), Slots, unix.MSG_DONTWAIT, 0, 0)
		in.got, in.errno = int(n), errno
		return errno != unix.EAGAIN && errno != unix.EINTR
	}
	return in, nil
}

// Read waits for datagrams and returns how many came, which At then tells. The error wraps os.ErrDeadlineExceeded,
// net.ErrClosed or the system's.
func (in *Reader) Read() (int, error) {
	for i := range in.messages {
		h := &in.messages[i].header
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlOctets)
		h.Flags = 0
	}
	if err := in.raw.Read(in.receive); err != nil {
		return 0, err
	}
	if in.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", in.errno)
	}
	return in.got, nil
}

// At is one of the datagrams that the last Read brought.
func (in *Reader) At(i int) Datagram {
	m, name := &in.messages[i], &in.names[i]
	d := Datagram{
		Octets:    in.buffer[i*MaxOctets:][:m.octets:m.octets],
		From:      Endpoint{Addr: netip.AddrFrom16(name.Addr), Port: swapped(name.Port), Scope: name.Scope_id},
		Local:     netip.IPv6Unspecified(),
		Truncated: m.header.Flags&unix.MSG_TRUNC != 0,
	}
	in.ancillary(in.control[i][:m.header.Controllen], &d)
	return d
}

// Overflow is how many datagrams the kernel has dropped for want of room, as far as the newest Datagram tells (SO_RXQ_OVFL, where the
// socket has it), modulo 2^32.
func (in *Reader) Overflow() uint32 { return in.overflow }

// ancillary reads the control messages that came with a datagram.
func (in *Reader) ancillary(b []byte, d *Datagram) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(b) {
			return
		}
		data := b[unix.CmsgLen(0):n]
		switch {
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			d.Local = netip.AddrFrom16([16]byte(data))
			d.Interface = binary.NativeEndian.Uint32(data[16:])
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			in.overflow = binary.NativeEndian.Uint32(data)
		}
		b = b[min(len(b), unix.CmsgSpace(n-unix.CmsgLen(0))):]
	}
}

// swapped is a port between the machine's order of octets and the network's.
func swapped(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
