package cluster

import (
	"context"
	"fmt"
	"time"
)

// Fresh is the age of the newest proof that the node had everything committed; false when there was none yet, and from a node that
// has taken itself out: see Diverged. It is measured on this node's monotonic clock alone, so it holds whatever any wall clock does.
func (n *Node) Fresh() (time.Duration, bool) {
	at := n.freshAt.Load()
	if at < 0 || n.divergence() != nil {
		return 0, false
	}
	return n.instant() - time.Duration(at), true
}

// freshSince notes that the node had, at the instant, everything committed.
func (n *Node) freshSince(at time.Duration) {
	for {
		old := n.freshAt.Load()
		if old >= int64(at) {
			return
		}
		if n.freshAt.CompareAndSwap(old, int64(at)) {
			return
		}
	}
}

// prove keeps proving that the node is up to date. Until it first is, every change of the leader is worth a try.
func (n *Node) prove(ctx context.Context) {
	for {
		changed := n.changed.wait()
		proof, cancel := context.WithTimeout(ctx, indexTimeout)
		err := n.proveFresh(proof)
		cancel()
		if err == nil {
			n.setIsolated(false)
		} else {
			n.lookAround(ctx)
		}
		if err == nil && len(n.Reasons()) == 0 {
			n.readyOnce.Do(func() { close(n.ready) })
		}
		if _, proven := n.Fresh(); proven {
			changed = nil
		}
		again := time.NewTimer(n.cfg.ProofInterval)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
		again.Stop()
	}
}

// candidacy is a membership that is yet to be confirmed: this node's configuration listed it, and all of its log, the
// configuration's entry included, was at or below the index.
type candidacy struct {
	listed bool
	index  uint64
}

// candidacy looks at the configuration before a read index is asked for.
func (n *Node) candidacy() candidacy {
	if n.ClusterID() != "" {
		return candidacy{}
	}
	_, listed := n.server(n.ID())
	if !listed {
		return candidacy{}
	}
	return candidacy{listed: true, index: n.raft.Load().LastIndex()}
}

// confirmMembership notes the cluster's id once the node is provably a member: the configuration that lists it, then and now,
// is committed, because the leader's read index is not below it. It is an error that the log is of another cluster.
func (n *Node) confirmMembership(c candidacy, ri ReadIndex) error {
	id, known := n.sm.Settings().ClusterID, n.ClusterID()
	switch {
	case id == "" || id == known:
		return nil
	case known != "":
		err := fmt.Errorf("%w: data directory %q belongs to cluster %s, its log to %s", ErrWrongCluster, n.cfg.DataDir, known, id)
		n.fail(err)
		return err
	}
	if _, listed := n.server(n.ID()); !c.listed || !listed || c.index > ri.Index {
		return nil
	}
	if err := n.setIdentity(func(me *Identity) { me.ClusterID = id }); err != nil {
		n.fail(err)
		return err
	}
	n.hasState.Store(true)
	n.log.Info("member of cluster", "cluster", id)
	return n.announce()
}

// readyStaleness is how old the newest proof may be on a node that is ready: MaxStaleness, but not less than an election may
// take, or a cluster that wants every read proven would call all of its nodes unfit at once in each election.
func (n *Node) readyStaleness() time.Duration {
	return max(n.cfg.MaxStaleness, 2*(n.cfg.HeartbeatTimeout+n.cfg.ElectionTimeout)+n.cfg.ProofInterval)
}
