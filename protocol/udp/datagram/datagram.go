// Package datagram reads and sends UDP datagrams over IPv6, many with one system call, and with the addresses that they were sent to
// and leave from (RFC 3542 6).
package datagram

import "net/netip"

const (
	// MaxOctets is the longest message that UDP carries, in octets (RFC 768: less its header).
	MaxOctets = 65527
	// Slots is how many datagrams one system call takes or brings at most.
	Slots = 64
)

// Endpoint is where a datagram came from or goes to.
type Endpoint struct {
	Addr  netip.Addr // without zone
	Port  uint16
	Scope uint32 // interface index of a link-local address, else 0
}

// Datagram is one that was received.
type Datagram struct {
	Octets    []byte // valid until the next are read
	From      Endpoint
	Local     netip.Addr // the address that it was sent to; :: where that is unknown
	Interface uint32     // index of the interface that it came by; 0 where that is unknown
	Truncated bool       // not all of it is there
}

// Outgoing is a datagram to be sent.
type Outgoing struct {
	Octets    []byte // at least one
	To        Endpoint
	Local     netip.Addr // the address that it leaves from; :: leaves it to the system
	Interface uint32     // index of the interface that it leaves by; 0 leaves it to the routes
}
