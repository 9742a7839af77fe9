//go:build !linux

package datagram

import (
	"errors"
	"net"
	"net/netip"
)

// Elsewhere than on Linux a datagram takes a call, and leaves from the address that the routes say: enough to try things out.

// Reader reads datagrams of one socket.
type Reader struct {
	conn   *net.UDPConn
	buffer [MaxOctets]byte
	last   Datagram
}

// NewReader reads from a socket.
func NewReader(conn *net.UDPConn) (*Reader, error) { return &Reader{conn: conn}, nil }

// Read waits for one datagram.
func (in *Reader) Read() (int, error) {
	n, from, err := in.conn.ReadFromUDPAddrPort(in.buffer[:])
	if err != nil {
		return 0, err
	}
	in.last = Datagram{Octets: in.buffer[:n:n], From: Endpoint{Addr: from.Addr().WithZone(""), Port: from.Port()}, Local: netip.IPv6Unspecified()}
	return 1, nil
}

// At is the datagram that the last Read brought.
func (in *Reader) At(int) Datagram { return in.last }

// Overflow is not told here.
func (in *Reader) Overflow() uint32 { return 0 }

// Writer sends datagrams by one socket.
type Writer struct {
	conn    *net.UDPConn
	waiting []Outgoing
}

// NewWriter sends by a socket.
func NewWriter(conn *net.UDPConn) (*Writer, error) { return &Writer{conn: conn}, nil }

// NewRawWriter is not to be had here: the error is errors.ErrUnsupported.
func NewRawWriter(*net.IPConn) (*Writer, error) { return nil, errors.ErrUnsupported }

// Add takes a datagram, whose octets must stay as they are until Flush, and tells whether there is no room for another.
func (out *Writer) Add(r Outgoing) (full bool) {
	out.waiting = append(out.waiting, r)
	return len(out.waiting) == Slots
}

// Flush sends what was added, and tells how many and how many octets were sent, how many were not, and why.
func (out *Writer) Flush() (sent, octets, lost int, err error) {
	for _, r := range out.waiting {
		n, failed := out.conn.WriteToUDPAddrPort(r.Octets, netip.AddrPortFrom(r.To.Addr, r.To.Port))
		if failed != nil {
			lost, err = lost+1, failed
			continue
		}
		sent, octets = sent+1, octets+n
	}
	out.waiting = out.waiting[:0]
	return sent, octets, lost, err
}
