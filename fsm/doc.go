// Package fsm is the replicated state machine: it applies the entries of the Raft log to the binding store, and writes and reads
// its snapshots.
//
// The law is that the same log gives the same state, byte for byte, on every node and in every order of restarts. So Apply reads
// no wall clock, no random number, no configuration of the node and no map order: time comes in the entry, stamped by the leader;
// settings that Apply reads are entries themselves. Everything is validated before it is proposed; an entry that cannot be read
// here stops the node, for to skip it would be to diverge.
//
// DESIGN.md says why entries, sessions and snapshots look as they do.
package fsm
