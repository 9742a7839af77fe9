package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/membership"
)

// configuration is the newest membership that this node knows of, committed or not, and its log index.
func (n *Node) configuration() ([]raft.Server, uint64, error) {
	r := n.raft.Load()
	if r == nil {
		return nil, 0, ErrNotRunning
	}
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, 0, fmt.Errorf("read membership: %w", err)
	}
	return f.Configuration().Servers, f.Index(), nil
}

// voters are the servers that have a vote.
func (n *Node) voters() ([]raft.Server, error) {
	servers, _, err := n.configuration()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(servers), func(s raft.Server) bool { return s.Suffrage != raft.Voter }), nil
}

func find(servers []raft.Server, id string) (raft.Server, bool) {
	i := slices.IndexFunc(servers, func(s raft.Server) bool { return string(s.ID) == id })
	if i < 0 {
		return raft.Server{}, false
	}
	return servers[i], true
}

func (n *Node) server(id string) (raft.Server, bool) {
	servers, _, err := n.configuration()
	if err != nil {
		return raft.Server{}, false
	}
	return find(servers, id)
}

// peers is every other node that discovery knows, by id.
func (n *Node) peers() map[string]membership.Peer {
	out := map[string]membership.Peer{}
	if n.deps.Discovery != nil {
		for _, p := range n.deps.Discovery.Peers() {
			out[p.ID] = p
		}
	}
	return out
}

// grpcAddress is where the member with the id is asked.
func (n *Node) grpcAddress(id string) (string, error) {
	if id == n.ID() {
		return n.cfg.GRPCAddress, nil
	}
	if s, ok := n.server(id); ok && n.deps.Peers != nil {
		return placeOf(s.Address).grpc, nil
	}
	return "", fmt.Errorf("%w: %s", ErrNoMember, id)
}

func errOtherNode(addr, got, want string) error {
	return fmt.Errorf("node at %s is %s, not %s", addr, got, want)
}

// sameCluster refuses a peer that knows that it is of another cluster.
func (n *Node) sameCluster(id string) error {
	if own := n.ClusterID(); id != "" && own != "" && id != own {
		return fmt.Errorf("%w: peer is of cluster %s, this node of %s", ErrWrongCluster, id, own)
	}
	return nil
}

// Members is the replicated membership as this node knows it, sorted by name, then id.
func (n *Node) Members() []Member {
	servers, _, err := n.configuration()
	if err != nil {
		return nil
	}
	_, leader := n.raft.Load().LeaderWithID()
	peers := n.peers()
	out := make([]Member, len(servers))
	for i, s := range servers {
		out[i] = n.member(s, leader, peers)
	}
	sortMembers(out)
	return out
}

func sortMembers(members []Member) {
	slices.SortFunc(members, func(a, b Member) int {
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	})
}

func (n *Node) member(s raft.Server, leader raft.ServerID, peers map[string]membership.Peer) Member {
	p := placeOf(s.Address)
	m := Member{
		ID: string(s.ID), Name: p.name, RaftAddress: p.raft, GRPCAddress: p.grpc,
		Voter: s.Suffrage == raft.Voter, Leader: s.ID == leader, Gossip: membership.Unknown,
	}
	if m.ID == n.ID() {
		m.Gossip = membership.Alive
	} else if p, ok := peers[m.ID]; ok {
		m.Gossip = p.State
	}
	return m
}

// lookup finds a member by id or name.
func (n *Node) lookup(idOrName string) (Member, error) { return lookup(n.Members(), idOrName) }

func lookup(members []Member, idOrName string) (Member, error) {
	var named []Member
	for _, m := range members {
		switch {
		case m.ID == idOrName:
			return m, nil
		case m.Name == idOrName && m.Name != "":
			named = append(named, m)
		}
	}
	switch len(named) {
	case 0:
		return Member{}, fmt.Errorf("%w: %q", ErrNoMember, idOrName)
	case 1:
		return named[0], nil
	}
	return Member{}, fmt.Errorf("%w: %d members are named %q: say which by id, such as %s", ErrInvalid, len(named), idOrName, named[0].ID)
}

// Leader is the leader that this node knows; false when there is none.
func (n *Node) Leader() (Member, bool) {
	r := n.raft.Load()
	if r == nil {
		return Member{}, false
	}
	addr, id := r.LeaderWithID()
	if id == "" {
		return Member{}, false
	}
	return n.member(raft.Server{ID: id, Address: addr, Suffrage: raft.Voter}, id, n.peers()), true
}

// IsLeader tells whether this node leads and takes proposals.
func (n *Node) IsLeader() bool { return n.accepting() == nil }

// Term is the node's Raft term; 0 before Raft has started.
func (n *Node) Term() uint64 {
	if r := n.raft.Load(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

// ServeTerm is what the node answers when it is asked for its term. Errors: ErrNotRunning, ErrWrongCluster.
func (n *Node) ServeTerm(clusterID string) (TermReport, error) {
	if err := n.sameCluster(clusterID); err != nil {
		return TermReport{}, err
	}
	r := n.raft.Load()
	if r == nil {
		return TermReport{}, ErrNotRunning
	}
	return TermReport{NodeID: n.ID(), Term: r.CurrentTerm(), Wall: n.deps.Wall()}, nil
}

// State is leader, follower, candidate, non-voter, removed or starting.
func (n *Node) State() string {
	r := n.raft.Load()
	if r == nil {
		return "starting"
	}
	s, member := n.server(n.ID())
	switch state := r.State(); {
	case state == raft.Shutdown:
		return "stopped"
	case n.removed.Load() || (!member && n.ClusterID() != ""):
		return "removed"
	case !member:
		return "starting"
	case s.Suffrage != raft.Voter:
		return "non-voter"
	default:
		return strings.ToLower(state.String())
	}
}

// Remove takes a member, by id or name, out of the cluster; this node must be the leader. The node may come back only with
// an empty data directory. Errors: ErrNotLeader, ErrNoMember, ErrLastVoter, ErrQuorum, ErrUnknown.
func (n *Node) Remove(ctx context.Context, idOrName string) error {
	n.admission.Lock()
	defer n.admission.Unlock()
	if err := n.accepting(); err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	m, err := n.lookup(idOrName)
	if err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	if err := n.remove(ctx, m.ID); err != nil {
		return err
	}
	n.log.Info("removed member", "id", m.ID, "name", m.Name)
	return nil
}

func (n *Node) remove(ctx context.Context, id string) error {
	servers, index, err := n.configuration()
	if err != nil {
		return err
	}
	if err := n.canDoWithout(ctx, id, servers); err != nil {
		return fmt.Errorf("remove member %s: %w", id, err)
	}
	if err := await(ctx, n.raft.Load().RemoveServer(raft.ServerID(id), index, n.cfg.RaftStallTimeout)); err != nil {
		return changeError("remove member "+id, err)
	}
	return nil
}
