package requestor

import (
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Client is what one message says of a client on a link: OPTION_CLIENT_DATA (RFC 5007 4.1.2.2). Its slices point into the
// message and are valid until the function that was given the Client returns.
type Client struct {
	DUID            []byte // OPTION_CLIENTID
	LastTransaction uint32 // OPTION_CLT_TIME: seconds since the client last spoke to its server
	Addresses       []Address
	Prefixes        []Prefix
	Options         []Option // what else the server says of the client, in the order it came
	HasRelay        bool     // whether OPTION_LQ_RELAY_DATA came
	Relay           Relay
	HasBaseTime     bool   // whether the message had OPTION_LQ_BASE_TIME
	BaseTime        uint32 // seconds since 2000-01-01T00:00:00Z, modulo 2^32 (RFC 7653 6.3.1)
	// Flaw tells what of the client cannot be read, with Config.Tolerant: its relay data, and HasRelay is false; or all of it, and it is
	// Unreadable.
	Flaw error
	// Unreadable tells that nothing is known of the client but its DUID, if that could be read: what bindings it has is open.
	Unreadable bool

	levels   []Option // what Relay's levels share
	tolerant bool
}

// Address is a leased address: OPTION_IAADDR. Lifetimes are what remains, in seconds; 0xffffffff never ends.
type Address struct {
	Address          netip.Addr
	Preferred, Valid uint32
}

// Prefix is a delegated prefix: OPTION_IAPREFIX. Lifetimes are what remains, in seconds; 0xffffffff never ends.
type Prefix struct {
	Prefix           netip.Prefix
	Preferred, Valid uint32
}

// Option is one option as it came.
type Option struct {
	Code dhcpv6.OptionCode
	Data []byte
}

// Relay is the relay chain that the client's message came through: OPTION_LQ_RELAY_DATA (RFC 5007 4.1.2.4).
type Relay struct {
	Peer   netip.Addr // who sent the outermost message to the server; :: when the server does not know
	Levels []Level    // outermost first
}

// Level is one Relay-forward message of a chain.
type Level struct {
	HopCount uint8
	Link     netip.Addr
	Peer     netip.Addr
	Options  []Option // in the order received, without OPTION_RELAY_MSG
}

// maxLevels bounds how deep a server may nest relay messages: HOP_COUNT_LIMIT of RFC 3315 5.5.
const maxLevels = 32

// reset empties c and keeps its memory.
func (c *Client) reset() {
	*c = Client{
		Addresses: c.Addresses[:0],
		Prefixes:  c.Prefixes[:0],
		Options:   c.Options[:0],
		Relay:     Relay{Levels: c.Relay.Levels[:0]},
		levels:    c.levels[:0],
		tolerant:  c.tolerant,
	}
}

// spoil makes c a client of which nothing can be read but, perhaps, the DUID.
func (c *Client) spoil(value dhcpv6.Options, why error) {
	has, base := c.HasBaseTime, c.BaseTime
	c.reset()
	c.HasBaseTime, c.BaseTime, c.Flaw, c.Unreadable = has, base, why, true
	if id, ok := value.First(dhcpv6.OptionClientID); ok && len(id) <= maxDUID {
		c.DUID = id
	}
}

// parseMessage fills c from a LEASEQUERY-REPLY or LEASEQUERY-DATA and tells whether it holds a client.
func (c *Client) parseMessage(m dhcpv6.Message) (found bool, err error) {
	value, ok := m.Options.First(dhcpv6.OptionClientData)
	if !ok {
		return false, nil
	}
	c.reset()
	if base, ok := m.Options.First(dhcpv6.OptionLQBaseTime); ok {
		t, err := dhcpv6.ParseBaseTime(base)
		if err != nil {
			return false, err
		}
		c.HasBaseTime, c.BaseTime = true, uint32(t)
	}
	err = c.parse(dhcpv6.Options(value))
	if err != nil && c.tolerant {
		c.spoil(dhcpv6.Options(value), err)
		return true, nil
	}
	return true, err
}

// parse fills c from the value of an OPTION_CLIENT_DATA.
func (c *Client) parse(value dhcpv6.Options) error {
	if err := value.Validate(); err != nil {
		return fmt.Errorf("client data: %w", err)
	}
	clt := false
	for code, data := range value.All() {
		var err error
		switch code {
		case dhcpv6.OptionClientID:
			c.DUID = data
		case dhcpv6.OptionCLTTime:
			var t dhcpv6.CLTTime
			t, err = dhcpv6.ParseCLTTime(data)
			c.LastTransaction, clt = uint32(t), true
		case dhcpv6.OptionIAAddr:
			err = c.address(data)
		case dhcpv6.OptionIAPrefix:
			err = c.prefix(data)
		case dhcpv6.OptionLQRelayData:
			if err = c.relay(data); err != nil && c.tolerant {
				c.HasRelay, c.Relay, c.Flaw, err = false, Relay{Levels: c.Relay.Levels[:0]}, err, nil
			}
		default:
			c.Options = append(c.Options, Option{Code: code, Data: data})
		}
		if err != nil {
			return fmt.Errorf("client data: %w", err)
		}
	}
	switch {
	case len(c.DUID) == 0 || !clt:
		return fmt.Errorf("client data without OPTION_CLIENTID or OPTION_CLT_TIME")
	case c.tolerant && len(c.DUID) > maxDUID:
		return fmt.Errorf("client data with a DUID of %d octets", len(c.DUID))
	}
	return nil
}

func (c *Client) address(data []byte) error {
	a, err := dhcpv6.ParseIAAddress(data)
	if err != nil {
		return err
	}
	c.Addresses = append(c.Addresses, Address{Address: a.Address, Preferred: a.Preferred, Valid: a.Valid})
	return nil
}

func (c *Client) prefix(data []byte) error {
	p, err := dhcpv6.ParseIAPrefix(data)
	if err != nil {
		return err
	}
	c.Prefixes = append(c.Prefixes, Prefix{Prefix: p.Prefix, Preferred: p.Preferred, Valid: p.Valid})
	return nil
}

// relay unfolds the relay message, level by level from the outermost.
func (c *Client) relay(data []byte) error {
	d, err := dhcpv6.ParseLQRelayData(data)
	if err != nil {
		return err
	}
	c.HasRelay, c.Relay.Peer = true, d.Peer
	for message := d.Message; message != nil; {
		if len(c.Relay.Levels) == maxLevels {
			return fmt.Errorf("relay data of more than %d levels", maxLevels)
		}
		m, err := dhcpv6.ParseRelayMessage(message)
		if err != nil {
			return fmt.Errorf("relay data level %d: %w", len(c.Relay.Levels), err)
		}
		message = nil
		from := len(c.levels)
		for code, value := range m.Options.All() {
			if code == dhcpv6.OptionRelayMessage {
				message = value
				continue
			}
			c.levels = append(c.levels, Option{Code: code, Data: value})
		}
		c.Relay.Levels = append(c.Relay.Levels, Level{
			HopCount: m.HopCount, Link: m.LinkAddress, Peer: m.PeerAddress, Options: c.levels[from:len(c.levels):len(c.levels)],
		})
	}
	return nil
}
