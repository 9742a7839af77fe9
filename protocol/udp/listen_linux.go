package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer is SO_RCVBUF, in octets: room for a burst while a view is waited for.
	receiveBuffer = 4 << 20
	// ipv6MulticastAll is IPV6_MULTICAST_ALL: 0 keeps away what other sockets of the machine have joined.
	ipv6MulticastAll = 29
)

// Listen opens the sockets for an address: as many as asked for, which share it (SO_REUSEPORT), so that the system spreads the
// requestors over them; 0 is one for each processor. Port 0 is a free one. On each of the named interfaces the multicast groups
// All_DHCP_Relay_Agents_and_Servers and All_DHCP_Servers are joined, by sockets of their own, which take nothing else.
func Listen(ctx context.Context, address netip.AddrPort, sockets int, multicast []string) (conns []*net.UDPConn, err error) {
	if !address.Addr().Is6() || address.Addr().Is4In6() {
		return nil, fmt.Errorf("listen for leasequery over UDP: %v is not an IPv6 address (RFC 5007)", address.Addr())
	}
	defer func() {
		if err != nil {
			for _, c := range conns {
				err = errors.Join(err, c.Close())
			}
			conns = nil
		}
	}()
	if sockets <= 0 {
		sockets = runtime.GOMAXPROCS(0)
	}
	open := func(at netip.AddrPort) (*net.UDPConn, error) {
		l := net.ListenConfig{Control: tune}
		c, err := l.ListenPacket(ctx, "udp6", at.String())
		if err != nil {
			return nil, fmt.Errorf("listen for leasequery over UDP: %w", err)
		}
		udp := c.(*net.UDPConn)
		conns = append(conns, udp)
		return udp, nil
	}
	for range sockets {
		c, err := open(address)
		if err != nil {
			return conns, err
		}
		address = netip.AddrPortFrom(address.Addr(), c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	}
	groups, err := listenGroups(address.Port(), multicast)
	return append(conns, groups...), err
}

// OpenRaw opens a raw socket for Config.Raw. It takes CAP_NET_RAW; without it the error wraps os.ErrPermission.
func OpenRaw(ctx context.Context) (*net.IPConn, error) {
	c, err := (&net.ListenConfig{}).ListenPacket(ctx, "ip6:"+strconv.Itoa(unix.IPPROTO_RAW), "::")
	if err != nil {
		return nil, fmt.Errorf("open a raw socket for fragments: %w", err)
	}
	return c.(*net.IPConn), nil
}

// tune sets what a socket must have before it is bound.
func tune(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) { failed = tuneSocket(int(fd)) })
	return errors.Join(err, failed)
}

func tuneSocket(fd int) (failed error) {
	set := func(level, option, value int, what string) {
		if err := unix.SetsockoptInt(fd, level, option, value); err != nil && failed == nil {
			failed = fmt.Errorf("set %s: %w", what, err)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, "SO_REUSEPORT")
	set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1, "IPV6_V6ONLY")
	set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO")
	set(unix.IPPROTO_IPV6, unix.IPV6_MTU, minMTU, "IPV6_MTU")
	set(unix.IPPROTO_IPV6, ipv6MulticastAll, 0, "IPV6_MULTICAST_ALL")
	set(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1, "SO_RXQ_OVFL")
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil { // only root may pass the system's limit
		set(unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer, "SO_RCVBUF")
	}
	return failed
}
