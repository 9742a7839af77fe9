// Package binding holds the nouns that every wing of the house shares: a binding (a leased address or a delegated prefix), the
// client it belongs to, the relay chain it came through, the link it is on, the changes that sources report and the rules by
// which conflicting reports are settled.
//
// The law is RFC 8415 (DHCPv6; obsoleted by RFC 9915, which drops IA_TA) for bindings, DUIDs and relay chains, and RFC 5007,
// RFC 5460 and RFC 7653 for what leasequery shows of them. The package has no sockets, clocks or storage and imports no other
// package of the project.
package binding
