// Package link keeps the replicated link table: which links there are, which prefixes and relay addresses each has, and on which
// of them a binding belongs.
//
// The law is RFC 8415 13.1 for how a relayed client's link is found, RFC 5007 4.1.2.1 and RFC 5460 5.4 for what a query's
// link-address means. A link is a set of prefixes: the set is its identity. Sources define links; where none is defined one is
// made up, and a defined link always beats one made up. Everything is deterministic: the same calls in the same order give the
// same numbers, and the same definitions in any order give the same homes.
package link
