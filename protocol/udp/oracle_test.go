package udp

import (
	"bytes"
	"net"
	"testing"
	"time"

	other "github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// TestOtherDecoderAgrees reads what comes over the socket with another project's decoder, field by field, and writes it again.
func TestOtherDecoderAgrees(t *testing.T) {
	_, standard, _ := relaySockets(t, house(t), Config{})
	direct := ask(0x010203, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optRelayData))))
	refused := ask(0x010203, lq(9, "::"))
	links := ask(0x010203, byClientID("::", clientA))
	for name, query := range map[string][]byte{"client": direct, "status": refused, "links": links} {
		for levels := range 4 {
			forw, _ := nested(query, nil, levels)
			standard.send(forw)
			got, _ := standard.next()
			decoded, err := other.FromBytes(got)
			if err != nil {
				t.Fatalf("%s through %d relays: %v", name, levels, err)
			}
			if again := decoded.ToBytes(); !bytes.Equal(again, got) {
				t.Errorf("%s through %d relays was written again as\n% x, not\n% x", name, levels, again, got)
			}
			inner := decoded
			for n := levels - 1; n >= 0; n-- {
				r, ok := inner.(*other.RelayMessage)
				if !ok || r.MessageType != other.MessageTypeRelayReply || int(r.HopCount) != n ||
					!r.LinkAddr.Equal(net.ParseIP("2001:db8:ffff::"+hex4(n+1))) || !r.PeerAddr.Equal(net.ParseIP("fe80::"+hex4(n+1))) ||
					string(r.Options.InterfaceID()) != "port-"+itoa(n) || r.Options.RemoteID() != nil {
					t.Fatalf("%s, relay %d: %v", name, n, inner.Summary())
				}
				inner = r.Options.RelayMessage()
			}
			m, ok := inner.(*other.Message)
			if !ok || m.MessageType != other.MessageTypeLeaseQueryReply || m.TransactionID != (other.TransactionID{1, 2, 3}) {
				t.Fatalf("%s: %v", name, inner.Summary())
			}
			if !bytes.Equal(m.Options.ClientID().ToBytes(), requestorID) || !bytes.Equal(m.Options.ServerID().ToBytes(), clusterID) {
				t.Errorf("%s: client-id %v, server-id %v", name, m.Options.ClientID(), m.Options.ServerID())
			}
			agree(t, name, m)
		}
	}
}

// agree checks what the other decoder finds in an answer about house.
func agree(t *testing.T, name string, m *other.Message) {
	t.Helper()
	status, data, links := m.Options.Status(), m.GetOneOption(optClientData), m.GetOneOption(optClientLink)
	switch name {
	case "status":
		if status == nil || status.StatusCode != iana.StatusUnknownQueryType || status.StatusMessage != "query type 9 is unknown" || data != nil || links != nil {
			t.Errorf("%s: %v", name, m.Summary())
		}
		return
	case "links":
		if status != nil || data != nil || links == nil || !bytes.Equal(links.ToBytes(), cat(addr("2001:db8:1::"), addr("2001:db8:2::"))) {
			t.Errorf("%s: %v", name, m.Summary())
		}
		return
	}
	if status != nil || data == nil || links != nil {
		t.Fatalf("%s: %v", name, m.Summary())
	}
	var inside other.Options
	if err := inside.FromBytes(data.ToBytes()); err != nil {
		t.Fatal(err)
	}
	a, ok := inside.GetOne(optIAAddr).(*other.OptIAAddress)
	if !ok || !a.IPv6Addr.Equal(net.ParseIP("2001:db8:1::a")) || a.PreferredLifetime != 3500*time.Second || a.ValidLifetime != 7100*time.Second {
		t.Errorf("address %v", a)
	}
	p, ok := inside.GetOne(optIAPrefix).(*other.OptIAPrefix)
	if !ok || p.Prefix.String() != "2001:db8:a00::/56" || p.PreferredLifetime != 3500*time.Second || p.ValidLifetime != 7100*time.Second {
		t.Errorf("prefix %v", p)
	}
	if id := inside.GetOne(optClientID); !bytes.Equal(id.ToBytes(), []byte(clientA)) {
		t.Errorf("client %v", id)
	}
	if clt := inside.GetOne(optCLT); !bytes.Equal(clt.ToBytes(), u32(100)) {
		t.Errorf("CLT_TIME %v", clt)
	}
	chain := inside.GetOne(optRelayData).ToBytes()
	r, err := other.RelayMessageFromBytes(chain[16:])
	if err != nil || r.MessageType != other.MessageTypeRelayForward || !r.LinkAddr.Equal(net.ParseIP(relay1)) || string(r.Options.InterfaceID()) != "ge-0/0/1" ||
		r.Options.RemoteID().EnterpriseNumber != 9 || string(r.Options.RemoteID().RemoteID) != "port-1" {
		t.Errorf("relay data %v, %v", r, err)
	}
}
