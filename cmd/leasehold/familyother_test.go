package main

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	other "github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// TestFamilyReadByAnotherDecoder: github.com/insomniacslk/dhcp, which shares no code with Leasehold, finds the same in every message
// of the family, field by field, and writes the octets that it read.
func TestFamilyReadByAnotherDecoder(t *testing.T) {
	k := newFamilyTalk(t)
	k.run()
	k.requireEverything(t)
	for _, s := range k.all {
		theirs, err := other.FromBytes(s.octets)
		if err != nil {
			t.Errorf("%x: %v", s.octets, err)
			continue
		}
		if d := cmp.Diff(ourFields(t, s.octets), theirFields(t, theirs)); d != "" {
			t.Errorf("%x (-ours +theirs):\n%s", s.octets, d)
		}
		if string(theirs.ToBytes()) != string(s.octets) {
			t.Errorf("%x is written by them as %x", s.octets, theirs.ToBytes())
		}
	}
}

// ourFields are the fields of a message by the project's own codec.
func ourFields(t *testing.T, b []byte) (fields []string) {
	t.Helper()
	if kind := dhcpv6.MessageType(b[0]); kind == dhcpv6.MessageRelayForward || kind == dhcpv6.MessageRelayReply {
		m, err := dhcpv6.ParseRelayMessage(b)
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		return append(append(fields, fmt.Sprintf("relay %d %d %v %v", m.Type, m.HopCount, m.LinkAddress, m.PeerAddress)), ourOptions(t, m.Options)...)
	}
	m, err := dhcpv6.ParseMessage(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return append(append(fields, fmt.Sprintf("message %d %x", m.Type, m.TransactionID[:])), ourOptions(t, m.Options)...)
}

func ourOptions(t *testing.T, options dhcpv6.Options) (fields []string) {
	t.Helper()
	note := func(format string, args ...any) { fields = append(fields, fmt.Sprintf(format, args...)) }
	for code, v := range options.All() {
		var err error
		switch code {
		case dhcpv6.OptionClientID, dhcpv6.OptionServerID, dhcpv6.OptionRelayID:
			note("%d duid %x", code, v)
		case dhcpv6.OptionIAAddr:
			var a dhcpv6.IAAddress
			a, err = dhcpv6.ParseIAAddress(v)
			note("%d %v %d %d", code, a.Address, a.Preferred, a.Valid)
		case dhcpv6.OptionIAPrefix:
			var p dhcpv6.IAPrefix
			p, err = dhcpv6.ParseIAPrefix(v)
			note("%d %v %d %d", code, p.Prefix, p.Preferred, p.Valid)
		case dhcpv6.OptionStatusCode:
			var s dhcpv6.StatusCode
			s, err = dhcpv6.ParseStatusCode(v)
			note("%d %d %q", code, uint16(s.Status), s.Text)
		case dhcpv6.OptionRemoteID:
			var r dhcpv6.RemoteID
			r, err = dhcpv6.ParseRemoteID(v)
			note("%d %d %x", code, r.Enterprise, r.ID)
		case dhcpv6.OptionClientData:
			note("%d of %d", code, len(v))
			fields = append(fields, ourOptions(t, dhcpv6.Options(v))...)
		case dhcpv6.OptionRelayMessage:
			note("%d of %d", code, len(v))
			fields = append(fields, ourFields(t, v)...)
		case dhcpv6.OptionLQRelayData:
			var d dhcpv6.LQRelayData
			d, err = dhcpv6.ParseLQRelayData(v)
			note("%d %v", code, d.Peer)
			fields = append(fields, ourFields(t, d.Message)...)
		default:
			note("%d %x", code, v)
		}
		if err != nil {
			t.Fatalf("option %d, %x: %v", code, v, err)
		}
	}
	return fields
}

// theirFields are the fields of a message as the other decoder has read it.
func theirFields(t *testing.T, m other.DHCPv6) (fields []string) {
	t.Helper()
	if r, ok := m.(*other.RelayMessage); ok {
		link, peer := theirAddr(r.LinkAddr), theirAddr(r.PeerAddr)
		return append(append(fields, fmt.Sprintf("relay %d %d %v %v", r.MessageType, r.HopCount, link, peer)), theirOptions(t, r.Options.Options)...)
	}
	plain := m.(*other.Message)
	return append(append(fields, fmt.Sprintf("message %d %x", plain.MessageType, plain.TransactionID[:])), theirOptions(t, plain.Options.Options)...)
}

func theirAddr(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)) }

func theirOptions(t *testing.T, options other.Options) (fields []string) {
	t.Helper()
	note := func(format string, args ...any) { fields = append(fields, fmt.Sprintf(format, args...)) }
	for _, o := range options {
		code, v := uint16(o.Code()), o.ToBytes()
		switch o := o.(type) {
		case *other.OptIAAddress:
			note("%d %v %d %d", code, theirAddr(o.IPv6Addr), uint32(o.PreferredLifetime.Seconds()), uint32(o.ValidLifetime.Seconds()))
			continue
		case *other.OptIAPrefix:
			bits, _ := o.Prefix.Mask.Size()
			note("%d %v %d %d", code, netip.PrefixFrom(theirAddr(o.Prefix.IP.To16()), bits), uint32(o.PreferredLifetime.Seconds()), uint32(o.ValidLifetime.Seconds()))
			continue
		case *other.OptStatusCode:
			note("%d %d %q", code, uint16(o.StatusCode), o.StatusMessage)
			continue
		case *other.OptRemoteID:
			note("%d %d %x", code, o.EnterpriseNumber, o.RemoteID)
			continue
		}
		switch code {
		case 1, 2, 53:
			note("%d duid %x", code, v)
		case 9:
			carried, err := other.FromBytes(v)
			if err != nil {
				t.Fatalf("carried %x: %v", v, err)
			}
			note("%d of %d", code, len(v))
			fields = append(fields, theirFields(t, carried)...)
		case 45: // they keep it as it is; what is in it are options
			var inner other.Options
			if err := inner.FromBytes(v); err != nil {
				t.Fatalf("client data %x: %v", v, err)
			}
			note("%d of %d", code, len(v))
			fields = append(fields, theirOptions(t, inner)...)
		case 47: // an address and a relay's message
			chain, err := other.FromBytes(v[16:])
			if err != nil {
				t.Fatalf("relay data %x: %v", v, err)
			}
			note("%d %v", code, theirAddr(v[:16]))
			fields = append(fields, theirFields(t, chain)...)
		default:
			note("%d %x", code, v)
		}
	}
	return fields
}
