// Package cluster is a node of a Leasehold cluster: one Raft server (hashicorp/raft) whose state machine holds the bindings,
// with everything that Raft leaves to its user - identity, founding, admission, reads that are provably fresh, the cluster's
// clock and the proposals that only a leader makes.
//
// The laws it keeps. A server id never outlives its log: an empty data directory makes a new id, and a directory whose log is
// gone but whose id is known starts nothing. Only the leader changes the membership, and never because gossip said so. A
// proposal is either certainly not in the log (ErrNotLeader, ErrBusy) or its outcome is unknown (ErrUnknown); nothing is
// retried here. A read begins with a majority of the voters confirming the leader's term after the commit index was taken.
// Any error of the log's disk ends the node. DESIGN.md says why.
package cluster
