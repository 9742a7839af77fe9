// Package link holds the replicated table of links: which prefixes a DHCPv6 link has, which relays serve it, and on which link a
// binding belongs.
//
// A link is a set of prefixes; the set is its identity, so that sources that define the same set share one link. What a source
// calls the link, the names by which its bindings refer to it and the relay addresses on it are facts about the set. A link is
// configured while a source defines it. Where no configured link is known, one of a single prefix is made up.
//
// The law is RFC 8415 13.1 (the link of a relayed client is that of the link-address closest to it), and RFC 5007 4.1.2.2 and
// RFC 5460 5.2.1, which answer by client and link. Home is a function of the configured links and the binding's own facts alone:
// made-up links never decide it, so that the same news in any order puts every binding on a link of the same identity.
//
// One goroutine writes, in the order of the log. Links, an immutable snapshot, may be read from any goroutine.
package link
