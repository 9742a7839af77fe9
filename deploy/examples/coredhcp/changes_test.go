package leasehold

import (
	"encoding/hex"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

var testDUID = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}

// message is a client's message of a type, with an address and a prefix.
func message(t *testing.T, kind dhcpv6.MessageType, valid time.Duration) *dhcpv6.Message {
	t.Helper()
	_, delegated, err := net.ParseCIDR("2001:db8:8000::/56")
	if err != nil {
		t.Fatal(err)
	}
	m, err := dhcpv6.NewMessage(dhcpv6.WithClientID(testDUID),
		dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8::1"), PreferredLifetime: valid / 2, ValidLifetime: valid}),
		dhcpv6.WithIAID([4]byte{0, 0, 1, 2}),
		dhcpv6.WithIAPD([4]byte{0xff, 0, 0, 3}, &dhcpv6.OptIAPrefix{Prefix: delegated, PreferredLifetime: valid / 2, ValidLifetime: valid}))
	if err != nil {
		t.Fatal(err)
	}
	m.MessageType = kind
	return m
}

// relayed puts a message behind a relay that names its interface, and another before that one.
func relayed(t *testing.T, m dhcpv6.DHCPv6) *dhcpv6.RelayMessage {
	t.Helper()
	inner, err := dhcpv6.EncapsulateRelay(m, dhcpv6.MessageTypeRelayForward, net.ParseIP("::"), net.ParseIP("fe80::1"))
	if err != nil {
		t.Fatal(err)
	}
	inner.AddOption(dhcpv6.OptInterfaceID([]byte("eth7")))
	outer, err := dhcpv6.EncapsulateRelay(inner, dhcpv6.MessageTypeRelayForward, net.ParseIP("2001:db8::ff"), net.ParseIP("fe80::2"))
	if err != nil {
		t.Fatal(err)
	}
	outer.AddOption(&dhcpv6.OptRemoteID{EnterpriseNumber: 32473, RemoteID: []byte("olt")})
	return outer
}

func TestChangesOfAReply(t *testing.T) {
	changes, err := changesOf(relayed(t, message(t, dhcpv6.MessageTypeRequest, 0)), message(t, dhcpv6.MessageTypeReply, 2*time.Hour))
	if err != nil || len(changes) != 2 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	address, prefix := changes[0].GetUpsert(), changes[1].GetUpsert()
	if net.IP(address.GetAddress()).String() != "2001:db8::1" || address.GetKind() != ingestv1.Kind_KIND_NA || address.GetIaid() != 0x102 || address.GetValid() != 7200 || address.GetPreferred() != 3600 {
		t.Errorf("address: %v", address)
	}
	if net.IP(prefix.GetAddress()).String() != "2001:db8:8000::" || prefix.GetPrefixLength() != 56 || prefix.GetKind() != ingestv1.Kind_KIND_PD || prefix.GetIaid() != 0xff000003 {
		t.Errorf("prefix: %v", prefix)
	}
	if got := hex.EncodeToString(prefix.GetDuid()); got != "00030001020000000001" {
		t.Errorf("DUID %s", got)
	}
	levels := prefix.GetRelays()
	if len(levels) != 2 || levels[0].GetHopCount() != 1 || net.IP(levels[0].GetLinkAddress()).String() != "2001:db8::ff" || net.IP(levels[1].GetPeerAddress()).String() != "fe80::1" {
		t.Fatalf("relays: %v", levels)
	}
	if got := hex.EncodeToString(levels[0].GetOptions()); got != "0025000700007ed96f6c74" {
		t.Errorf("options of the relay nearest the server: %s", got)
	}
	if got := hex.EncodeToString(levels[1].GetOptions()); got != "0012000465746837" {
		t.Errorf("options of the relay nearest the client: %s", got)
	}
}

func TestChangesOfOtherMessages(t *testing.T) {
	reply := message(t, dhcpv6.MessageTypeReply, 0)
	for _, tc := range []struct {
		name      string
		req, resp dhcpv6.DHCPv6
		want      int
		reason    ingestv1.Reason
	}{
		{"release", relayed(t, message(t, dhcpv6.MessageTypeRelease, 0)), reply, 2, ingestv1.Reason_REASON_RELEASED},
		{"decline", message(t, dhcpv6.MessageTypeDecline, 0), reply, 2, ingestv1.Reason_REASON_DECLINED},
		{"lifetimes of 0", message(t, dhcpv6.MessageTypeRenew, 0), reply, 2, ingestv1.Reason_REASON_DELETED},
		{"advertise", message(t, dhcpv6.MessageTypeSolicit, 0), message(t, dhcpv6.MessageTypeAdvertise, time.Hour), 0, 0},
		{"no reply", message(t, dhcpv6.MessageTypeRequest, 0), nil, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			changes, err := changesOf(tc.req, tc.resp)
			if err != nil || len(changes) != tc.want {
				t.Fatalf("%d changes, %v; want %d", len(changes), err, tc.want)
			}
			for _, c := range changes {
				if c.GetEnd() == nil || c.GetEnd().GetReason() != tc.reason {
					t.Errorf("%v, want an end for %v", c, tc.reason)
				}
			}
		})
	}
}

func TestArguments(t *testing.T) {
	c, err := parseArguments([]string{"source=a", "cluster=x:1,y:2", "insecure", "wait=2s"})
	if err != nil || c.Source != "a" || len(c.Cluster) != 2 || c.Wait != 2*time.Second || len(c.DialOptions) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range [][]string{{"source=a"}, {"insecure", "sauce=a"}, {"insecure", "wait=soon"}, {"ca=/nowhere/ca.pem"},
		{"insecure", "ca=x"}, {"insecure", "key=x"}, {"certificate=x", "key=x"}} {
		if _, err := parseArguments(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
