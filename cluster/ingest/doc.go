// Package ingest takes the leases of DHCPv6 servers: the service of proto/ingest/v1.
//
// The law: a batch is acknowledged when a majority of voters has it on disk and the state machine has applied it, in order, and
// never before. What was sent twice, to any node, across any change of leader, is applied once: the state machine counts
// batches, not this package. A slow log slows the feeder down; nothing is dropped, and what is in flight is bounded.
package ingest
