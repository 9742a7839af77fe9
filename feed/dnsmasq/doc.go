// Package dnsmasq feeds the DHCPv6 leases of dnsmasq 2.90: its lease file, and what it tells its dhcp-script.
//
// The lease file is the truth about what is leased. dnsmasq rewrites it in place on each change: it cuts it to nothing and writes it
// anew. So it is read whole, and believed only when it ends with a line's end, has the server's DUID, and has not changed for a
// moment: one without the DUID, an empty one above all, is not all that dnsmasq has to write (a full disk). What changed follows
// from comparing it with what was believed before:
//
//	1795000000 02:00:5e:00:53:01 192.0.2.9 host *        passed over: IPv4
//	duid 00:01:00:01:32:96:c2:4e:56:f1:b7:87:de:be       the server's
//	1795433012 1 2001:db8:1000::145a * 00:01:00:01:…     expiry (0: never), IAID (T before it: IA_TA), address, name or *, DUID
//
// Events bring what the file has not: the link-address of the client's relay, which dnsmasq tells only with `add` and which is
// remembered as long as the client keeps the address; and they bring it sooner. They come from SendEvent, which dnsmasq's
// dhcp-script runs (deploy/examples/dnsmasq), over a unix socket. An event is answered when it is remembered, so the script can try
// again while the agent is away. With Config.State what is remembered survives the agent.
//
// dnsmasq does not say when a client was last heard, nor for how long a lease was given. Both are derived:
//
//   - the lease was granted when the file was written in which its expiry is new (its modification time), or a moment before;
//   - an event tells how long the lease goes on (DNSMASQ_TIME_REMAINING): as long as it was granted for, or a moment less;
//   - a renewed lease is mostly as long as it was before: if that is up to two seconds longer, it is taken to be so. For what was
//     renewed while the agent was away it is taken to be so in any case;
//   - of these lengths the longest counts, and the last transaction was that long before the expiry;
//   - for a lease that was there already when the agent first read the file, and that State does not remember, the transaction is
//     taken to be the file's modification time, which is the latest that it can have been.
//
// The time of expiry is exact in every case. The preferred lifetime is the valid one, as dnsmasq grants them; for a range that is
// deprecated this is too long. dnsmasq delegates no prefixes.
//
// A line that cannot be read is reported as a *LineError, counted, and costs only itself: the lease that it may have been of is left
// as it was known.
package dnsmasq
