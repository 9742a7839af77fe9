package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/membership"
)

// belong keeps the node in a cluster: it founds one with others, joins the one that is there, and has the leader correct what
// the membership says of it. A node that was removed stays out.
func (n *Node) belong(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { n.watchSuccessors(ctx) })
	defer watching.Wait()
	last := ""
	for {
		what, err := n.belongOnce(ctx)
		if errors.Is(err, ErrRemoved) && !n.removed.Swap(true) {
			n.log.Error("node was removed from its cluster; stop it and empty its data directory so that it joins anew", "data_dir", n.cfg.DataDir, "error", err)
		} else if err != nil && ctx.Err() == nil && err.Error() != last { // the same trouble is told once
			n.log.Warn(what, "error", err)
		}
		last = ""
		if err != nil {
			last = err.Error()
		}
		wait := n.cfg.JoinInterval
		if !n.hasState.Load() {
			wait /= 4 // nothing else can be done before
		}
		if n.removed.Load() || !pause(ctx, wait) {
			return
		}
	}
}

// belongOnce does what is to be done now; what names it for the log.
func (n *Node) belongOnce(ctx context.Context) (what string, err error) {
	servers, _, err := n.configuration()
	if err != nil {
		return "cannot read membership", err
	}
	if len(servers) == 0 {
		return n.becomeMember(ctx)
	}
	if !n.hasState.Swap(true) {
		if err := n.announce(); err != nil {
			return "cannot announce node", err
		}
	}
	me, member := find(servers, n.ID())
	voteIsRight := n.cfg.NonVoter == (me.Suffrage != raft.Voter)
	lonely := n.instant()-time.Duration(max(n.freshAt.Load(), 0)) > n.readyStaleness() // perhaps it was removed
	switch {
	case !member && n.ClusterID() != "":
		return "membership", fmt.Errorf("%w: its log lists it no more", ErrRemoved)
	case member && me.Address == n.ownPlace().address() && voteIsRight && !lonely:
		return "", nil
	}
	return "membership is not as it should be yet", n.askToJoin(ctx, n.Members())
}

// founder is a node that may found the cluster with this one, and a digest of the founders that it sees. That is asked of the
// node itself: gossip may bring it late.
type founder struct {
	membership.Peer
	view string
}

// becomeMember founds or joins a cluster, for a node that is in none.
func (n *Node) becomeMember(ctx context.Context) (what string, err error) {
	peers := n.sortedPeers()
	var founded []Member
	var fresh []founder
	var silent []error
	for _, p := range peers {
		d, err := n.describe(ctx, Member{ID: p.ID, GRPCAddress: p.GRPCAddress})
		switch {
		case err != nil && p.State == membership.Alive:
			silent = append(silent, fmt.Errorf("ask %s (%s): %w", p.Name, p.ID, err))
		case err != nil: // only remembered, or gone
		case d.HasState:
			founded = append(founded, Member{ID: p.ID, Name: p.Name, GRPCAddress: p.GRPCAddress})
		default:
			p.Expect = d.BootstrapExpect
			fresh = append(fresh, founder{p, d.Founders})
		}
	}
	if len(founded) > 0 {
		return "cluster has not admitted the node yet", n.askToJoin(ctx, founded)
	}
	if len(silent) > 0 { // they may have state: founding beside them would make two clusters
		return "cluster is not founded yet", errors.Join(silent...)
	}
	return "cluster is not founded yet", n.foundWith(ctx, fresh)
}

func (n *Node) sortedPeers() []membership.Peer {
	var out []membership.Peer
	for _, p := range n.peers() {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b membership.Peer) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// joinRequest is what this node wants.
func (n *Node) joinRequest() JoinRequest {
	return JoinRequest{
		ID: n.ID(), Name: n.cfg.Name, RaftAddress: n.cfg.RaftAddress, GRPCAddress: n.cfg.GRPCAddress,
		Voter: !n.cfg.NonVoter, ClusterID: n.ClusterID(), MaxLevel: n.sm.MaxLevel(),
	}
}

// askToJoin asks members, one after the other, to have the leader put this node where it belongs.
func (n *Node) askToJoin(ctx context.Context, members []Member) error {
	r := n.joinRequest()
	if n.IsLeader() {
		_, err := n.Join(ctx, r)
		return err
	}
	errs := []error{errors.New("no member could be asked")}
	for _, p := range members {
		if p.ID == n.ID() || n.deps.Peers == nil {
			continue
		}
		call, cancel := context.WithTimeout(ctx, n.cfg.RaftStallTimeout)
		_, err := n.deps.Peers.Join(call, p.GRPCAddress, r)
		cancel()
		if err == nil || errors.Is(err, ErrRemoved) {
			return err
		}
		errs = append(errs, fmt.Errorf("ask %s (%s) to join: %w", p.Name, p.ID, err))
	}
	return errors.Join(errs...)
}

// foundWith founds a cluster when exactly the expected number of nodes is there, none has state, all expect the same number
// and all see the same founders. All of them then begin with the same configuration, so it does not matter who is first.
func (n *Node) foundWith(ctx context.Context, fresh []founder) error {
	want := n.cfg.BootstrapExpect
	if want == 0 || n.cfg.NonVoter {
		return errors.New("node only joins, and no cluster answers yet")
	}
	if n.deps.Discovery != nil && !n.deps.Discovery.Settled() {
		return errors.New("others have not been looked for yet")
	}
	servers := []raft.Server{{ID: raft.ServerID(n.ID()), Address: n.ownPlace().address()}}
	for _, p := range fresh {
		if !p.Voter || p.State != membership.Alive {
			continue
		}
		if p.Expect != want && p.Expect != 0 {
			return fmt.Errorf("%s (%s) expects %d founders, this node %d: make bootstrap_expect equal on all", p.Name, p.ID, p.Expect, want)
		}
		if p.Expect == want {
			servers = append(servers, raft.Server{ID: raft.ServerID(p.ID), Address: place{p.RaftAddress, p.GRPCAddress, p.Name}.address()})
		}
	}
	slices.SortFunc(servers, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
	view := foundersView(servers)
	n.founders.Store(&view)
	if len(servers) != want {
		return fmt.Errorf("%d nodes are there to found the cluster, want exactly %d (bootstrap_expect)", len(servers), want)
	}
	for _, p := range fresh {
		if _, founds := find(servers, p.ID); founds && p.view != view {
			return fmt.Errorf("%s (%s) does not see the same founders yet", p.Name, p.ID)
		}
	}
	if err := await(ctx, n.raft.Load().BootstrapCluster(raft.Configuration{Servers: servers})); err != nil {
		return fmt.Errorf("found cluster: %w", err)
	}
	n.hasState.Store(true)
	n.log.Info("founding cluster", "nodes", want)
	return n.announce()
}

// foundersView is a digest of who founds and where.
func foundersView(servers []raft.Server) string {
	h := fnv.New64a()
	for _, s := range servers {
		fmt.Fprintf(h, "%s %s\n", s.ID, s.Address)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
