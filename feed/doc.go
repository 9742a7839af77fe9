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
// The agent survives what its cluster suffers: a session that ends is resumed at the next node by its numbers; while no node is
// there the source goes on until Config.MaxPending is full, and then waits, for as long as it takes. When the cluster no longer knows
// the numbers, the source begins anew. Nothing here delays a change: a batch leaves when it is full or when the source flushes, which
// a source does when it has nothing more to say for now. At the end of its context an agent still sends what was stated, for a
// moment (Config.Linger). What it knows of itself it tells the cluster (Report), its own process (Status, Reasons) and Prometheus
// (Metrics).
//
// Adapters for particular DHCP servers are packages below this one; package synthetic makes leases up.
package feed
