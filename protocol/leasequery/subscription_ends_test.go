package leasequery_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// lasting sets lifetimes.
func lasting(preferred, valid uint32) func(*binding.Binding) {
	return func(b *binding.Binding) { b.Preferred, b.Valid = preferred, valid }
}

// byRelay subscribes to what came through a relay.
func byRelay(id string) []byte {
	return active(lq(byRelayID, "::", opt(optRelayID, []byte(id)), everything))
}

// twoBindings is a client of an address and a prefix behind relay A, a thousand milliseconds ago.
func twoBindings(t *testing.T) *play {
	p := playing(t)
	return p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayA)), p.leased(binding.PD, "2001:db8:1:a00::/56", "client-a", behind(relayA)))
}

// Rule 21: a binding that ends is told of at 0/0, within the whole client, whatever ended it.
func TestSubscriptionTellsOfEnds(t *testing.T) {
	for _, reason := range []binding.State{binding.Released, binding.Declined, binding.Expired, binding.Deleted} {
		t.Run(reason.String(), func(t *testing.T) {
			p := twoBindings(t).subscribe(leasequery.Config{}, nil, active(everything)).expect(subReply(0))
			p.at(1000, p.gone(reason, binding.NA, "2001:db8:1::a", "client-a"))
			p.expect(subData(1000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:1:a00::/56", 3599, 7199)), throughA)))
			p.at(1000, p.gone(reason, binding.PD, "2001:db8:1:a00::/56", "client-a"))
			p.expect(subData(2000, clientData("client-a", 0, iaPrefix("2001:db8:1:a00::/56", 0, 0), throughA)))
		})
	}
	t.Run("both in one tick", func(t *testing.T) {
		p := twoBindings(t).subscribe(leasequery.Config{}, nil, active(everything)).expect(subReply(0)).pass(7_200_000)
		zeros := cat(iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:1:a00::/56", 0, 0))
		p.expectOnce(7_200_000, "client-a", zeros, throughA)
	})
}

// expectOnce is expect for one DATA about one client, whatever its CLT_TIME.
func (p *play) expectOnce(ms int, duid string, bindings []byte, rest ...[]byte) {
	p.Helper()
	out, more, err := p.sub.Next(nil)
	if err != nil || !more {
		p.Fatalf("Next: %v, %v", more, err)
	}
	want := subData(ms, clientData(duid, 0, bindings, rest...))
	at := strings.Index(string(want), string(opt(optCLT, u32(0))))
	if len(out) == len(want) && at > 0 {
		copy(out[at+4:at+8], want[at+4:at+8])
	}
	compare(p.T, [][]byte{out}, [][]byte{want})
	p.expect()
}

// Rule 21: whoever asked by the old relay is told of the end with the old chain, and of nothing of the new one; whoever asked by
// the new relay of the lease.
func TestSubscriptionTellsOfMoves(t *testing.T) {
	zeros := cat(iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:1:a00::/56", 0, 0))
	move := func(p *play) *play {
		return p.at(1000, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayB)), p.leased(binding.PD, "2001:db8:1:a00::/56", "client-a", behind(relayB)))
	}
	here := cat(iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:1:a00::/56", 3600, 7200))
	t.Run("by the old relay", func(t *testing.T) {
		move(twoBindings(t).subscribe(leasequery.Config{}, nil, byRelay("relay-a")).expect(subReply(0))).expectOnce(1000, "client-a", zeros, throughA)
	})
	t.Run("by the new relay", func(t *testing.T) {
		move(twoBindings(t).subscribe(leasequery.Config{}, nil, byRelay("relay-b")).expect(subReply(0))).
			expect(subData(1000, clientData("client-a", 0, here, throughB)))
	})
	t.Run("restricted to the old relay", func(t *testing.T) {
		r := &leasequery.Requestor{Restricted: &leasequery.Restriction{RelayIDs: [][]byte{[]byte("relay-a")}}}
		move(twoBindings(t).subscribe(leasequery.Config{}, r, active(everything)).expect(subReply(0))).expectOnce(1000, "client-a", zeros, throughA)
	})
	t.Run("one of two leaves: the requestor by the old relay keeps the client whole", func(t *testing.T) {
		p := twoBindings(t).subscribe(leasequery.Config{}, nil, byRelay("relay-a")).expect(subReply(0))
		p.at(1000, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayB), func(b *binding.Binding) { b.LinkName = []byte("one") }))
		p.expect(subData(1000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:1:a00::/56", 3599, 7199)), throughA)))
	})
}

// Rule 21: of a reassigned address the old owner's end comes before the new owner's lease.
func TestSubscriptionTellsOfReassignments(t *testing.T) {
	p := twoBindings(t).subscribe(leasequery.Config{}, nil, active(everything)).expect(subReply(0))
	p.at(1000, p.leased(binding.NA, "2001:db8:1::a", "client-b", behind(relayB), func(b *binding.Binding) { b.LinkName = []byte("one") }))
	p.sub.Pause()
	p.expect(
		subData(1000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:1:a00::/56", 3599, 7199)), throughA)),
		subData(1000, clientData("client-b", 0, iaAddr("2001:db8:1::a", 3600, 7200), throughB)))
}

// Rule 17: a change that a restricted requestor may not see tells it nothing.
func TestSubscriptionOfARestrictedRequestorIsQuietAboutOthers(t *testing.T) {
	r := &leasequery.Requestor{Restricted: &leasequery.Restriction{RelayIDs: [][]byte{[]byte("relay-a")}}}
	p := twoBindings(t).subscribe(leasequery.Config{}, r, active(everything)).expect(subReply(0))
	on := func(b *binding.Binding) { b.LinkName = []byte("one") }
	p.at(1000, p.leased(binding.NA, "2001:db8:1::b", "client-a", behind(relayB), on), p.leased(binding.NA, "2001:db8:1::c", "client-c", behind(relayB), on))
	p.expect()
	p.at(0, p.gone(binding.Released, binding.NA, "2001:db8:1::b", "client-a")).expect()
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayA), lasting(10, 20)))
	p.expect(subData(1000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 10, 20), iaPrefix("2001:db8:1:a00::/56", 3599, 7199)), throughA)))
}

// RFC 7653 9.3: options that bulk leasequery shows can be hidden from subscriptions, for all or for a requestor.
func TestSubscriptionHidesOptions(t *testing.T) {
	fqdn, other := opt(optFQDN, []byte("\x00\x01v\x00")), opt(65002, []byte("x"))
	hides := func(codes ...dhcpv6.OptionCode) []dhcpv6.OptionCode { return codes }
	for name, tc := range map[string]struct {
		config leasequery.Config
		r      *leasequery.Requestor
		want   []byte
	}{
		"nothing hidden":                     {leasequery.Config{}, nil, cat(fqdn, other, throughA)},
		"by the engine":                      {leasequery.Config{ActiveSensitive: hides(optFQDN)}, nil, cat(other, throughA)},
		"by the stanza":                      {leasequery.Config{}, &leasequery.Requestor{ActiveSensitive: hides(65002)}, cat(fqdn, throughA)},
		"in general, by engine and stanza":   {leasequery.Config{Sensitive: hides(optFQDN)}, &leasequery.Requestor{Sensitive: hides(65002)}, throughA},
		"relay data whole":                   {leasequery.Config{ActiveSensitive: hides(optRelayData)}, nil, cat(fqdn, other)},
		"relay data whole, though it is due": {leasequery.Config{RelayData: leasequery.RelayDataAlways}, &leasequery.Requestor{ActiveSensitive: hides(optRelayData)}, cat(fqdn, other)},
		"an option of the relay": {leasequery.Config{ActiveSensitive: hides(optRemoteID)}, nil, cat(fqdn, other,
			opt(optRelayData, ip("2001:db8:ffff::1"), relayForw(0, "2001:db8:ffff::1", "fe80::c", opt(optRelayID, []byte("relay-a")))))},
	} {
		t.Run(name, func(t *testing.T) {
			p := playing(t).subscribe(tc.config, tc.r, active(oro(optFQDN, 65002, optRelayData))).expect(subReply(0))
			p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayA), func(b *binding.Binding) { b.Options = cat(fqdn, other) }))
			p.expect(subData(0, clientData("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200), tc.want)))
			request := parsed(t, clientQuery("::", "client-a", oro(optFQDN)), tc.r)
			request.Over = leasequery.TCP
			a, err := leasequery.New(tc.config, p.node).Begin(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if out, _, _ := a.Next(nil); strings.Contains(string(out), string(fqdn)) == (len(tc.config.Sensitive) > 0) {
				t.Errorf("bulk leasequery hides it as well: %x", out)
			}
		})
	}
}

// Rule 1: a client too large for a message is continued in the next, behind a pause in the newest state, each binding once.
func TestSubscriptionContinuesLargeClients(t *testing.T) {
	const addresses = 3000
	for _, change := range []bool{false, true} {
		t.Run(fmt.Sprintf("changed midway %v", change), func(t *testing.T) {
			p := playing(t).subscribe(leasequery.Config{}, nil, active()).expect(subReply(0))
			var all []binding.Change
			first := netip.MustParseAddr("2001:db8:1::1:0")
			for a := first; len(all) < addresses; a = a.Next() {
				all = append(all, p.leased(binding.NA, a.String(), "large"))
			}
			p.at(0, all...)
			told := map[string]int{}
			for n := 0; ; n++ {
				out, _, err := p.sub.Next(nil)
				if err != nil || p.sub.Waiting() {
					break
				} else if len(out) == 0 { // it looked through a page of changes
					n--
				}
				for at := strings.Index(string(out), string(opt(optIAAddr, make([]byte, 24)))[:4]); at >= 0 && at+28 <= len(out) && out[at+1] == optIAAddr; at += 28 {
					told[string(out[at+4:at+20])]++
				}
				p.sub.Pause()
				if n == 0 && change {
					p.at(0, p.leased(binding.NA, "2001:db8:1::2", "large"))
				}
			}
			want, twice := addresses, 0
			if change {
				want++
			}
			for _, n := range told {
				if n > 1 {
					twice++
				}
			}
			if len(told) != want || (twice > 0) != change {
				t.Errorf("%d addresses, want %d; %d told twice", len(told), want, twice)
			}
		})
	}
}
