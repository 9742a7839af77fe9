package dhcpv6

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	oracle "github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/insomniacslk/dhcp/rfc1035label"
	"pgregory.net/rapid"
)

// both is one option made from the same values by us and by github.com/insomniacslk/dhcp, which shares no code with us.
type both struct {
	ours   option
	theirs oracle.Option
}

// Values that both can hold. What the other decoder cannot keep is left out: an ORO's duplicates, a prefix of length 0, a DUID
// under 2 octets, a host name without its final empty label.
var (
	anyOctets  = rapid.SliceOfN(rapid.Byte(), 0, 40)
	someOctets = rapid.SliceOfN(rapid.Byte(), 1, 40)
	addresses  = rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")))
	})
	lifetimes = rapid.OneOf(rapid.Uint32(), rapid.SampledFrom([]uint32{0, 1, 0xffffffff}))
	duids     = rapid.Custom(func(t *rapid.T) oracle.DUID {
		id := someOctets.Draw(t, "identifier")
		switch rapid.IntRange(0, 4).Draw(t, "duid type") {
		case 0:
			return &oracle.DUIDLLT{HWType: iana.HWType(rapid.Uint16().Draw(t, "hardware")), Time: rapid.Uint32().Draw(t, "time"), LinkLayerAddr: id}
		case 1:
			return &oracle.DUIDEN{EnterpriseNumber: rapid.Uint32().Draw(t, "enterprise"), EnterpriseIdentifier: id}
		case 2:
			return &oracle.DUIDLL{HWType: iana.HWType(rapid.Uint16().Draw(t, "hardware")), LinkLayerAddr: id}
		case 3:
			return &oracle.DUIDUUID{UUID: [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))}
		}
		return &oracle.DUIDOpaque{Type: oracle.DUIDType(rapid.Uint16Range(5, 0xffff).Draw(t, "type")), Data: id}
	})
	labels = rapid.SliceOfN(rapid.StringMatching(`[a-z0-9-]{1,20}`), 1, 5)
)

func seconds(v uint32) time.Duration { return time.Duration(v) * time.Second }

// someOption draws an option of a kind that the other decoder understands, or keeps as it is; deep counts what may still nest.
func someOption(t *rapid.T, deep int) both {
	address, octets := addresses.Draw(t, "address"), anyOctets.Draw(t, "octets")
	switch rapid.IntRange(0, 14).Draw(t, "option") {
	case 0:
		d := duids.Draw(t, "duid")
		return both{ClientID(d.ToBytes()), oracle.OptClientID(d)}
	case 1:
		d := duids.Draw(t, "duid")
		return both{ServerID(d.ToBytes()), oracle.OptServerID(d)}
	case 2:
		preferred, valid := lifetimes.Draw(t, "preferred"), lifetimes.Draw(t, "valid")
		o, theirs := nestedOptions(t, deep)
		return both{
			IAAddress{Address: address, Preferred: preferred, Valid: valid, Options: o},
			&oracle.OptIAAddress{IPv6Addr: address.AsSlice(), PreferredLifetime: seconds(preferred), ValidLifetime: seconds(valid), Options: oracle.AddressOptions{Options: theirs}},
		}
	case 3:
		preferred, valid, bits := lifetimes.Draw(t, "preferred"), lifetimes.Draw(t, "valid"), rapid.IntRange(1, 128).Draw(t, "bits")
		o, theirs := nestedOptions(t, deep)
		return both{
			IAPrefix{Preferred: preferred, Valid: valid, Prefix: netip.PrefixFrom(address, bits), Options: o},
			&oracle.OptIAPrefix{
				PreferredLifetime: seconds(preferred), ValidLifetime: seconds(valid),
				Prefix: &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(bits, 128)}, Options: oracle.PrefixOptions{Options: theirs},
			},
		}
	case 4:
		codes := rapid.SliceOfDistinct(rapid.Uint16(), rapid.ID[uint16]).Draw(t, "codes")
		var ours []OptionCode
		var theirs []oracle.OptionCode
		for _, c := range codes {
			ours, theirs = append(ours, OptionCode(c)), append(theirs, oracle.OptionCode(c))
		}
		return both{NewORO(ours...), oracle.OptRequestedOption(theirs...)}
	case 5:
		code, text := rapid.Uint16().Draw(t, "status"), rapid.String().Draw(t, "text")
		return both{StatusCode{Status: Status(code), Text: text}, &oracle.OptStatusCode{StatusCode: iana.StatusCode(code), StatusMessage: text}}
	case 6:
		return both{InterfaceID(octets), oracle.OptInterfaceID(octets)}
	case 7:
		enterprise, id := rapid.Uint32().Draw(t, "enterprise"), someOctets.Draw(t, "remote-id")
		return both{RemoteID{Enterprise: enterprise, ID: id}, &oracle.OptRemoteID{EnterpriseNumber: enterprise, RemoteID: id}}
	case 8:
		kind := rapid.Uint16().Draw(t, "hardware")
		return both{ClientLinkLayer{Type: kind, Address: octets}, oracle.OptClientLinkLayerAddress(iana.HWType(kind), octets)}
	case 9:
		port := rapid.Uint16().Draw(t, "port")
		return both{RelayPort(port), oracle.OptRelayPort(port)}
	case 10:
		flags, name := rapid.Byte().Draw(t, "flags"), ""
		for _, l := range labels.Draw(t, "labels") {
			name += l + "."
		}
		ours, err := NewClientFQDN(flags, name)
		if err != nil {
			t.Fatalf("host name %q: %v", name, err)
		}
		return both{ours, &oracle.OptFQDN{Flags: flags, DomainName: &rfc1035label.Labels{Labels: []string{name[:len(name)-1]}}}}
	}
	return keptOption(t, address, octets, deep)
}

// keptOption draws an option of leasequery, which the other decoder keeps octet for octet.
func keptOption(t *rapid.T, address netip.Addr, octets []byte, deep int) both {
	generic := func(code OptionCode, ours option, data []byte) both {
		return both{ours, &oracle.OptionGeneric{OptionCode: oracle.OptionCode(code), OptionData: data}}
	}
	second := rapid.Uint32().Draw(t, "seconds")
	word := []byte{byte(second >> 24), byte(second >> 16), byte(second >> 8), byte(second)}
	o, theirs := nestedOptions(t, deep)
	switch rapid.IntRange(0, 7).Draw(t, "leasequery option") {
	case 0:
		kind := rapid.Byte().Draw(t, "query type")
		return generic(44, LQQuery{Type: QueryType(kind), LinkAddress: address, Options: o}, append(append([]byte{kind}, address.AsSlice()...), theirs.ToBytes()...))
	case 1:
		return generic(45, ClientData{Options: o}, theirs.ToBytes())
	case 2:
		return generic(46, CLTTime(second), word)
	case 3:
		return generic(47, LQRelayData{Peer: address, Message: octets}, append(address.AsSlice(), octets...))
	case 4:
		return generic(48, NewLQClientLink(address, address), append(address.AsSlice(), address.AsSlice()...))
	case 5:
		return generic(100, BaseTime(second), word)
	case 6:
		return generic(101, StartTime(second), word)
	}
	return generic(102, EndTime(second), word)
}

func nestedOptions(t *rapid.T, deep int) (Options, oracle.Options) {
	if deep == 0 {
		return nil, nil
	}
	return drawOptions(t, 3, deep-1)
}

// drawOptions draws up to most options, made twice.
func drawOptions(t *rapid.T, most, deep int) (ours Options, theirs oracle.Options) {
	for range rapid.IntRange(0, most).Draw(t, "options") {
		b := someOption(t, deep)
		out, err := b.ours.AppendBinary(ours)
		if err != nil {
			t.Fatalf("append %T: %v", b.ours, err)
		}
		ours, theirs = out, append(theirs, b.theirs)
	}
	return ours, theirs
}

// Both write the same octets; theirs reads ours and writes them again; ours reads theirs, and every option in them is written
// again as it was.
func TestMessagesAgreeWithAnotherDecoder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		id := [3]byte(rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(rt, "transaction-id"))
		kind := rapid.SampledFrom([]byte{1, 7, 14, 15, 16, 17, 22, 23, 255}).Draw(rt, "type")
		ours, theirs := drawOptions(rt, 6, 2)
		m := Message{Type: MessageType(kind), TransactionID: id, Options: ours}
		wire, err := m.AppendBinary(nil)
		if err != nil {
			rt.Fatalf("append: %v", err)
		}
		other := oracle.Message{MessageType: oracle.MessageType(kind), TransactionID: id, Options: oracle.MessageOptions{Options: theirs}}
		if diff := cmp.Diff(other.ToBytes(), wire); diff != "" {
			rt.Fatalf("they write otherwise (-theirs +ours):\n%s", diff)
		}
		read, err := oracle.MessageFromBytes(wire)
		if err != nil {
			rt.Fatalf("they do not read % x: %v", wire, err)
		}
		if again := read.ToBytes(); !bytes.Equal(again, wire) {
			rt.Fatalf("they read % x as % x", wire, again)
		}
		back, err := ParseMessage(other.ToBytes())
		if err != nil {
			rt.Fatalf("we do not read theirs: %v", err)
		}
		if diff := cmp.Diff(m, back, equate); diff != "" {
			rt.Fatalf("we read theirs otherwise (-want +got):\n%s", diff)
		}
		c := newCensus()
		c.take(t, back.Options)
		delete(c.refused, OptionRelayMessage) // what OPTION_LQ_RELAY_DATA carries here are octets at random
		if len(c.refused) > 0 {
			rt.Fatalf("we refuse of theirs: %v", c.refused)
		}
	})
}

// Chains of 1 to 32 relays, nested by them and by us.
func TestRelayChainsAgreeWithAnotherDecoder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		innerOptions, theirInner := drawOptions(rt, 2, 1)
		wire, _ := Message{Type: MessageLeasequery, Options: innerOptions}.AppendBinary(nil)
		var theirs oracle.DHCPv6 = &oracle.Message{MessageType: 14, Options: oracle.MessageOptions{Options: theirInner}}
		inner := wire
		depth := rapid.IntRange(1, 32).Draw(rt, "relays")
		for hop := range depth {
			kind := rapid.SampledFrom([]MessageType{MessageRelayForward, MessageRelayReply}).Draw(rt, "type")
			link, peer := addresses.Draw(rt, "link-address"), addresses.Draw(rt, "peer-address")
			o, theirOptions := drawOptions(rt, 2, 0)
			o, err := AppendOption(o, OptionRelayMessage, wire)
			if err != nil {
				rt.Fatalf("append OPTION_RELAY_MSG: %v", err)
			}
			wire, _ = RelayMessage{Type: kind, HopCount: uint8(hop), LinkAddress: link, PeerAddress: peer, Options: o}.AppendBinary(nil)
			theirs = &oracle.RelayMessage{
				MessageType: oracle.MessageType(kind), HopCount: uint8(hop), LinkAddr: link.AsSlice(), PeerAddr: peer.AsSlice(),
				Options: oracle.RelayOptions{Options: append(theirOptions, oracle.OptRelayMessage(theirs))},
			}
		}
		if !bytes.Equal(theirs.ToBytes(), wire) {
			rt.Fatalf("they write otherwise:\n% x\n% x", theirs.ToBytes(), wire)
		}
		read, err := oracle.FromBytes(wire)
		if err != nil || !bytes.Equal(read.ToBytes(), wire) {
			rt.Fatalf("they do not read what we wrote: %v", err)
		}
		levels, carried, err := ParseRelayChain(wire)
		if err != nil || len(levels) != depth || !bytes.Equal(carried, inner) {
			rt.Fatalf("%d levels of %d around % x: %v", len(levels), depth, carried, err)
		}
		for i, l := range levels {
			outer, ok := read.(*oracle.RelayMessage)
			if !ok || uint8(outer.MessageType) != uint8(l.Type) || outer.HopCount != l.HopCount || !outer.LinkAddr.Equal(l.LinkAddress.AsSlice()) ||
				!outer.PeerAddr.Equal(l.PeerAddress.AsSlice()) {
				rt.Fatalf("level %d is %v, they read %v", i, l, read)
			}
			read = outer.Options.RelayMessage()
		}
	})
}

// Their values of our octets are the values that we wrote, not only the same octets.
func TestAnotherDecoderSeesTheValues(t *testing.T) {
	wire, _ := Message{Type: MessageLeasequeryReply, TransactionID: TransactionID{1, 2, 3}, Options: options(t,
		ClientID(duidLLT), ServerID(duidEN), StatusCode{Status: StatusUnspecFail, Text: "stale"},
		IAAddress{Address: addr("2001:db8::5"), Preferred: 3600, Valid: 7200},
		IAPrefix{Preferred: 60, Valid: 0xffffffff, Prefix: netip.MustParsePrefix("2001:db8:5::/48")},
		NewORO(OptionLQRelayData, OptionLQBaseTime))}.AppendBinary(nil)
	m, err := oracle.MessageFromBytes(wire)
	if err != nil {
		t.Fatalf("they do not read it: %v", err)
	}
	if m.MessageType != oracle.MessageTypeLeaseQueryReply || m.TransactionID != (oracle.TransactionID{1, 2, 3}) {
		t.Errorf("they see %v %v", m.MessageType, m.TransactionID)
	}
	client, ok := m.Options.ClientID().(*oracle.DUIDLLT)
	if !ok || client.HWType != iana.HWTypeEthernet || client.LinkLayerAddr.String() != "08:00:27:fe:8f:95" {
		t.Errorf("they see the client-id %v", m.Options.ClientID())
	}
	server, ok := m.Options.ServerID().(*oracle.DUIDEN)
	if !ok || server.EnterpriseNumber != 9 {
		t.Errorf("they see the server-id %v", m.Options.ServerID())
	}
	if s := m.Options.Status(); s == nil || s.StatusCode != iana.StatusUnspecFail || s.StatusMessage != "stale" {
		t.Errorf("they see the status %v", s)
	}
	a, ok := m.GetOneOption(oracle.OptionIAAddr).(*oracle.OptIAAddress)
	if !ok || a.IPv6Addr.String() != "2001:db8::5" || a.PreferredLifetime != time.Hour || a.ValidLifetime != 2*time.Hour {
		t.Errorf("they see the address %v", a)
	}
	p, ok := m.GetOneOption(oracle.OptionIAPrefix).(*oracle.OptIAPrefix)
	if !ok || p.Prefix.String() != "2001:db8:5::/48" || p.PreferredLifetime != time.Minute || p.ValidLifetime != seconds(0xffffffff) {
		t.Errorf("they see the prefix %v", p)
	}
	if want := (oracle.OptionCodes{47, 100}); !cmp.Equal(m.Options.RequestedOptions(), want) {
		t.Errorf("they see the requested options %v, want %v", m.Options.RequestedOptions(), want)
	}
}
