package cluster

import (
	"context"
	"time"
)

// reachTimeout bounds how long the voters have to show that this node reaches them.
const reachTimeout = time.Second

// lookAround is called when a proof of freshness has failed, and finds out whether that is so because the node is cut off: it has
// had no proof for two heartbeat timeouts, and no majority of the voters answers it. Such a node answers from what it has until
// its bound, after holding each query in vain; relays are better off elsewhere, and know nothing of it, so it says so to whoever
// moves addresses. An election is not that: then all nodes lack proofs at once, but reach each other, and must stay ready, or
// addresses would move about for nothing. That the node only is not heard looks the same from here, because no answer comes.
func (n *Node) lookAround(ctx context.Context) {
	age, proven := n.Fresh()
	if !proven || age < 2*n.cfg.HeartbeatTimeout || n.raft.Load() == nil {
		return
	}
	voters, err := n.voters()
	if err != nil {
		return // Raft has ended, which is a reason of its own
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	answers, reached := n.askTerms(ctx, voters), 0
	for range voters {
		if a := <-answers; a.err == nil {
			reached++
		}
		if reached > len(voters)/2 {
			break
		}
	}
	n.setIsolated(ctx.Err() != context.Canceled && reached <= len(voters)/2)
}

// setIsolated notes whether the node is cut off.
func (n *Node) setIsolated(is bool) {
	if n.isolated.Swap(is) != is {
		n.changed.tell()
	}
}
