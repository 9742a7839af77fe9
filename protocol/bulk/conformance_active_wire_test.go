package bulk

import (
	"bytes"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// RFC 7653 8.4, over a socket and in real time: what comes while there is nothing to tell has the base time, which moves on, and nothing
// else.
func TestRFC7653IdleMessageOctets(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(func(c *Config) { c.Active.IdleInterval = 50 * time.Millisecond }), leasequery.Config{})
	w := dialWire(t, s.addr)
	w.send(subscribe(7, lq(qLink, "2001:db8:1::1")))
	w.expect(subscribed(7, base(0)), update(7, base(0)), update(7, base(0)))
	m.pass(5000)
	for {
		b := w.next()
		if bytes.Equal(b, update(7, base(5000))) {
			break
		}
		if !bytes.Equal(b, update(7, base(0))) {
			t.Fatalf("an idle message:\n%s", dump(b))
		}
	}
	m.put(t, 1000, leaseB)
	for {
		b := w.next()
		if bytes.Equal(b, update(7, base(6000), client("client-b", 106, iaAddr("2001:db8:1::b", 3494, 7094)))) {
			break
		}
		if !bytes.Equal(b, update(7, base(5000))) {
			t.Fatalf("before a change:\n%s", dump(b))
		}
	}
	w.expect(update(7, base(6000)))
}

// RFC 7653 9.3: what is told by active leasequery can be restricted, for all and for one requestor, whatever the ORO asks for; bulk
// leasequery on the same server is not.
func TestRFC7653ActiveSensitiveOptions(t *testing.T) {
	fqdn, other := opt(optFQDN, []byte{1, 3, 'f', 'o', 'o'}), opt(65002, []byte("z"))
	named := renewed(aNA, 10)
	named.Binding.Options = cat(fqdn, other)
	oro := opt(optORO, u16(optFQDN), u16(65002), u16(optRelayData))
	bindings := cat(iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:8000::/56", 3490, 7090))
	shown := func(relayOptions ...[]byte) []byte {
		return opt(optRelayData, addr("2001:db8:1::1"), relayForw(0, "2001:db8:1::1", "fe80::c", relayOptions...))
	}
	id, relay, remote := opt(optInterfaceID, []byte("ge-0/0/1")), opt(optRelayID, []byte("relay-a")), opt(optRemoteID, u32(9), []byte("port-a"))
	for name, tc := range map[string]struct {
		all, everywhere, own []dhcpv6.OptionCode
		active, bulk         []byte
	}{
		"none":                     {nil, nil, nil, cat(fqdn, other, shown(id, relay, remote)), cat(fqdn, other, shown(id, relay, remote))},
		"for all":                  {[]dhcpv6.OptionCode{optFQDN, optRemoteID}, nil, nil, cat(other, shown(id, relay)), cat(fqdn, other, shown(id, relay, remote))},
		"for this requestor":       {nil, nil, []dhcpv6.OptionCode{65002, optInterfaceID}, cat(fqdn, shown(relay, remote)), cat(fqdn, other, shown(id, relay, remote))},
		"besides those everywhere": {[]dhcpv6.OptionCode{optFQDN}, []dhcpv6.OptionCode{optRemoteID}, []dhcpv6.OptionCode{65002}, shown(id, relay), cat(fqdn, other, shown(id, relay))},
		"relay data as a whole":    {[]dhcpv6.OptionCode{optRelayData}, nil, nil, cat(fqdn, other), cat(fqdn, other, shown(id, relay, remote))},
	} {
		t.Run(name, func(t *testing.T) {
			m := activeHouse(t)
			s := serveState(t, m, inClear(), leasequery.Config{ActiveSensitive: tc.all, Sensitive: tc.everywhere},
				loopback(func(r *leasequery.Requestor) { r.ActiveSensitive = tc.own }))
			w := dialWire(t, s.addr)
			w.send(subscribe(7, oro))
			w.expect(subscribed(7, base(0)))
			m.put(t, 10_000, named)
			w.expect(update(7, base(10_000), client("client-a", 0, bindings, tc.active)))
			s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::1", oro)), answerOK(1, client("client-a", 0, bindings, tc.bulk)), done(1))
		})
	}
}
