// Package clustertest runs clusters of real nodes in one process for tests: Raft over loopback TCP, logs and snapshots in
// real directories, real gossip. Only the calls between nodes that go over gRPC elsewhere are made directly, unless a test
// brings its own. Every message can be dropped or held up, by direction and kind.
package clustertest
