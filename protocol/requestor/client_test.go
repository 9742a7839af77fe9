package requestor

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// relayed is a relay chain of so many levels, outermost first.
func relayed(levels int) dhcpv6.LQRelayData {
	var inner []byte
	for n := levels - 1; n >= 0; n-- {
		options := must(dhcpv6.InterfaceID{byte(n)})
		if inner != nil {
			b, err := dhcpv6.AppendOption(options, dhcpv6.OptionRelayMessage, inner)
			if err != nil {
				panic(err)
			}
			options = append(b, must(dhcpv6.RemoteID{Enterprise: 9, ID: []byte{byte(n)}})...)
		}
		inner, _ = dhcpv6.RelayMessage{ // never fails
			Type: dhcpv6.MessageRelayForward, HopCount: uint8(levels - 1 - n),
			LinkAddress: netip.MustParseAddr("2001:db8:1::"), PeerAddress: netip.MustParseAddr("fe80::1"), Options: options,
		}.AppendBinary(nil)
	}
	return dhcpv6.LQRelayData{Peer: netip.MustParseAddr("2001:db8:1::9"), Message: inner}
}

func TestClientJSON(t *testing.T) {
	full := must(dhcpv6.ClientID{0, 1, 0xab}, dhcpv6.CLTTime(12),
		dhcpv6.IAAddress{Address: netip.MustParseAddr("2001:db8::1"), Preferred: 3600, Valid: 7200},
		dhcpv6.IAAddress{Address: netip.MustParseAddr("2001:db8::2"), Preferred: 0, Valid: 0xffffffff},
		dhcpv6.IAPrefix{Prefix: netip.MustParsePrefix("2001:db8:100::/56"), Preferred: 1, Valid: 2},
		dhcpv6.ClientFQDN{Flags: 1, Name: []byte("\x03foo")}, relayed(2))
	for _, tc := range []struct {
		name string
		data dhcpv6.Options
		want string
	}{
		{"everything", full, `{"duid":"00:01:ab","last_transaction_seconds":12,` +
			`"addresses":[{"address":"2001:db8::1","preferred":3600,"valid":7200},{"address":"2001:db8::2","preferred":0,"valid":4294967295}],` +
			`"prefixes":[{"prefix":"2001:db8:100::/56","preferred":1,"valid":2}],` +
			`"options":[{"code":39,"data":"0103666f6f"}],` +
			`"relay":{"peer":"2001:db8:1::9","levels":[` +
			`{"hop_count":1,"link":"2001:db8:1::","peer":"fe80::1","options":[{"code":18,"data":"00"},{"code":37,"data":"0000000900"}]},` +
			`{"hop_count":0,"link":"2001:db8:1::","peer":"fe80::1","options":[{"code":18,"data":"01"}]}]}}`},
		{"little", client(1), `{"duid":"00:02:00:00:00:01","last_transaction_seconds":7,` +
			`"addresses":[{"address":"2001:db8::1","preferred":10,"valid":20}],"prefixes":[],"options":[]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c Client
			for range 2 { // the second time into used memory
				found, err := c.parseMessage(message(dhcpv6.MessageLeasequeryData, dhcpv6.TransactionID{}, must(dhcpv6.ClientData{Options: tc.data})))
				if err != nil || !found {
					t.Fatal(found, err)
				}
			}
			got, err := c.AppendJSON(nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRelayLevels(t *testing.T) {
	for levels, ok := range map[int]bool{1: true, 4: true, 5: true, 32: true, 33: false} {
		var c Client
		c.reset()
		err := c.parse(join(client(1), must(relayed(levels))))
		if (err == nil) != ok {
			t.Errorf("%d levels: %v", levels, err)
			continue
		}
		for n, l := range c.Relay.Levels {
			if l.Options[0].Data[0] != byte(n) || int(l.HopCount) != levels-1-n {
				t.Errorf("%d levels: level %d is %+v", levels, n, l)
			}
		}
		if ok && len(c.Relay.Levels) != levels {
			t.Errorf("%d levels parsed of %d", len(c.Relay.Levels), levels)
		}
	}
}

func TestQueryMessages(t *testing.T) {
	start, end := uint32(5), uint32(6)
	link := netip.MustParseAddr("2001:db8::")
	// header, then the requestor's client-id
	const head = "0e010203" + "0001000a" + "00030001010203040506"
	for _, tc := range []struct {
		name  string
		query Query
		want  string // after head
	}{
		{"address", Query{Type: dhcpv6.QueryByAddress, Address: netip.MustParseAddr("2001:db8::5")},
			"002c002d" + "01" + "00000000000000000000000000000000" + "00050018" + "20010db8000000000000000000000005" + "00000000" + "00000000"},
		{"client-id on a link", Query{Type: dhcpv6.QueryByClientID, ClientID: []byte{1, 2}, LinkAddress: link},
			"002c0017" + "02" + "20010db8000000000000000000000000" + "00010002" + "0102"},
		{"relay-id with everything", Query{Type: dhcpv6.QueryByRelayID, RelayID: []byte{7}, RelayData: true, BaseTime: true,
			Options: []dhcpv6.OptionCode{39}, StartTime: &start, EndTime: &end},
			"002c0020" + "03" + "00000000000000000000000000000000" + "00350001" + "07" + "00060006" + "0027" + "002f" + "0064" +
				"00650004" + "00000005" + "00660004" + "00000006"},
		{"link-address", Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: link},
			"002c0011" + "04" + "20010db8000000000000000000000000"},
		{"remote-id", Query{Type: dhcpv6.QueryByRemoteID, RemoteID: dhcpv6.RemoteID{Enterprise: 9, ID: []byte{0xaa}}},
			"002c001a" + "05" + "00000000000000000000000000000000" + "00250005" + "00000009" + "aa"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := tc.query.message(dhcpv6.TransactionID{1, 2, 3}, ownID)
			if err != nil {
				t.Fatal(err)
			}
			b, err := m.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(head+tc.want, hex.EncodeToString(b)); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueriesThatCannotBeSent(t *testing.T) {
	for name, q := range map[string]Query{
		"no type":                   {},
		"an IPv4 address":           {Type: dhcpv6.QueryByAddress, Address: netip.MustParseAddr("192.0.2.1")},
		"no address":                {Type: dhcpv6.QueryByAddress},
		"no link-address":           {Type: dhcpv6.QueryByLinkAddress},
		"the link-address ::":       {Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.IPv6Unspecified()},
		"a client-id of 65536 octs": {Type: dhcpv6.QueryByClientID, ClientID: make([]byte, 65536)},
	} {
		if _, err := q.message(dhcpv6.TransactionID{}, ownID); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v, want ErrQuery", name, err)
		}
	}
	if _, err := everything.message(dhcpv6.TransactionID{}, nil); !errors.Is(err, ErrQuery) {
		t.Errorf("no client-id of our own: %v, want ErrQuery", err)
	}
}
