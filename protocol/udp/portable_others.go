//go:build !linux

package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Elsewhere than on Linux there is one socket, and a datagram a call. Answers leave from the address that the routes say, and are not
// fragmented for the smallest link: enough to try things out.

// Listen opens the socket for an address.
func Listen(ctx context.Context, address netip.AddrPort, _ int, multicast []string) ([]*net.UDPConn, error) {
	if len(multicast) > 0 {
		return nil, errors.New("multicast is answered on Linux only")
	}
	c, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp6", address.String())
	if err != nil {
		return nil, fmt.Errorf("listen for leasequery over UDP: %w", err)
	}
	return []*net.UDPConn{c.(*net.UDPConn)}, nil
}

// inlet reads datagrams of one socket.
type inlet struct {
	conn     *net.UDPConn
	buffer   [maxDatagram]byte
	read1    datagram
	overflow uint32
}

func newInlet(conn *net.UDPConn) (*inlet, error) { return &inlet{conn: conn}, nil }

func (in *inlet) read() (int, error) {
	n, from, err := in.conn.ReadFromUDPAddrPort(in.buffer[:])
	if err != nil {
		return 0, err
	}
	in.read1 = datagram{octets: in.buffer[:n:n], from: endpoint{addr: from.Addr().WithZone(""), port: from.Port()}, local: netip.IPv6Unspecified()}
	return 1, nil
}

func (in *inlet) at(int) datagram { return in.read1 }

// outlet sends datagrams by one socket.
type outlet struct {
	conn    *net.UDPConn
	replies []reply
}

func newOutlet(conn *net.UDPConn) (*outlet, error) { return &outlet{conn: conn}, nil }

func (out *outlet) add(r reply) (full bool) {
	out.replies = append(out.replies, r)
	return len(out.replies) == outletSlots
}

func (out *outlet) flush() (sent, octets, lost int, err error) {
	for _, r := range out.replies {
		n, failed := out.conn.WriteToUDPAddrPort(r.octets, netip.AddrPortFrom(r.to.addr, r.to.port))
		if failed != nil {
			lost, err = lost+1, failed
			continue
		}
		sent, octets = sent+1, octets+n
	}
	out.replies = out.replies[:0]
	return sent, octets, lost, err
}
