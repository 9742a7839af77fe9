// Package leasetest holds what tests of the adapters of DHCP servers need: a DHCPv6 client that speaks through relays of its own
// making, a feed.Sink that keeps what a cluster would have, and simple readers of the servers' lease files.
package leasetest
