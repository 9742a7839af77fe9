package datagram

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendPatience is how long a full send buffer is waited for; then the rest is lost, as datagrams may be.
const sendPatience = 100 * time.Millisecond

// sendControlOctets is room for IPV6_PKTINFO.
var sendControlOctets = unix.CmsgSpace(unix.SizeofInet6Pktinfo)

// Writer sends datagrams by one socket, many at a time.
type Writer struct {
	conn     socket
	raw      syscall.RawConn
	n        int // how many are to be sent
	messages [Slots]mmsghdr
	names    [Slots]unix.RawSockaddrInet6
	vectors  [Slots]unix.Iovec
	control  [Slots][controlOctets]byte
	transmit func(fd uintptr) bool
	next     int // the first that has not been sent
	sent     int
	errno    unix.Errno
	full     bool // the send buffer was full
}

// NewWriter sends by a socket, which stays the caller's; it sets the socket's write deadline.
func NewWriter(conn *net.UDPConn) (*Writer, error) { return newWriter(conn) }

// NewRawWriter sends whole packets by a raw socket (IPPROTO_RAW), which stays the caller's: Octets begin with the IPv6 header, and
// the port is 0.
func NewRawWriter(conn *net.IPConn) (*Writer, error) { return newWriter(conn) }

// socket is what a Writer needs of one.
type socket interface {
	syscall.Conn
	LocalAddr() net.Addr
	SetWriteDeadline(t time.Time) error
}

func newWriter(conn socket) (*Writer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("send by %v: %w", conn.LocalAddr(), err)
	}
	out := &Writer{conn: conn, raw: raw}
	for i := range out.messages {
		h := &out.messages[i].header
		h.Name, h.Iov = (*byte)(unsafe.Pointer(&out.names[i])), &out.vectors[i]
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetIovlen(1)
		c := (*unix.Cmsghdr)(unsafe.Pointer(&out.control[i][0]))
		c.Level, c.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		c.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	}
	out.transmit = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&out.messages[out.next])), uintptr(out.n-out.next), unix.MSG_DONTWAIT, 0, 0)
		out.sent, out.errno = int(n), errno
		if errno == unix.EAGAIN && !out.full {
			out.full = true
			// A failure would leave the wait without an end other than the server's own.
			_ = out.conn.SetWriteDeadline(time.Now().Add(sendPatience))
		}
		return errno != unix.EAGAIN && errno != unix.EINTR
	}
	return out, nil
}

// Add takes a datagram, whose octets must stay as they are until Flush, and tells whether there is no room for another.
func (out *Writer) Add(r Outgoing) (full bool) {
	i := out.n
	out.n++
	name, v := &out.names[i], &out.vectors[i]
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swapped(r.To.Port), Addr: r.To.Addr.As16(), Scope_id: r.To.Scope}
	v.Base = &r.Octets[0]
	v.SetLen(len(r.Octets))
	h := &out.messages[i].header
	h.Control = &out.control[i][0]
	h.SetControllen(sendControlOctets)
	info := out.control[i][unix.CmsgLen(0):]
	local := r.Local.As16()
	copy(info, local[:])
	binary.NativeEndian.PutUint32(info[16:], r.Interface)
	return out.n == Slots
}

// Flush sends what was added. It returns how many and how many octets were sent, how many were not, and the last reason why.
func (out *Writer) Flush() (sent, octets, lost int, err error) {
	for out.next = 0; out.next < out.n; {
		errWait := out.raw.Write(out.transmit)
		if out.full {
			out.full = false
			_ = out.conn.SetWriteDeadline(time.Time{}) // as above
		}
		switch {
		case errWait != nil: // the buffer is still full, or the socket is closed
			lost, err = lost+out.n-out.next, errWait
			out.next = out.n
		case out.errno == 0:
			for _, m := range out.messages[out.next : out.next+out.sent] {
				octets += int(m.octets)
			}
			sent += out.sent
			out.next += out.sent
		case out.unroute():
			// again, by whatever interface the routes say
		default:
			err = os.NewSyscallError("sendmmsg", out.errno)
			lost++
			out.next++
		}
	}
	out.n = 0
	clear(out.vectors[:]) // keeps no answer
	return sent, octets, lost, err
}

// unroute lets the first datagram that was not sent leave by any interface, if it was bound to one that does not lead there. A query's
// interface is where its answer leaves (RFC 8415 18.3.10); but where requestors are routed to, the way back may be another one. With
// a source address given Linux takes the interface as a wish anyway.
func (out *Writer) unroute() bool {
	if out.errno != unix.ENETUNREACH && out.errno != unix.EHOSTUNREACH || out.names[out.next].Scope_id != 0 {
		return false
	}
	iface := out.control[out.next][unix.CmsgLen(16) : unix.CmsgLen(16)+4]
	bound := binary.NativeEndian.Uint32(iface) != 0
	clear(iface)
	return bound
}
