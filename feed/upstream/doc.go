// Package upstream is a source for any server that speaks leasequery: another Leasehold cluster, Kea 3.3 with its lease_query hook, Cisco
// CPNR, a Junos server. It asks configured bulk queries (RFC 5460), one at a time, again and again; with active leasequery (RFC 7653) it
// subscribes, and asks them where a subscription begins, where the server says that data is missing, and on a slow schedule.
//
// What an answer says becomes leases like this. It has no IAID: 0 stands for all, and no two identity associations of a client can have
// the same address, so a binding's key is enough. Lifetimes are what remains and times are ages; added up they are what was granted, and
// when. A server tells one transaction time for all that a client has on a link: a binding whose end has not moved keeps the transaction
// that was told with it first. Its clock is known, within a second, where it gives base times; else an age counts from when the message
// came. Relay data is the chain that the server tells of, outermost first; a client is told with one, although its bindings may have come
// through several. The link is the one that was asked about, or the configured one that holds the client's address.
//
// A full statement removes what it did not state only when each of its queries was answered whole. A server that goes away, an answer that
// ends with an error, a query that is refused: each is trouble, which Condition tells, and nothing is removed by it.
//
// A cluster must not be fed from itself, nor two from each other with the same queries: a lease would then be stated by whoever has it from
// the other, and live on after its end. Config.Own lets the first be noticed: a server that answers with the cluster's own DUID is refused.
// The second has no sign on the wire; feed one way, or with queries that have nothing in common.
package upstream
