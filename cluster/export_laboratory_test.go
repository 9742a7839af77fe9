package cluster

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm"
)

// QueueUnchecked hands an entry to Raft's queue as Propose does once it has found that the node leads, without asking again:
// what happens when the proposer's thread is held up just there.
func (n *Node) QueueUnchecked(entry []byte) raft.ApplyFuture {
	fsm.Seal(entry, n.Now())
	return n.raft.Load().Apply(entry, 10*time.Second)
}

// LastIndex is the index of the last entry in the node's log, committed or not.
func (n *Node) LastIndex() uint64 { return n.raft.Load().LastIndex() }
