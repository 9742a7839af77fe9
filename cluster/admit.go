package cluster

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/membership"
	"github.com/leasehold/leasehold/cluster/transport"
)

// maxLag is how many log entries a non-voter may be behind and still count as caught up.
const maxLag = 256

// Join admits a node as a non-voter, or corrects the address of one that is a member. If it asked for a vote it gets it when it
// has caught up; a voter that asked for none loses it. A node that comes from the address of another member has taken its place - a wiped disk - and that member is
// removed first. Errors: ErrNotLeader, ErrInvalid, ErrWrongCluster, ErrRemoved, ErrLastVoter, ErrQuorum, ErrTooOld, ErrUnknown.
func (n *Node) Join(ctx context.Context, r JoinRequest) (clusterID string, err error) {
	if err := r.check(); err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	n.admission.Lock()
	defer n.admission.Unlock()
	if err := n.accepting(); err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	if err := n.sameCluster(r.ClusterID); err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	servers, _, err := n.configuration()
	if err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	known, member := find(servers, r.ID)
	if !member && r.ClusterID != "" {
		return "", fmt.Errorf("join: node %s: %w: it may come back with an empty data directory", r.ID, ErrRemoved)
	}
	if err := n.canRead(r); err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	n.learn(r)
	if !member || known.Address != r.place().address() {
		if err := n.place(ctx, r, servers, known, member); err != nil {
			return "", fmt.Errorf("join: %w", err)
		}
	}
	if member && known.Suffrage == raft.Voter && !r.Voter {
		if err := n.demote(ctx, r.ID, servers); err != nil {
			return "", fmt.Errorf("join: %w", err)
		}
	}
	return n.ClusterID(), nil
}

// check tells why a request makes no sense.
func (r *JoinRequest) check() error {
	if !validUUID(r.ID) {
		return fmt.Errorf("%w: node id %q is not a UUID", ErrInvalid, r.ID)
	}
	for _, a := range []string{r.RaftAddress, r.GRPCAddress} {
		if host, port, err := net.SplitHostPort(a); err != nil || strings.Contains(a, transport.AddressEnd) || host == "" || port == "" || port == "0" || len(a) > 255 {
			return fmt.Errorf("%w: address %q, want host:port", ErrInvalid, a)
		}
	}
	if len(r.Name) > 64 {
		return fmt.Errorf("%w: name of %d octets, want at most 64", ErrInvalid, len(r.Name))
	}
	return nil
}

// place is where the node is.
func (r *JoinRequest) place() place {
	return place{raft: r.RaftAddress, grpc: r.GRPCAddress, name: r.Name}
}

// learn remembers what the node wants and where it is reached, whether or not gossip hears it.
func (n *Node) learn(r JoinRequest) {
	n.wishes.Store(r.ID, r.Voter)
	if n.deps.Discovery != nil && r.ID != n.ID() {
		n.deps.Discovery.Learn(membership.Peer{ID: r.ID, Name: r.Name, RaftAddress: r.RaftAddress, GRPCAddress: r.GRPCAddress, Voter: r.Voter})
	}
}

// place puts the node into the replicated membership at its address.
func (n *Node) place(ctx context.Context, r JoinRequest, servers []raft.Server, known raft.Server, member bool) error {
	for _, s := range servers {
		if placeOf(s.Address).raft == r.RaftAddress && string(s.ID) != r.ID {
			if err := n.isGone(ctx, s); err != nil {
				return err
			}
			n.log.Warn("member is replaced by a node of a new id at its address", "removed", s.ID, "id", r.ID, "address", r.RaftAddress)
			if err := n.remove(ctx, string(s.ID)); err != nil {
				return err
			}
		}
	}
	rf, id, addr := n.raft.Load(), raft.ServerID(r.ID), r.place().address()
	var f raft.Future
	if member && known.Suffrage == raft.Voter {
		f = rf.AddVoter(id, addr, 0, n.cfg.RaftStallTimeout) // keeps the vote, changes the address
	} else {
		f = rf.AddNonvoter(id, addr, 0, n.cfg.RaftStallTimeout)
	}
	if err := await(ctx, f); err != nil {
		return changeError("add member "+r.ID, err)
	}
	n.log.Info("placed member", "id", r.ID, "name", r.Name, "address", r.RaftAddress, "known", member)
	return nil
}

// isGone refuses to give a member's address to another while the member answers.
func (n *Node) isGone(ctx context.Context, s raft.Server) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.HeartbeatTimeout)
	defer cancel()
	_, leader := n.raft.Load().LeaderWithID()
	m := n.member(s, leader, n.peers())
	if d, err := n.describe(ctx, m); err == nil && d.RaftAddress == m.RaftAddress {
		return fmt.Errorf("%w: raft address %s is that of member %s (%s), which answers", ErrInvalid, m.RaftAddress, m.Name, m.ID)
	}
	return nil
}

// admit gives non-voters that want it their vote once they have been caught up for a while: a voter that is far behind makes
// the quorum larger and gives nothing for it.
func (n *Node) admit(ctx context.Context) {
	since := map[string]time.Duration{} // instant since when a non-voter has been caught up
	for pause(ctx, n.cfg.AdmitInterval) {
		peers := n.peers()
		var waiting []Member
		for _, m := range n.Members() {
			wish, asked := n.wishes.Load(m.ID)
			if !m.Voter && (asked && wish == true || !asked && peers[m.ID].Voter) {
				waiting = append(waiting, m)
			}
		}
		caughtUp := map[string]time.Duration{}
		for d := range n.describeAll(ctx, waiting) {
			if d.AppliedIndex+maxLag < n.raft.Load().CommitIndex() || d.Fresh < 0 || d.Fresh > n.readyStaleness() {
				continue
			}
			at, ok := since[d.Member.ID]
			if !ok {
				at = n.instant()
			}
			caughtUp[d.Member.ID] = at
			if n.instant()-at >= n.cfg.PromoteAfter {
				n.promote(ctx, d.Member)
			}
		}
		since = caughtUp
	}
}

func (n *Node) promote(ctx context.Context, m Member) {
	n.admission.Lock()
	defer n.admission.Unlock()
	s, ok := n.server(m.ID) // it may have been removed or have moved meanwhile
	if !ok || s.Suffrage == raft.Voter || n.accepting() != nil {
		return
	}
	if err := await(ctx, n.raft.Load().AddVoter(s.ID, s.Address, 0, n.cfg.RaftStallTimeout)); err != nil {
		n.log.Warn("member has no vote yet", "id", m.ID, "name", m.Name, "error", changeError("add voter", err))
		return
	}
	n.log.Info("member has a vote", "id", m.ID, "name", m.Name)
}

// demote takes a member's vote. A leader first hands over: whoever leads then is asked again.
func (n *Node) demote(ctx context.Context, id string, servers []raft.Server) error {
	if err := n.canDoWithout(ctx, id, servers); err != nil {
		return fmt.Errorf("take the vote of %s: %w", id, err)
	}
	if id == n.ID() {
		to, err := n.transfer(ctx, "")
		if err != nil {
			return fmt.Errorf("hand over leadership before giving up the vote: %w", err)
		}
		return fmt.Errorf("%w: handed over to %s before giving up the vote", ErrNotLeader, to.Name)
	}
	if err := await(ctx, n.raft.Load().DemoteVoter(raft.ServerID(id), 0, n.cfg.RaftStallTimeout)); err != nil {
		return changeError("take the vote of "+id, err)
	}
	n.log.Info("member has no vote any more, as it asked", "id", id)
	return nil
}
