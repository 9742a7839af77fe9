package udp

import "net/netip"

const (
	// maxDatagram is the longest message that UDP carries, in octets (RFC 768: less its header).
	maxDatagram = 65527
	// inletSlots is how many datagrams one system call brings at most, outletSlots how many it takes.
	inletSlots  = 64
	outletSlots = 64
)

// endpoint is where a datagram came from or goes to.
type endpoint struct {
	addr  netip.Addr // without zone
	port  uint16
	scope uint32 // interface index of a link-local address, else 0
}

// datagram is one that was received.
type datagram struct {
	octets    []byte // valid until the next are read
	from      endpoint
	local     netip.Addr // the address that it was sent to
	iface     uint32     // index of the interface that it came by; 0 where that is unknown
	truncated bool       // not all of it is there
}

// reply is a datagram to be sent.
type reply struct {
	octets []byte
	to     endpoint
	local  netip.Addr // the address that it leaves from; :: leaves it to the system
	iface  uint32     // index of the interface that it leaves by; 0 leaves it to the routes
}
