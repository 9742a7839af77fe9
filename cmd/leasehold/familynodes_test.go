package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRule03NodesTellTheSame: whichever node is asked, over TCP or UDP, directly or through a relay, the SERVERID is the cluster's one,
// and the clients of a link, and what each has, come in one order, at any node.
func TestRule03NodesTellTheSame(t *testing.T) {
	f := feedSample(t)
	servers, orders := map[string]bool{}, map[string][][]string{}
	for _, n := range f.cluster.Nodes {
		k := &talk{t: t, server: n.LeasequeryTCP}
		u := k.dial("udp")
		nobody := asking(14, 1, familyID, lqFor(2, "::", tv(1, []byte("nobody"))))
		u.say(nobody)
		servers[string(firstOption(u.hear(15), 2))] = true
		u.say(through(nobody, tv(135, codesOf(0))))
		servers[string(firstOption(firstOption(u.hear(13), 9), 2))] = true
		for link, a := range linkAddresses() {
			k.all = nil
			c := k.dial("tcp")
			c.answer(asking(14, 2, familyID, lqFor(4, a.String())))
			orders[link] = append(orders[link], k.order(servers))
		}
	}
	if len(servers) != 1 || servers[""] {
		t.Errorf("SERVERIDs %v, want one", servers)
	}
	clients := 0
	for link, of := range orders {
		clients += len(of[0])
		for n := range of {
			if d := cmp.Diff(of[0], of[n]); d != "" {
				t.Errorf("link %s, first node and node %d (-one +other):\n%s", link, n+1, d)
			}
		}
	}
	if clients < 400 {
		t.Errorf("only %d clients and bindings compared", clients)
	}
}

// order is what an answer told of: DUIDs and bindings, in order, without what time changes. SERVERIDs go to servers.
func (k *talk) order(servers map[string]bool) (seen []string) {
	for _, s := range k.all {
		for _, o := range topOptions(s.octets) {
			switch o.code {
			case 2:
				servers[string(o.value)] = true
			case 45:
				for _, inner := range tlvs(o.value) {
					switch inner.code {
					case 1:
						seen = append(seen, shownOctets(inner.value))
					case 5:
						seen = append(seen, shownAddr(inner.value[:16]))
					case 26:
						seen = append(seen, shownOctets(inner.value[8:25]))
					}
				}
			}
		}
	}
	return seen
}
