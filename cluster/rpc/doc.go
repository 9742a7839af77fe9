// Package rpc is the gRPC between processes: the server that ingest, administration and peers are served on, the connections to
// other nodes, the peer service, and the one mapping between Go errors and gRPC statuses.
//
// The law: a call that one node passes on to another is passed on once; a peer of another cluster is refused; nothing is retried
// here.
package rpc
