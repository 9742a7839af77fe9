//go:build linux

package feedtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	other "github.com/insomniacslk/dhcp/dhcpv6"
)

// Client is a DHCPv6 client (RFC 8415) with one IA_NA and one IA_PD. Its methods check what the server answers; one at a time.
type Client struct {
	Number int
	Place  Place
	// What it was given last.
	Address   netip.Addr
	Delegated netip.Prefix
	Preferred time.Duration
	Valid     time.Duration
	Replied   time.Time // when the newest answer came

	AddressOnly bool // it asks for no prefix

	air    *Air
	server other.DUID
}

// ErrSilent is the error of an exchange that the server has not answered, ErrRefused of one in which it gave less than was asked.
var (
	ErrSilent  = errors.New("the server does not answer")
	ErrRefused = errors.New("the server refuses")
)

// DUID is the client's, in hex.
func (c *Client) DUID() string { return hex.EncodeToString(c.duid().ToBytes()) }

// IAID is that of both of its identity associations.
func (c *Client) IAID() uint32 { return uint32(c.Number)*2654435761 | 1 }

func (c *Client) duid() other.DUID {
	mac := net.HardwareAddr{2, byte(len(c.Place.Name)), 0, 0, 0, 0}
	binary.BigEndian.PutUint32(mac[2:], uint32(c.Number))
	return &other.DUIDLL{HWType: 1, LinkLayerAddr: mac}
}

func (c *Client) iaid() (id [4]byte) {
	binary.BigEndian.PutUint32(id[:], c.IAID())
	return id
}

// message makes a message with the client's identity and, for all but Solicit, what it holds.
func (c *Client) message(t other.MessageType, delegated bool) (*other.Message, error) {
	m, err := other.NewMessage(other.WithClientID(c.duid()), other.WithOption(other.OptElapsedTime(0)))
	if err != nil {
		return nil, err
	}
	m.MessageType = t
	na := &other.OptIANA{IaId: c.iaid()}
	pd := &other.OptIAPD{IaId: c.iaid()}
	if t != other.MessageTypeSolicit {
		na.Options.Add(&other.OptIAAddress{IPv6Addr: c.Address.AsSlice()})
		if c.Delegated.IsValid() {
			pd.Options.Add(&other.OptIAPrefix{Prefix: &net.IPNet{IP: c.Delegated.Addr().AsSlice(), Mask: net.CIDRMask(c.Delegated.Bits(), 128)}})
		}
	}
	m.AddOption(na)
	if delegated && !c.AddressOnly {
		m.AddOption(pd)
	}
	return m, nil
}

// ask sends the client's message to the server and returns its answer, which is of that type.
func (c *Client) ask(ctx context.Context, m *other.Message, want other.MessageType) (*other.Message, error) {
	answer, err := c.air.ask(ctx, c, m)
	if err != nil {
		return nil, fmt.Errorf("%v of client %d at %s: %w", m.MessageType, c.Number, c.Place.Name, err)
	}
	if answer.MessageType != want {
		return nil, fmt.Errorf("%v of client %d at %s: %v in answer", m.MessageType, c.Number, c.Place.Name, answer.MessageType)
	}
	if id := answer.Options.ClientID(); id == nil || !bytes.Equal(id.ToBytes(), c.duid().ToBytes()) {
		return nil, fmt.Errorf("%v of client %d at %s: the answer is for %v", m.MessageType, c.Number, c.Place.Name, id)
	}
	return answer, nil
}

// Acquire gets an address and a delegated prefix, by Solicit and Request. A refused Request, which is what comes when another client
// was given meanwhile what had been advertised, begins with Solicit again (RFC 8415, 18.2.10.1).
func (c *Client) Acquire(ctx context.Context) error {
	for again := 5; ; again-- {
		err := c.solicit(ctx)
		if again == 0 || !errors.Is(err, ErrRefused) {
			return err
		}
	}
}

func (c *Client) solicit(ctx context.Context) error {
	solicit, err := c.message(other.MessageTypeSolicit, true)
	if err != nil {
		return err
	}
	advertise, err := c.ask(ctx, solicit, other.MessageTypeAdvertise)
	if err != nil {
		return err
	}
	if err := c.take(advertise, false); err != nil {
		return err
	}
	c.server = advertise.Options.ServerID()
	return c.exchange(ctx, other.MessageTypeRequest, true)
}

// Renew extends what the client has, from the server that gave it.
func (c *Client) Renew(ctx context.Context) error {
	return c.exchange(ctx, other.MessageTypeRenew, true)
}

// Rebind extends what the client has, from any server.
func (c *Client) Rebind(ctx context.Context) error {
	return c.exchange(ctx, other.MessageTypeRebind, false)
}

func (c *Client) exchange(ctx context.Context, t other.MessageType, named bool) error {
	m, err := c.message(t, true)
	if err != nil {
		return err
	}
	if named {
		m.AddOption(other.OptServerID(c.server))
	}
	reply, err := c.ask(ctx, m, other.MessageTypeReply)
	if err != nil {
		return err
	}
	c.server = reply.Options.ServerID() // who extends a lease is whom to ask next
	return c.take(reply, t != other.MessageTypeRequest)
}

// take remembers what an answer gives. With same it must be what the client has.
func (c *Client) take(answer *other.Message, same bool) error {
	bad := func(what string) error {
		return fmt.Errorf("%w: client %d at %s: %s: %s", ErrRefused, c.Number, c.Place.Name, what, answer.Summary())
	}
	na, pd := answer.Options.OneIANA(), answer.Options.OneIAPD()
	if na == nil || na.IaId != c.iaid() || na.Options.OneAddress() == nil {
		return bad("no address")
	}
	given := na.Options.OneAddress()
	address, ok := netip.AddrFromSlice(given.IPv6Addr)
	if !ok || same && address != c.Address {
		return bad("another address")
	}
	c.Address, c.Preferred, c.Valid = address, given.PreferredLifetime, given.ValidLifetime
	if c.AddressOnly {
		return nil
	}
	if pd == nil || pd.IaId != c.iaid() || len(pd.Options.Prefixes()) != 1 || pd.Options.Prefixes()[0].Prefix == nil {
		return bad("no prefix")
	}
	network := pd.Options.Prefixes()[0].Prefix
	base, ok := netip.AddrFromSlice(network.IP)
	bits, _ := network.Mask.Size()
	prefix := netip.PrefixFrom(base, bits)
	if !ok || same && prefix != c.Delegated {
		return bad("another prefix")
	}
	c.Delegated = prefix
	return nil
}

// Release gives back what the client has.
func (c *Client) Release(ctx context.Context) error {
	return c.giveUp(ctx, other.MessageTypeRelease, true)
}

// Decline tells that somebody else uses the address. The prefix stays the client's.
func (c *Client) Decline(ctx context.Context) error {
	return c.giveUp(ctx, other.MessageTypeDecline, false)
}

func (c *Client) giveUp(ctx context.Context, t other.MessageType, delegated bool) error {
	m, err := c.message(t, delegated)
	if err != nil {
		return err
	}
	m.AddOption(other.OptServerID(c.server))
	reply, err := c.ask(ctx, m, other.MessageTypeReply)
	if err != nil {
		return err
	}
	if s := reply.Options.Status(); s != nil && s.StatusCode != 0 {
		return fmt.Errorf("%v of client %d at %s: %v", t, c.Number, c.Place.Name, s)
	}
	return nil
}

// Confirm asks whether the client's address fits its link. The server must say that it does.
func (c *Client) Confirm(ctx context.Context) error {
	m, err := c.message(other.MessageTypeConfirm, false)
	if err != nil {
		return err
	}
	reply, err := c.ask(ctx, m, other.MessageTypeReply)
	if err != nil {
		return err
	}
	if s := reply.Options.Status(); s == nil || s.StatusCode != 0 {
		return fmt.Errorf("confirm of client %d at %s: %v", c.Number, c.Place.Name, s)
	}
	return nil
}
