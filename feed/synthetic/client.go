package synthetic

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// enterprise is the private enterprise number in what is made up: 32473, reserved for examples (RFC 5612).
const enterprise = 32473

// Relay is a relay that does not exist.
type Relay struct {
	ID     []byte       // its DUID, as in Relay-Id: 14 octets
	Link   netip.Addr   // its link-address
	Prefix netip.Prefix // the /64 of its link
}

// Client is a client that does not exist.
type Client struct {
	DUID        []byte
	IAID        uint32 // of both bindings
	Address     netip.Addr
	Prefix      netip.Prefix // delegated, a /56
	Relay       int          // number of its relay
	Peer        netip.Addr   // its link-local address, peer-address of its relay's message
	InterfaceID []byte       // 11 octets
	RemoteID    []byte       // 16 octets: enterprise number, then 12
}

// Relay is the relay of a number, from 0.
func (s *Source) Relay(r int) Relay {
	var link [16]byte
	binary.BigEndian.PutUint32(link[:], 0x20010db8)
	binary.BigEndian.PutUint32(link[4:], uint32(r))
	prefix := netip.PrefixFrom(netip.AddrFrom16(link), 64)
	link[15] = 1
	id := binary.BigEndian.AppendUint16(nil, 2) // DUID-EN
	id = binary.BigEndian.AppendUint32(id, enterprise)
	return Relay{ID: fmt.Appendf(id, "r%07x", uint32(r)), Link: netip.AddrFrom16(link), Prefix: prefix}
}

// Client is the client of a number, from 0.
func (s *Source) Client(i int) Client {
	random := rand.New(rand.NewPCG(s.config.Seed, uint64(i)))
	relay := i % s.config.Relays
	var mac [6]byte
	mac[0] = 2 // locally administered
	binary.BigEndian.PutUint32(mac[1:], uint32(i>>8))
	mac[5] = byte(i)
	link := s.Relay(relay).Prefix.Addr().As16()
	binary.BigEndian.PutUint64(link[8:], 0x1000+uint64(i/s.config.Relays))
	var delegated [16]byte
	binary.BigEndian.PutUint64(delegated[:], 0x3fff<<48|uint64(i)<<8)
	peer := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	return Client{
		DUID: duid(i, mac, random), IAID: random.Uint32(), Address: netip.AddrFrom16(link), Prefix: netip.PrefixFrom(netip.AddrFrom16(delegated), 56),
		Relay: relay, Peer: netip.AddrFrom16(peer),
		InterfaceID: fmt.Appendf(nil, "eth0:%06x", i&0xffffff),
		RemoteID:    fmt.Appendf(binary.BigEndian.AppendUint32(nil, enterprise), "line%08x", uint32(i)),
	}
}

// duid makes a DUID of one of the types of RFC 8415 11; the number in it keeps it unique.
func duid(i int, mac [6]byte, random *rand.Rand) []byte {
	out := make([]byte, 0, 18)
	switch i % 4 {
	case 0: // DUID-LL, 10 octets
		out = append(out, 0, 3, 0, 1)
		return append(out, mac[:]...)
	case 1: // DUID-LLT, 14 octets
		out = append(out, 0, 1, 0, 1)
		out = binary.BigEndian.AppendUint32(out, 0x2a000000|random.Uint32()>>8)
		return append(out, mac[:]...)
	case 2: // DUID-UUID, 18 octets
		out = append(out, 0, 4)
		out = binary.BigEndian.AppendUint64(out, random.Uint64())
		return binary.BigEndian.AppendUint64(out, uint64(i))
	}
	out = append(out, 0, 2) // DUID-EN, 12 octets
	out = binary.BigEndian.AppendUint32(out, enterprise)
	return append(out, mac[:]...)
}

// appendRelayOptions appends the options that a client's relay added, in ascending order.
func appendRelayOptions(dst []byte, c *Client, relayID []byte) ([]byte, error) {
	for _, o := range []struct {
		code  dhcpv6.OptionCode
		value []byte
	}{{dhcpv6.OptionInterfaceID, c.InterfaceID}, {dhcpv6.OptionRemoteID, c.RemoteID}, {dhcpv6.OptionRelayID, relayID}} {
		var err error
		if dst, err = dhcpv6.AppendOption(dst, o.code, o.value); err != nil {
			return dst, fmt.Errorf("option %d: %w", o.code, err)
		}
	}
	return dst, nil
}
