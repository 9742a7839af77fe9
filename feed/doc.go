// Package feed is what runs beside a DHCPv6 server: an Agent takes the changes that a Source states and streams them to a
// leasehold cluster by the contract in proto/ingest/v1, as numbered batches, each kept until the cluster has acknowledged it.
//
// The law: every change that a source states is either acknowledged by the cluster (committed by a majority and applied, exactly
// once), or reported and counted as refused. Nothing is dropped in silence, nothing is kept without a bound: when the cluster is
// slow, the source is made to wait.
//
//	Source.Run → Sink (encodes, cuts batches) → window (what is not acknowledged) → session (one stream to one node)
//
// Times travel as ages. The ages in a batch count from the moment the batch was begun; how long ago that was is said anew each
// time the batch is sent, so neither the clock of the DHCP server's machine nor the wait for a new leader changes a lease's time.
//
// Adapters for particular DHCP servers are packages below this one; package synthetic makes leases up.
package feed
