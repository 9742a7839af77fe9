// Package leasequerytest is what the tests of leasequery share.
//
// State is a state: bindings in a slice, looked through from front to back. It is slow and obvious, and has nothing in common with
// the real store but the answers that both must give. DefineLink and Lease are news for the real store.
//
// The functions of octets.go write messages by hand: they have nothing in common with the codec of package dhcpv6 but the octets.
package leasequerytest
