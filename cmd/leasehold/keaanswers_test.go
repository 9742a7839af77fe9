package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// seenLease is a binding as an answer told of it, with when.
type seenLease struct {
	duid             string
	valid, preferred uint32
	last             uint32 // seconds since the client's last transaction
	at               time.Time
}

// fedSample is a cluster that has the leases of the sample file.
type fedSample struct {
	cluster     *laptop.Cluster
	leases      []fileLease
	newest      int64
	before, fed time.Time // the file's newest transaction was made to be between them
}

func feedSample(t *testing.T, set ...string) *fedSample {
	t.Helper()
	f := &fedSample{cluster: startCluster(t, 3, set...)}
	f.leases, f.newest = leasesInForce(t, sampleLeases)
	if len(f.leases) < 400 {
		t.Fatalf("only %d leases in the sample file", len(f.leases))
	}
	f.before = time.Now()
	job := keaJob{files: []string{sampleLeases}, keaConfig: sampleConfig, once: true, shift: true, source: "kea", cluster: f.cluster.GRPC(), quiet: true, out: io.Discard}
	if _, err := job.run(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	f.fed = time.Now()
	return f
}

// linkOf names the link of a subnet: Kea's configuration has two subnets in one shared network.
func linkOf(subnet string) string {
	if subnet == "1003" || subnet == "1004" {
		return "metro-ring"
	}
	return subnet
}

// linkAddresses has an address on each link of the sample.
func linkAddresses() map[string]netip.Addr {
	out := map[string]netip.Addr{"metro-ring": netip.MustParseAddr("2001:db8:1004::1")}
	for subnet, link := range map[string]string{"1": "1000", "2": "1001", "300": "1002", "5": "1005", "6": "1006", "7": "1007", "8": "1008"} {
		out[subnet] = netip.MustParseAddr("2001:db8:" + link + "::1")
	}
	return out
}

// collect asks one server and notes every binding. A client that comes twice on a link, or a binding that comes twice, fails.
func collect(t *testing.T, server string, q requestor.Query, into map[string]seenLease) (clients int) {
	t.Helper()
	seen := map[string]bool{}
	err := requestor.QueryAny(deadline(t, time.Minute), []string{server}, requestor.Config{ClientID: newDUID(), Rounds: 1}, q, func(c *requestor.Client) error {
		clients++
		if q.Type == dhcpv6.QueryByLinkAddress && seen[string(c.DUID)] {
			t.Errorf("%v: client %x came twice", q.LinkAddress, c.DUID)
		}
		seen[string(c.DUID)] = true
		note := func(key string, preferred, valid uint32) {
			if _, twice := into[key]; twice {
				t.Errorf("%s came twice", key)
			}
			into[key] = seenLease{duid: binding.FormatDUID(c.DUID), valid: valid, preferred: preferred, last: c.LastTransaction, at: time.Now()}
		}
		for _, a := range c.Addresses {
			note(a.Address.String(), a.Preferred, a.Valid)
		}
		for _, p := range c.Prefixes {
			note(p.Prefix.String(), p.Preferred, p.Valid)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v: %v", q.Type, err)
	}
	return clients
}

func (l *fileLease) key() string {
	if l.delegated {
		return l.prefix.String()
	}
	return l.prefix.Addr().String()
}

// requireLifetimes compares what remains of a lease with what the file says, within what is not known of the moments.
func (f *fedSample) requireLifetimes(t *testing.T, l *fileLease, s seenLease) {
	t.Helper()
	if s.duid != l.duid {
		t.Errorf("%s: client %s, the file says %s", l.key(), s.duid, l.duid)
	}
	// The file's newest transaction is now; this one was that much earlier.
	earlier := time.Duration(f.newest-l.cltt) * time.Second
	least := s.at.Sub(f.fed) + earlier - 2*time.Second
	most := s.at.Sub(f.before) + earlier + 2*time.Second
	within := func(what string, got, whole uint32) {
		if whole == binding.Infinity {
			if got != binding.Infinity {
				t.Errorf("%s: %s lifetime %d, want infinite", l.key(), what, got)
			}
			return
		}
		lo := max(0, int64(whole)-int64(most/time.Second)-1)
		hi := max(0, int64(whole)-int64(least/time.Second))
		if int64(got) < lo || int64(got) > hi {
			t.Errorf("%s: %s lifetime %d, want %d to %d: %d granted %v before", l.key(), what, got, lo, hi, whole, most)
		}
	}
	within("valid", s.valid, l.valid)
	within("preferred", s.preferred, l.preferred)
}

// TestAnswersEqualTheLeaseFile asks every node for every link: each lease that is in force in the file comes, once, from its
// link, with the right remaining lifetimes, and nothing else does.
func TestAnswersEqualTheLeaseFile(t *testing.T) {
	f := feedSample(t)
	for _, n := range f.cluster.Nodes {
		all := map[string]seenLease{}
		for link, a := range linkAddresses() {
			here := map[string]seenLease{}
			clients := collect(t, n.LeasequeryTCP, requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: a}, here)
			duids := map[string]bool{}
			for i := range f.leases {
				if l := &f.leases[i]; linkOf(l.subnet) == link {
					duids[l.duid] = true
					if _, ok := here[l.key()]; !ok {
						t.Errorf("%s: %s is missing on link %s", n.Name, l.key(), link)
					}
				}
			}
			if clients != len(duids) {
				t.Errorf("%s: link %s has %d messages for %d clients", n.Name, link, clients, len(duids))
			}
			maps.Copy(all, here)
		}
		for i := range f.leases {
			l := &f.leases[i]
			if s, ok := all[l.key()]; ok {
				f.requireLifetimes(t, l, s)
				delete(all, l.key())
			}
		}
		for key := range all {
			t.Errorf("%s tells of %s, which the file does not have in force", n.Name, key)
		}
	}
}

// TestEveryRelayAndClientIsFound asks for each relay-id, remote-id, client and address in the file, at one node or another.
func TestEveryRelayAndClientIsFound(t *testing.T) {
	f := feedSample(t)
	type question struct {
		query requestor.Query
		want  map[string]bool
	}
	questions := map[string]*question{}
	add := func(name string, q requestor.Query, l *fileLease) {
		if questions[name] == nil {
			questions[name] = &question{query: q, want: map[string]bool{}}
		}
		questions[name].want[l.key()] = true
	}
	for i := range f.leases {
		l := &f.leases[i]
		duid, err := binding.ParseHex(l.duid)
		if err != nil {
			t.Fatal(err)
		}
		add("client "+l.duid, requestor.Query{Type: dhcpv6.QueryByClientID, ClientID: duid}, l)
		add("address "+l.key(), requestor.Query{Type: dhcpv6.QueryByAddress, Address: l.prefix.Addr()}, l)
		for _, id := range l.relayIDs {
			b, _ := hex.DecodeString(id) // compared below: a wrong one finds nothing
			add("relay "+id, requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: b}, l)
		}
		for _, id := range l.remoteIDs {
			b, _ := hex.DecodeString(id)
			remote, err := dhcpv6.ParseRemoteID(b)
			if err != nil {
				t.Fatal(err)
			}
			add("remote "+id, requestor.Query{Type: dhcpv6.QueryByRemoteID, RemoteID: remote}, l)
		}
	}
	for i, name := range slices.Sorted(maps.Keys(questions)) {
		q := questions[name]
		got := map[string]seenLease{}
		node := f.cluster.Nodes[i%len(f.cluster.Nodes)]
		collect(t, node.LeasequeryTCP, q.query, got)
		f.expand(q.want)
		keys := map[string]bool{}
		for k := range got {
			keys[k] = true
		}
		if d := cmp.Diff(q.want, keys); d != "" {
			t.Errorf("%s at %s (-file +answer):\n%s", name, node.Name, d)
		}
	}
	t.Logf("%d questions", len(questions))
}

// expand adds what else the clients of some leases have on the same links: an answer tells of clients whole.
func (f *fedSample) expand(want map[string]bool) {
	on := map[string]bool{}
	for i := range f.leases {
		if l := &f.leases[i]; want[l.key()] {
			on[fmt.Sprint(l.duid, linkOf(l.subnet))] = true
		}
	}
	for i := range f.leases {
		if l := &f.leases[i]; on[fmt.Sprint(l.duid, linkOf(l.subnet))] {
			want[l.key()] = true
		}
	}
}
