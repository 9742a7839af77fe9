package leasequerytest

import (
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Now is cluster time in most tests: 2026-03-01T12:00:00Z, and half a second.
const Now binding.Time = 1772366400500

// NowBase is Now as OPTION_LQ_BASE_TIME: seconds since 2000, rounded down.
const NowBase = 1772366400 - 946684800

// Prefix is the prefix that the text says, or an address as a prefix of 128 bits. It panics if it is neither.
func Prefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p
	}
	return netip.PrefixFrom(netip.MustParseAddr(s), 128)
}

// DefineLink is the news of a link: its name at the source, its prefixes and its relay addresses.
func DefineLink(name string, prefixes []string, relays ...string) binding.Change {
	l := &binding.Link{Label: name, Names: []string{name}}
	for _, p := range prefixes {
		l.Prefixes = append(l.Prefixes, netip.MustParsePrefix(p))
	}
	for _, r := range relays {
		l.Relays = append(l.Relays, netip.MustParseAddr(r))
	}
	return binding.Change{Event: binding.DefineLink, Link: l}
}

// Lease is the news of a binding of 3,600 seconds preferred and 7,200 valid whose client spoke 100 seconds before Now.
func Lease(kind binding.Kind, prefix, duid string, chain binding.Chain, options ...[]byte) binding.Change {
	return binding.Change{Event: binding.Upsert, Binding: binding.Binding{
		Kind: kind, Prefix: Prefix(prefix), DUID: []byte(duid), IAID: 1, Preferred: 3600, Valid: 7200,
		LastTransaction: Now - 100_000, Chain: chain, Options: Cat(options...),
	}}
}

// Leased is an address as Lease makes it, at Now: 100 seconds later.
func Leased(a string) []byte { return IAAddr(a, 3500, 7100) }

// Delegated is a prefix as Lease makes it, at Now.
func Delegated(p string) []byte { return IAPrefix(p, 3500, 7100) }
