package udp

import (
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
)

// RFC 5007 4.1.2.5: a list of links has each once, as many as a datagram has room for. A longer one is refused whole: one that lacks
// some would be taken for all.
func TestRFC5007LongestClientLink(t *testing.T) {
	const most = (maxDatagram - 4 - 4 - 10 - 4 - 10 - 4) / 16 // less header, CLIENTID, SERVERID, and the option's own header
	if len(requestorID) != 10 || len(clusterID) != 10 {
		t.Fatalf("ids of %d and %d octets", len(requestorID), len(clusterID))
	}
	w := newWorld()
	var links []byte
	var changes []binding.Change
	for i := range most {
		net := "2001:db8:" + hex4(i+1) + "::"
		chain := binding.AppendChain(nil, netip.Addr{}, []binding.Level{{Link: netip.MustParseAddr(net + "9"), Peer: netip.MustParseAddr("fe80::c")}})
		changes = append(changes, link(hex4(i), []string{net + "/64"}), lease(0, net+"1", clientA, chain))
		links = append(links, addr(net)...)
	}
	w.put(t, changes...)
	x := serve(t, w, Config{}).dial(t)
	x.exchange(ask(1, byClientID("::", clientA)), answer(1, opt(optClientLink, links)))
	w.put(t, link("one more", []string{"2001:db8:ffff::/64"}), lease(0, "2001:db8:ffff::1", clientA, nil))
	x.exchange(ask(2, byClientID("::", clientA)), refusal(2, stUnspecFail, "too large for UDP: use TCP"))
	x.exchange(ask(3, byClientID("2001:db8:ffff::", clientA)), answer(3, client(clientA, 100, leased("2001:db8:ffff::1"))))
}
