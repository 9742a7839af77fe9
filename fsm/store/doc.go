// Package store holds the bindings: every client on every link with its addresses and delegated prefixes, the indexes that a
// leasequery needs, and what is left of bindings that ended, for as long as active leasequery may ask for it.
//
// One goroutine writes, in the order of the log, and the same log gives the same store, byte for byte, on every node: no wall
// clock, no random number and no map order decides anything. Readers take a View, which never changes and is read without a
// lock; a write copies only what a view still needs. The package knows neither raft nor wire formats.
//
// The law is what RFC 5007 3.3 and 4.3, RFC 5460 5.2 and RFC 7653 8 ask a server to find: a client's bindings by address, by
// client DUID, by relay-id, by remote-id and by link, whole, in one order; and what changed since a time. DESIGN.md draws the
// page and says what was rejected.
package store
