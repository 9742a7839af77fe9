package udp

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

// inlet reads datagrams of one socket, many at a time.
type inlet struct {
	raw      syscall.RawConn
	messages [inletSlots]mmsghdr
	names    [inletSlots]unix.RawSockaddrInet6
	vectors  [inletSlots]unix.Iovec
	control  [inletSlots][controlOctets]byte
	buffer   []byte // maxDatagram octets for each
	receive  func(fd uintptr) bool
	got      int
	errno    unix.Errno
	overflow uint32 // SO_RXQ_OVFL: how many datagrams the kernel had dropped so far
}

func newInlet(conn *net.UDPConn) (*inlet, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read from %v: %w", conn.LocalAddr(), err)
	}
	in := &inlet{raw: raw, buffer: make([]byte, inletSlots*maxDatagram)}
	for i := range in.messages {
		in.vectors[i].Base = &in.buffer[i*maxDatagram]
		in.vectors[i].SetLen(maxDatagram)
		h := &in.messages[i].header
		h.Name, h.Iov, h.Control = (*byte)(unsafe.Pointer(&in.names[i])), &in.vectors[i], &in.control[i][0]
		h.SetIovlen(1)
	}
	in.receive = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.messages[0])), inletSlots, unix.MSG_DONTWAIT, 0, 0)
		in.got, in.errno = int(n), errno
		return errno != unix.EAGAIN && errno != unix.EINTR
	}
	return in, nil
}

// read waits for datagrams and returns how many came, which at then tells. The error wraps os.ErrDeadlineExceeded,
// net.ErrClosed or the system's.
func (in *inlet) read() (int, error) {
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

// at is one of the datagrams that the last read brought.
func (in *inlet) at(i int) datagram {
	m, name := &in.messages[i], &in.names[i]
	d := datagram{
		octets:    in.buffer[i*maxDatagram:][:m.octets:m.octets],
		from:      endpoint{addr: netip.AddrFrom16(name.Addr), port: swapped(name.Port), scope: name.Scope_id},
		local:     netip.IPv6Unspecified(),
		truncated: m.header.Flags&unix.MSG_TRUNC != 0,
	}
	in.ancillary(in.control[i][:m.header.Controllen], &d)
	return d
}

// ancillary reads the control messages that came with a datagram.
func (in *inlet) ancillary(b []byte, d *datagram) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(b) {
			return
		}
		data := b[unix.CmsgLen(0):n]
		switch {
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			d.local = netip.AddrFrom16([16]byte(data))
			d.iface = binary.NativeEndian.Uint32(data[16:])
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
