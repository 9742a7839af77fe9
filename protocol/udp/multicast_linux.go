package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// groups are the multicast addresses that servers are asked at (RFC 8415 7.1).
var (
	allRelaysAndServers = netip.MustParseAddr("ff02::1:2") // All_DHCP_Relay_Agents_and_Servers, of one link
	allServers          = netip.MustParseAddr("ff05::1:3") // All_DHCP_Servers, of a site
)

// listenGroups opens the sockets for what is sent to the groups on some interfaces: one for each link, and one for the site, however many
// interfaces it is joined on: which of them a membership is on counts for nothing when Linux looks for the sockets that take a datagram.
// After an error what has been opened is returned as well.
func listenGroups(port uint16, names []string) (conns []*net.UDPConn, err error) {
	var all []int
	for _, name := range names {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return conns, fmt.Errorf("answer multicast on %q: %w", name, err)
		}
		all = append(all, i.Index)
		c, err := listenGroup(allRelaysAndServers, port, i.Index)
		if err != nil {
			return conns, fmt.Errorf("answer multicast on %q: %w", name, err)
		}
		conns = append(conns, c)
	}
	if len(all) == 0 {
		return nil, nil
	}
	c, err := listenGroup(allServers, port, all...)
	if err != nil {
		return conns, fmt.Errorf("answer multicast on %q: %w", names, err)
	}
	return append(conns, c), nil
}

// listenGroup opens a socket for one group. Package net would open it for every address of the machine.
func listenGroup(group netip.Addr, port uint16, interfaces ...int) (c *net.UDPConn, err error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), group.String())
	defer func() { err = errors.Join(err, file.Close()) }()
	// Others on this machine may answer DHCP at the group.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := tuneSocket(fd); err != nil {
		return nil, err
	}
	at := &unix.SockaddrInet6{Port: int(port), Addr: group.As16()}
	if group.IsLinkLocalMulticast() {
		at.ZoneId = uint32(interfaces[0]) // which is all that the socket hears of
	}
	if err := unix.Bind(fd, at); err != nil {
		return nil, fmt.Errorf("bind %v port %d: %w", group, port, err)
	}
	for _, i := range interfaces {
		if err := join(fd, group, i); err != nil {
			return nil, fmt.Errorf("join %v: %w", group, err)
		}
	}
	packets, err := net.FilePacketConn(file) // a copy
	if err != nil {
		return nil, err
	}
	return packets.(*net.UDPConn), nil
}

// join makes a socket a member of a multicast group on an interface.
func join(fd int, group netip.Addr, iface int) error {
	m := unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(iface)}
	return os.NewSyscallError("setsockopt", unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &m))
}
