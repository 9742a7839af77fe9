// Package kea reads what ISC Kea's DHCPv6 server keeps: its memfile lease database (kea-leases6.csv and what its lease file
// cleanup, LFC, has set aside) and its configuration file.
//
// The law is what Kea writes, from release 2.2 (schema 4.0, 17 columns, relay data under ISC.relays) to 3.3 (schema 5.0, 18
// columns, ISC.relay-info). A memfile is a journal: each write of a lease is a line, and a later line of an address supersedes
// an earlier one. A lease is in force if the last line of its address has state 0 (default), a valid lifetime above 0, and has
// not run out. Lines that end it are: valid lifetime 0 (removed); state 1 (declined: whoever had the address has it no more, and
// Kea blanks the DUID to 00 or 00:00:00); state 2 (expired, reclaimed); state 3 (released). State 4 (registered, RFC 9686) is an
// address that a client gave itself: not a lease, but whatever lease the address had is over.
//
// The last transaction was at expire - valid_lifetime. A host name becomes OPTION_CLIENT_FQDN (RFC 4704), because the lease holds
// what Kea answered: fqdn_fwd is the S flag that Kea sent, and fqdn_rev is set unless it sent N, so S = fqdn_fwd and N = neither
// of the two. Whether Kea overrode the client (O) is not recorded. A name without final dot is partial and gets no final empty
// label. The hwaddr column is not trusted: with Kea's default sources it may hold octets of a remote-id, so it never becomes
// OPTION_CLIENT_LINKLAYER_ADDR.
//
// A Server is the live source: it joins what Kea's HA hook pushes, the lease file followed and pages of Kea's command API, each of
// which lacks something. A push is there within a millisecond and tells neither expiries nor what operators do, and is lost while
// nobody listens; the file tells everything in Kea's order, and is there only with memfile and on the same machine; pages tell what
// is, from any machine and database, and not what happened. Type recent decides which news of an address is the newest.
//
// A line that cannot be read is reported as a *LineError, counted, and costs only itself.
package kea
