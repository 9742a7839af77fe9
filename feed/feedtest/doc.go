// Package feedtest gives tests real DHCPv6 servers, clients of them and a cluster that they feed, each on a host of a netlab lab: an
// ISC Kea with any configuration, clients on the link, behind a relay and behind an LDRA and a relay, three nodes and agents as
// processes of the built binary.
//
// It compares what a server says of its leases with what the cluster says, reading both without the code under test: Kea's answer to
// lease6-get-all, and what `leasehold bindings` and `leasehold query` print. Of ISC dhcpd and dnsmasq it runs the recipes in
// deploy/examples, and compares with what simple readers of their lease files have.
//
// It needs what netlab needs, and the programs of the servers; without them tests are skipped.
package feedtest
