package udp

import (
	"encoding/binary"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Octets of relay messages.
const (
	relayOverhead = 34 // in front of a relay message's options
	optionHeader  = 4
)

// chain is the relays that a query came through. It is used again and again.
type chain struct {
	levels [maxHops]dhcpv6.RelayMessage // outermost first
	n      int
	begin  int // where what the innermost relay carries begins
	end    int // and ends in the datagram
	marks  [maxHops]int
	wanted [1 << 16 / 64]uint64 // the codes of the ERO in hand, a bit each
}

// parse takes a Relay-forward message apart. The reason is why it gets no answer, or "".
func (c *chain) parse(b []byte, most int) (reason string) {
	c.n, c.begin, c.end = 0, 0, len(b)
	for {
		m, err := dhcpv6.ParseRelayMessage(b[c.begin:c.end])
		if err != nil || m.Type != dhcpv6.MessageRelayForward {
			return discardRelay
		}
		if c.n == most {
			return discardHops
		}
		c.levels[c.n] = m
		c.n++
		start, length := carried(m.Options)
		if length == 0 {
			return discardRelay
		}
		c.begin += relayOverhead + start
		c.end = c.begin + length
		if dhcpv6.MessageType(b[c.begin]) != dhcpv6.MessageRelayForward {
			return ""
		}
	}
}

// carried is where the value of the first OPTION_RELAY_MSG lies in options that are whole; length is 0 where there is none, or
// nothing in it.
func carried(o dhcpv6.Options) (start, length int) {
	for start = optionHeader; start <= len(o); start += length + optionHeader {
		length = int(binary.BigEndian.Uint16(o[start-2:]))
		if dhcpv6.OptionCode(binary.BigEndian.Uint16(o[start-4:])) == dhcpv6.OptionRelayMessage {
			return start, length
		}
	}
	return 0, 0
}

// fromPort tells whether the relay that sent the message wants the answer at the port that it sent from (RFC 8357 5.2).
func (c *chain) fromPort() bool {
	_, ok := c.levels[0].Options.First(dhcpv6.OptionRelaySourcePort)
	return ok
}

// vpn is the status that a query gets for what its relays say of its address space (OPTION_VSS, RFC 6607 7), with its text;
// StatusSuccess where they say nothing, or the global one.
func (c *chain) vpn() (s dhcpv6.Status, text string) {
	for i := range c.n {
		for code, v := range c.levels[i].Options.All() {
			if code != dhcpv6.OptionVSS {
				continue
			}
			switch x, err := dhcpv6.ParseVSS(v); {
			case err != nil:
				return dhcpv6.StatusMalformedQuery, "OPTION_VSS is empty"
			case x.Type != dhcpv6.VSSGlobal:
				return dhcpv6.StatusNotConfigured, "no address space but the global one"
			}
		}
	}
	return dhcpv6.StatusSuccess, ""
}

// open appends the Relay-reply messages around an answer (RFC 8415 19.3), up to where the answer goes.
func (c *chain) open(dst []byte) []byte {
	for i := range c.n {
		l := &c.levels[i]
		dst = dhcpv6.AppendRelayHeader(dst, dhcpv6.MessageRelayReply, l.HopCount, l.LinkAddress, l.PeerAddress)
		dst = c.appendEchoed(dst, l.Options)
		dst = append(dst, byte(dhcpv6.OptionRelayMessage>>8), byte(dhcpv6.OptionRelayMessage), 0, 0)
		c.marks[i] = len(dst)
	}
	return dst
}

// close sets the lengths of the messages within each other, once the answer has been appended.
func (c *chain) close(dst []byte) {
	for _, mark := range c.marks[:c.n] {
		binary.BigEndian.PutUint16(dst[mark-2:], uint16(len(dst)-mark))
	}
}

// appendEchoed appends what a relay gets back of its options, in the order that they came in: the Interface-Id (RFC 8415 19.3), the
// relay port (RFC 8357 5.2) and all that its ERO names (RFC 4994 5), verbatim; never an address space that is not supported
// (RFC 6607 9).
func (c *chain) appendEchoed(dst []byte, options dhcpv6.Options) []byte {
	ero, _ := options.First(dhcpv6.OptionERO)
	for codes := ero; len(codes) >= 2; codes = codes[2:] {
		code := binary.BigEndian.Uint16(codes)
		c.wanted[code/64] |= 1 << (code % 64)
	}
	var interfaceID, port bool
	for code, v := range options.All() {
		switch code {
		case dhcpv6.OptionRelayMessage, dhcpv6.OptionVSS:
			continue
		case dhcpv6.OptionInterfaceID:
			if interfaceID {
				continue
			}
			interfaceID = true
		case dhcpv6.OptionRelaySourcePort:
			if port {
				continue
			}
			port = true
		default:
			if c.wanted[code/64]&(1<<(code%64)) == 0 {
				continue
			}
		}
		dst = append(dst, byte(code>>8), byte(code), byte(len(v)>>8), byte(len(v)))
		dst = append(dst, v...)
	}
	for codes := ero; len(codes) >= 2; codes = codes[2:] {
		c.wanted[binary.BigEndian.Uint16(codes)/64] = 0
	}
	return dst
}
