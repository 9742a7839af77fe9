// Package leasequery is what DHCPv6 leasequery means, without sockets: which clients a query selects, what is said of each, which
// status an answer has, who may ask what.
//
// The law is RFC 5007 (leasequery), RFC 5460 (bulk leasequery) and RFC 7653 (active leasequery, times). Where they are silent,
// DESIGN.md beside this package says what was chosen and why. An answer is made from one view of the state: it never mixes two
// moments, and making it takes no lock and allocates nothing a message. A subscription is of the newest state that there is.
package leasequery
