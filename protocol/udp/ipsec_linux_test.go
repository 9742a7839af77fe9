package udp

import (
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// RFC 5007 5: without a raw socket an IPsec policy for UDP holds for long answers too; with one it does not.
func TestIPsecPoliciesHoldWithoutRawSocket(t *testing.T) {
	lab := netlab.New(t)
	server, relay, other := lab.Host("server"), lab.Host("relay"), lab.Host("other")
	if out, err := server.TryRun("ip", "xfrm", "policy", "add", "dst", relay.Addr.String()+"/128", "proto", "udp", "sport", "547", "dir", "out", "action", "block"); err != nil {
		t.Skipf("no IPsec here: %v: %s", err, out)
	}
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	large := manyLeases(t, w, clientA, 0x1000, 300)
	serveRaw(t, server, w, Config{}, false)
	passing := sniff(t, server, netlab.Interface)
	c, free := wireOn(t, relay, "[::]:547", server.AddrPort(547)), wireOn(t, other, "[::]:547", server.AddrPort(547))
	query, want := ask(1, byClientID("::", clientA)), answer(1, client(clientA, 100, large))
	c.send(query)
	passing.packet(func(p []byte) bool { return netip.AddrFrom16([16]byte(p[8:24])) == relay.Addr && p[6] == nextUDP }) // the query
	free.exchange(query, want)
	passing.packet(func(p []byte) bool {
		if netip.AddrFrom16([16]byte(p[24:40])) == relay.Addr && p[6] == nextFragment {
			t.Errorf("a fragment left for %v", relay.Addr)
		}
		return netip.AddrFrom16([16]byte(p[24:40])) == other.Addr && p[6] == nextFragment
	})
}
