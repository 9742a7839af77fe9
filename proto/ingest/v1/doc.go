// Package ingestv1 is the contract between a feeder, beside a DHCPv6 server, and any node of a cluster, generated from ingest.proto, where it is written
// down.
package ingestv1
