package udp

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// onLink is All_DHCP_Relay_Agents_and_Servers on an interface of a host, by its index, which only the host can find.
func onLink(t *testing.T, h *netlab.Host, name string) string {
	t.Helper()
	group := allRelaysAndServers
	if err := h.Do(func() error {
		i, err := net.InterfaceByName(name)
		if err == nil {
			group = group.WithZone(strconv.Itoa(i.Index))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(group, 547).String()
}

// RFC 5007 4.3.2: a query to a group is answered once, also by a server that answers on several interfaces.
func TestMulticastIsAnsweredOnceOnSeveralInterfaces(t *testing.T) {
	lab := netlab.New(t)
	server, relay := lab.Host("server"), lab.Host("relay")
	relay.Run("ip", "link", "add", "second", "type", "veth", "peer", "name", "other")
	relay.Run("ip", "link", "set", "other", "netns", server.Namespace())
	relay.Run("ip", "link", "set", "second", "up")
	server.Run("ip", "link", "set", "other", "up")
	add(relay, "2001:db8:66::2/64", "second")
	add(server, "2001:db8:66::1/64", "other")
	s := serveAt(t, server, house(t), Config{Leader: func() bool { return true }}, netlab.Interface, "other")
	for n, x := range []struct{ from, group, route string }{
		{relay.AddrPort(0), "[ff05::1:3]:547", netlab.Interface},
		{relay.AddrPort(0), onLink(t, relay, netlab.Interface), ""},
		{"[2001:db8:66::2]:0", "[ff05::1:3]:547", "second"},
		{"[2001:db8:66::2]:0", onLink(t, relay, "second"), ""},
	} {
		if x.route != "" {
			relay.Run("ip", "-6", "route", "flush", "table", "local", "exact", "ff05::/16")
			relay.Run("ip", "-6", "route", "add", "multicast", "ff05::/16", "dev", x.route, "table", "local")
		}
		w := wireOn(t, relay, x.from, x.group)
		query, want := ask(n, byAddress("::", "2001:db8:1::c")), answer(n, clientBOn1)
		w.send(query)
		if got, _ := w.next(); string(got) != string(want) {
			t.Errorf("%s from %s: %x, want %x", x.group, x.from, got, want)
		}
		w.to = netip.MustParseAddrPort(server.AddrPort(547))
		w.silent()
	}
	if got := s.metric(MetricReceived, ""); got != 8 {
		t.Errorf("%v datagrams came in, want 8: each once", got)
	}
}

// Who answers multicast answers for the rest at the one address that it listens on: the port of others is left alone.
func TestMulticastTakesNoOtherAddress(t *testing.T) {
	lab := netlab.New(t)
	server, relay := lab.Host("server"), lab.Host("relay")
	add(server, "2001:db8:547::99/64", netlab.Interface)
	at := netip.MustParseAddrPort("[2001:db8:547::99]:547")
	var conns []*net.UDPConn
	err := server.Do(func() (err error) {
		conns, err = Listen(context.Background(), at, 1, []string{netlab.Interface})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, conns, house(t), Config{Leader: func() bool { return true }, Source: at.Addr()}, leasequery.Config{}, anybody())
	dhcp, err := server.ListenPacket("udp6", server.AddrPort(547))
	if err != nil {
		t.Fatalf("a DHCP server at another address of the machine: %v", err)
	}
	if err := dhcp.Close(); err != nil {
		t.Fatal(err)
	}
	w := wireOn(t, relay, relay.AddrPort(0), server.AddrPort(547))
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)
	w.send(query)
	w.to = at
	w.exchange(ask(2, byAddress("::", "2001:db8:1::c")), answer(2, clientBOn1)) // nothing came of the first
	w.to = netip.MustParseAddrPort(onLink(t, relay, netlab.Interface))
	w.send(query)
	if got, from := w.next(); string(got) != string(want) || from.Addr() != at.Addr() {
		t.Errorf("%x from %v", got, from)
	}
}
