// Package ladder measures a cluster on this machine, rung by rung: bulk answers, latency, memory, ingest, restart. Every figure
// stands beside a reference that was taken in the same run on the same machine, because machines differ and are noisy: only
// the ratio means something elsewhere.
package ladder
