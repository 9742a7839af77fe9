package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// readinessInterval is how often the node looks whether it is still ready: a proof of freshness grows too old without any event.
const readinessInterval = 50 * time.Millisecond

// Reasons is why the node should not be asked by relays; empty when it may. Each begins with a word or two and a colon, by which
// kinds of reason are told apart. A short election is no reason: the node answers while its proof of freshness is young enough.
func (n *Node) Reasons() []string {
	var out []string
	if err := n.divergence(); err != nil {
		out = append(out, "diverged: "+err.Error())
	}
	if n.draining.Load() {
		out = append(out, "draining: the node is stopping")
	}
	r := n.raft.Load()
	if r == nil {
		return append(out, "restoring: the newest snapshot is being read")
	}
	servers, _, err := n.configuration()
	_, member := find(servers, n.ID())
	switch {
	case err != nil || r.State() == raft.Shutdown:
		return append(out, "stopping: raft has ended")
	case n.removed.Load() || (!member && n.ClusterID() != ""):
		out = append(out, "removed: the node is no longer a member of the cluster")
	case !member:
		out = append(out, "joining: the node is not a member of a cluster yet")
	}
	if n.isolated.Load() {
		out = append(out, "isolated: no majority of the voters answers this node")
	}
	age, proven := n.Fresh()
	if proven && age <= n.readyStaleness() {
		return out
	}
	if _, id := r.LeaderWithID(); id == "" && r.State() != raft.Leader {
		out = append(out, "no leader: none is known")
	}
	if !proven {
		return append(out, "replaying: the node has not caught up since it started")
	}
	return append(out, fmt.Sprintf("stale: the newest proof of being up to date is %v old", age.Round(time.Millisecond)))
}

// ReadinessChanged is closed at the next change of Reasons, numbers in them aside: take it, look, then wait. It may be used
// before, during and after Run.
func (n *Node) ReadinessChanged() <-chan struct{} { return n.readiness.wait() }

// watchReadiness tells of every change of Reasons until ctx ends. It is the only place that looks again and again; everybody
// else waits to be told.
func (n *Node) watchReadiness(ctx context.Context) {
	tick := time.NewTicker(readinessInterval)
	defer tick.Stop()
	var last []string // kinds
	for first := true; ; first = false {
		changed := n.changed.wait()
		reasons := n.Reasons()
		if kinds := kindsOf(reasons); first || !slices.Equal(kinds, last) {
			last = kinds
			n.readiness.tell()
			n.logReadiness(reasons)
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			n.readiness.tell()
			return
		}
	}
}

// kindsOf is what the reasons begin with.
func kindsOf(reasons []string) []string {
	out := make([]string, len(reasons))
	for i, r := range reasons {
		out[i], _, _ = strings.Cut(r, ":")
	}
	return out
}

func (n *Node) logReadiness(reasons []string) {
	if len(reasons) == 0 {
		n.log.Info("node is ready")
		return
	}
	n.log.Info("node is not ready", "reasons", strings.Join(reasons, "; "))
}
