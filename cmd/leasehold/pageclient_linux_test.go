package main

import (
	"net"
	"net/netip"
	"testing"
	"time"

	other "github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// pageRelayID is the relay-id of pageClient's relay, hex.
const pageRelayID = "0003000102000000ffff"

// pageClient gets leases from a DHCPv6 server as clients behind a relay do.
type pageClient struct {
	t      *testing.T
	relay  *netlab.Host
	server string // host:port
}

// lease gets an address for the client of a number.
func (p *pageClient) lease(number byte) string {
	p.t.Helper()
	c, err := p.relay.ListenPacket("udp6", p.relay.AddrPort(547))
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	duid := &other.DUIDLL{HWType: 1, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, number}}
	solicit, err := other.NewMessage(other.WithClientID(duid), other.WithIAID([4]byte{number}))
	if err != nil {
		p.t.Fatal(err)
	}
	solicit.MessageType = other.MessageTypeSolicit
	advertise := p.ask(c, solicit, number)
	request, err := other.NewRequestFromAdvertise(advertise)
	if err != nil {
		p.t.Fatalf("%s: %v", advertise.Summary(), err)
	}
	reply := p.ask(c, request, number)
	ia := reply.Options.OneIANA()
	if ia == nil || ia.Options.OneAddress() == nil {
		p.t.Fatalf("no address in %s", reply.Summary())
	}
	address, ok := netip.AddrFromSlice(ia.Options.OneAddress().IPv6Addr)
	if !ok {
		p.t.Fatalf("no address in %s", reply.Summary())
	}
	return address.String()
}

// ask sends a message through the relay, again and again until the server answers.
func (p *pageClient) ask(c net.PacketConn, m *other.Message, number byte) *other.Message {
	p.t.Helper()
	forward, err := other.EncapsulateRelay(m, other.MessageTypeRelayForward, net.ParseIP("2001:db8:1::1"), net.IP{0xfe, 0x80, 15: number})
	if err != nil {
		p.t.Fatal(err)
	}
	forward.AddOption(&other.OptionGeneric{OptionCode: other.OptionRelayID, OptionData: []byte{0, 3, 0, 1, 2, 0, 0, 0, 0xff, 0xff}})
	to, err := netip.ParseAddrPort(p.server)
	if err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	for range 100 {
		if _, err := c.WriteTo(forward.ToBytes(), net.UDPAddrFromAddrPort(to)); err != nil {
			p.t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			p.t.Fatal(err)
		}
		n, _, err := c.ReadFrom(b)
		if err != nil {
			continue // the server does not run yet
		}
		answer, err := other.FromBytes(b[:n])
		if err != nil {
			p.t.Fatal(err)
		}
		inner, err := answer.GetInnerMessage()
		if err != nil {
			p.t.Fatal(err)
		}
		if inner.TransactionID == m.TransactionID {
			return inner
		}
	}
	p.t.Fatal("the server does not answer")
	return nil
}
