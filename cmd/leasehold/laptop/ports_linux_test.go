package laptop

import (
	"net"
	"net/netip"
	"testing"
)

// TestHeldPortIsListenedOnByItsNodeOnly: a node may listen on its ports, again and again, while nobody else is given one of them.
func TestHeldPortIsListenedOnByItsNodeOnly(t *testing.T) {
	all, err := freePorts(9)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range all {
		p := &all[i]
		for _, a := range []string{p.leasequery, p.raft, p.gossip, p.grpc, p.http} {
			at := netip.MustParseAddrPort(a)
			if seen[a] || !at.Addr().IsLoopback() || at.Port() < firstPort || at.Port() > lastPort {
				t.Errorf("given: %s", a)
			}
			seen[a] = true
			if held, err := hold(at); err == nil {
				t.Errorf("%s can be held twice: %v", a, held.Close())
			}
			for range 2 {
				l, err := net.Listen("tcp", a)
				if err != nil {
					t.Fatal(err)
				}
				u, err := net.ListenPacket("udp", a)
				if err != nil {
					t.Fatal(err)
				}
				if c, err := net.Dial("tcp", a); err != nil || c.Close() != nil || l.Close() != nil || u.Close() != nil {
					t.Fatal(err)
				}
			}
		}
		if err := p.release(); err != nil {
			t.Error(err)
		}
	}
}
