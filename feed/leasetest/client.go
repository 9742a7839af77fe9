package leasetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// ErrRefused is wrapped when a server answers without what was asked for.
var ErrRefused = errors.New("the server gave nothing")

// Relay is a relay between a client and its server.
type Relay struct {
	Link, Peer netip.Addr
	Options    []dhcpv6.Option
}

// Client is a DHCPv6 client behind relays. It is used by one goroutine.
type Client struct {
	Conn   net.PacketConn // of the relay nearest to the server: port 547; or of the client: port 546
	Server net.Addr
	DUID   dhcpv6.DUID
	IAID   [4]byte
	Prefix bool    // whether a prefix is asked for beside the address
	Relays []Relay // outermost first

	server dhcpv6.DUID
}

// wrap is a message as the outermost relay sends it.
func (c *Client) wrap(m *dhcpv6.Message) (dhcpv6.DHCPv6, error) {
	out := dhcpv6.DHCPv6(m)
	for i := len(c.Relays) - 1; i >= 0; i-- {
		r, err := dhcpv6.EncapsulateRelay(out, dhcpv6.MessageTypeRelayForward, c.Relays[i].Link.AsSlice(), c.Relays[i].Peer.AsSlice())
		if err != nil {
			return nil, fmt.Errorf("relay a message: %w", err)
		}
		for _, o := range c.Relays[i].Options {
			r.AddOption(o)
		}
		out = r
	}
	return out, nil
}

// exchange sends a message, again each second, until its answer comes. What cannot be sent is tried again too: the network of a
// namespace that was made just now is not there at once.
func (c *Client) exchange(ctx context.Context, m *dhcpv6.Message) (*dhcpv6.Message, error) {
	out, err := c.wrap(m)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	var unsent error
	for ctx.Err() == nil {
		wait := time.Second
		if _, unsent = c.Conn.WriteTo(out.ToBytes(), c.Server); unsent != nil {
			wait /= 10
		}
		if err := c.Conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		for {
			n, _, err := c.Conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("wait for the answer to %v: %w", m.MessageType, err)
			}
			if in := answerTo(m, buf[:n]); in != nil {
				return in, nil
			}
		}
	}
	return nil, fmt.Errorf("no answer to %v: %w", m.MessageType, errors.Join(unsent, ctx.Err()))
}

// answerTo is the answer in a packet; nil when there is none to m.
func answerTo(m *dhcpv6.Message, packet []byte) *dhcpv6.Message {
	d, err := dhcpv6.FromBytes(packet)
	if err != nil {
		return nil
	}
	in, err := d.GetInnerMessage()
	if err != nil || in.TransactionID != m.TransactionID {
		return nil
	}
	return in
}

// message is one that holds the client's identity and identity associations.
func (c *Client) message(kind dhcpv6.MessageType, of *dhcpv6.Message) (*dhcpv6.Message, error) {
	m, err := dhcpv6.NewMessage(dhcpv6.WithClientID(c.DUID))
	if err != nil {
		return nil, fmt.Errorf("make a message: %w", err)
	}
	m.MessageType = kind
	m.AddOption(dhcpv6.OptElapsedTime(0))
	if kind != dhcpv6.MessageTypeSolicit && kind != dhcpv6.MessageTypeRebind {
		m.AddOption(dhcpv6.OptServerID(c.server))
	}
	na, pd := &dhcpv6.OptIANA{IaId: c.IAID}, &dhcpv6.OptIAPD{IaId: c.IAID}
	if of != nil {
		if ia := of.Options.OneIANA(); ia != nil {
			na = ia
		}
		if ia := of.Options.OneIAPD(); ia != nil {
			pd = ia
		}
	}
	m.AddOption(na)
	if c.Prefix && kind != dhcpv6.MessageTypeDecline {
		m.AddOption(pd)
	}
	return m, nil
}

// Lease gets a lease, which is in the Reply that it returns.
func (c *Client) Lease(ctx context.Context) (*dhcpv6.Message, error) {
	m, err := c.message(dhcpv6.MessageTypeSolicit, nil)
	if err != nil {
		return nil, err
	}
	offer, err := c.exchange(ctx, m)
	if err != nil {
		return nil, err
	}
	c.server = offer.Options.ServerID()
	return c.Tell(ctx, dhcpv6.MessageTypeRequest, offer)
}

// Tell sends a Request, Renew, Rebind, Release or Decline of what an earlier answer has given, and returns the Reply.
func (c *Client) Tell(ctx context.Context, kind dhcpv6.MessageType, of *dhcpv6.Message) (*dhcpv6.Message, error) {
	m, err := c.message(kind, of)
	if err != nil {
		return nil, err
	}
	in, err := c.exchange(ctx, m)
	if err != nil {
		return nil, err
	}
	if gives := kind == dhcpv6.MessageTypeRequest || kind == dhcpv6.MessageTypeRenew || kind == dhcpv6.MessageTypeRebind; gives {
		if ia := in.Options.OneIANA(); ia == nil || ia.Options.OneAddress() == nil {
			return nil, fmt.Errorf("%w to %v: %v", ErrRefused, kind, in.Summary())
		}
	}
	return in, nil
}

// Address is the address in a Reply.
func Address(m *dhcpv6.Message) netip.Addr {
	a, _ := netip.AddrFromSlice(m.Options.OneIANA().Options.OneAddress().IPv6Addr)
	return a
}
