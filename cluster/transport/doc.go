// Package transport carries Raft between the nodes of one cluster: hashicorp/raft's network transport over a stream layer of
// our own.
//
// It differs from the stock transport in three ways. Heartbeats take no fast path: they queue behind the other messages of
// Raft's main loop, because handling them beside it lets a deposed leader stamp an entry with the new term, so that two nodes
// keep different entries at one index (hashicorp/raft#695, open in v1.8.0). Every connection begins with a preamble that names
// the cluster and the server it is meant for, read under a deadline. So neither garbage nor a node of another cluster reaches
// Raft, whose own reader has no deadline; and a node that came back with an empty disk, under a new id at the old address,
// is never taken for the server it was, whose log and votes it has forgotten. Connections are bounded in number and notice a vanished host within seconds.
package transport
