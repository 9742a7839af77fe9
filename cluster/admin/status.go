package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leasehold/leasehold/cluster"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// describeTimeout is how long a member may take to describe itself before it counts as unreachable; with a state hash, which is
// a walk over everything, longer.
const (
	describeTimeout = 2 * time.Second
	hashTimeout     = time.Minute
)

// Status is the state of every member, each asked at the same time.
func (s *Service) Status(ctx context.Context, r *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	members := s.node.Members()
	out := &adminv1.StatusResponse{ClusterId: s.node.ClusterID(), Term: s.node.Term(), ServerDuid: s.node.ServerDUID(),
		ClockMs: int64(s.node.Now()), HistorySinceMs: s.historySince(), Nodes: make([]*adminv1.NodeStatus, len(members))}
	timeout := describeTimeout
	if r.GetStateHash() {
		timeout = hashTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var asking sync.WaitGroup
	for i, m := range members {
		asking.Go(func() { out.Nodes[i] = s.describe(ctx, m, r.GetStateHash()) })
	}
	asking.Wait()
	for i, m := range members {
		if m.ID == s.node.ID() {
			out.StateHash = out.Nodes[i].GetStateHash()
		}
		if m.Leader {
			out.Leader = cmp.Or(out.Nodes[i].GetName(), m.ID)
		}
	}
	slices.SortStableFunc(out.Nodes, func(a, b *adminv1.NodeStatus) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out, nil
}

// historySince is from when on this node knows every change, in milliseconds since 1970.
func (s *Service) historySince() int64 {
	v := s.node.StaleView()
	defer v.Release()
	return int64(v.HistorySince())
}

// freshNever is the age of a proof that there never was, or that is not known.
const freshNever = math.MaxUint64

// describe asks one member about itself. One that does not answer as the one that it is counts as unreachable.
func (s *Service) describe(ctx context.Context, m cluster.Member, hash bool) *adminv1.NodeStatus {
	n := &adminv1.NodeStatus{Id: m.ID, Name: m.Name, Voter: m.Voter, RaftAddress: m.RaftAddress, GrpcAddress: m.GRPCAddress,
		State: "unreachable", FreshMs: freshNever}
	d, err := s.ask(ctx, m, hash)
	if err != nil {
		n.Reasons = []string{plain(err)}
		return n
	}
	n.State, n.AppliedIndex, n.Bindings, n.Ready = d.State, d.AppliedIndex, d.Bindings, d.Ready
	n.Version, n.StateHash, n.Reasons = d.Version, d.StateHash, d.Reasons
	n.FormatLevel, n.MaxFormatLevel = d.Level, d.MaxLevel
	n.Name = cmp.Or(n.Name, d.Name)
	if d.Fresh >= 0 {
		n.FreshMs = uint64(d.Fresh.Milliseconds())
	}
	return n
}

// plain is why a node does not answer, without what gRPC adds to a refused connection.
func plain(err error) string {
	if _, dial, ok := strings.Cut(err.Error(), "Error while dialing: "); ok {
		return strings.TrimSuffix(dial, `"`)
	}
	return err.Error()
}

func (s *Service) ask(ctx context.Context, m cluster.Member, hash bool) (cluster.Description, error) {
	switch {
	case m.ID == s.node.ID():
		return s.node.Describe(ctx, hash)
	case m.GRPCAddress == "":
		return cluster.Description{}, errors.New("its gRPC address is not known")
	}
	d, err := s.peers.Describe(ctx, m.GRPCAddress, hash)
	if err == nil && d.NodeID != m.ID {
		err = fmt.Errorf("node at %s is %s", m.GRPCAddress, d.NodeID)
	}
	return d, err
}

// Members is the replicated membership.
func (s *Service) Members(context.Context, *adminv1.MembersRequest) (*adminv1.MembersResponse, error) {
	out := &adminv1.MembersResponse{}
	for _, m := range s.node.Members() {
		out.Members = append(out.Members, &adminv1.Member{Id: m.ID, Name: m.Name, RaftAddress: m.RaftAddress, GrpcAddress: m.GRPCAddress,
			Voter: m.Voter, Leader: m.Leader, Gossip: m.Gossip})
	}
	return out, nil
}
