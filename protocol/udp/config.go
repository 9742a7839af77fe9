package udp

import (
	"net"
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/protocol/udp/datagram"
)

// Defaults of Config.
const (
	DefaultMaxHops = 32
	DefaultHold    = time.Second
	DefaultPort    = 547 // of DHCPv6 relays and servers (RFC 8415 7.2)
)

// maxDatagram is the longest message, in octets.
const maxDatagram = datagram.MaxOctets

// maxHops is how many relay messages are taken apart at most.
const maxHops = 32

// Config says how queries over UDP are answered.
type Config struct {
	// MaxHops is how many relays a relayed query may have come through, 1 to 32; others are discarded (RFC 5007 5). 0 is 32.
	MaxHops int
	// Hold is how long a query waits while this node cannot prove that it is up to date; then it gets no answer. 0 is 1 s; less than
	// 20 ms is 20 ms, which the proof may take.
	Hold time.Duration
	// Rate is how many queries a second one source address may send, and Burst how many at once before that counts. A Rate of 0
	// is no limit, a Burst of 0 two seconds' worth. A requestor's own stanza goes before.
	Rate  float64
	Burst int
	// Answering is closed when the server first can answer. What comes before gets no answer. Nil: it can from the start.
	Answering <-chan struct{}
	// Leader tells whether this node leads: only the leader answers what was sent to a multicast address. Nil: nobody does.
	Leader func() bool
	// Source is the address that answers to multicast leave from; the zero Addr and :: leave it to the system.
	Source netip.Addr
	// Raw is a raw socket, of OpenRaw, by which answers leave in fragments whose packets would be of more than 1,280 octets. The
	// server closes it. Nil leaves that to the system, which on Linux cuts only what is larger than the MTU of its own link. IPsec policies
	// that name UDP or its port do not hold for what leaves by a raw socket: where there are some it must be nil.
	Raw *net.IPConn
	// RelayPort is the port that Relay-reply messages go to unless the relay asks for another (RFC 8357). 0 is 547.
	RelayPort uint16
}

func (c Config) withDefaults() Config {
	if c.MaxHops <= 0 || c.MaxHops > maxHops {
		c.MaxHops = DefaultMaxHops
	}
	if c.Hold == 0 {
		c.Hold = DefaultHold
	}
	c.Hold = max(c.Hold, slowView)
	if c.RelayPort == 0 {
		c.RelayPort = DefaultPort
	}
	if !c.Source.IsValid() {
		c.Source = netip.IPv6Unspecified()
	}
	return c
}
