package admin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/forward"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// Node is what administration needs of the node: *cluster.Node.
type Node interface {
	forward.Node
	Name() string
	ClusterID() string
	Term() uint64
	ServerDUID() []byte
	Now() binding.Time
	Members() []cluster.Member
	// Describe is what this node says of itself.
	Describe(ctx context.Context, stateHash bool) (cluster.Description, error)
	// Join, Remove and TransferLeadership are for the leader.
	Join(ctx context.Context, r cluster.JoinRequest) (clusterID string, err error)
	Remove(ctx context.Context, idOrName string) error
	TransferLeadership(ctx context.Context, idOrName string) (cluster.Member, error)
	// View is a view that has everything committed before the call; StaleView is what the node has.
	View(ctx context.Context) (binding.View, error)
	StaleView() *store.View
	// Snapshot takes a snapshot and opens it; see cluster.Node.
	Snapshot(ctx context.Context, consistent bool) (io.ReadCloser, error)
}

// Sources is what administration needs of the state machine: *fsm.FSM.
type Sources interface {
	// Sources is every source that has reported.
	Sources() []fsm.SourceState
	// Conflicts is the bindings about which sources disagree, as this node has seen it.
	Conflicts() store.Conflicts
}

// Dialer makes connections to other nodes: *rpc.Pool.
type Dialer interface {
	// Conn is the connection to a node's gRPC address; it belongs to the dialer.
	Conn(addr string) (*grpc.ClientConn, error)
}

// Service is the administration service of a node.
type Service struct {
	adminv1.UnimplementedAdminServer
	node    Node
	sources Sources
	reports Reports
	peers   cluster.Peers
	dialer  Dialer
	log     *slog.Logger
	hold    time.Duration // for a leader: leaderHold
	stall   time.Duration // of who reads a list: listStall
}

// New is the administration service. Without reports none are listed; a nil logger discards.
func New(node Node, sources Sources, reports Reports, peers cluster.Peers, dialer Dialer, log *slog.Logger) *Service {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Service{node: node, sources: sources, reports: reports, peers: peers, dialer: dialer, log: log, hold: leaderHold, stall: listStall}
}

// leaderHold is how long a call waits for a leader: an election.
const leaderHold = 5 * time.Second

// atLeader calls here if this node leads, else passes the call on to the leader, once.
func atLeader[T any](ctx context.Context, s *Service, forwarded bool, here func() (T, error), there func(adminv1.AdminClient) (T, error)) (T, error) {
	var none T
	addr, err := forward.Await(ctx, s.node, forwarded, s.hold)
	if err != nil {
		return none, fmt.Errorf("find the leader: %w", err)
	}
	if addr == "" {
		return here()
	}
	conn, err := s.dialer.Conn(addr)
	if err != nil {
		return none, fmt.Errorf("pass the call on to the leader at %s: %w", addr, err)
	}
	out, err := there(adminv1.NewAdminClient(conn))
	if err != nil {
		p := status.Convert(err).Proto() // as it was, but for who said so
		p.Message = fmt.Sprintf("leader at %s: %s", addr, p.GetMessage())
		return none, status.FromProto(p).Err()
	}
	return out, nil
}

// Join admits a node.
func (s *Service) Join(ctx context.Context, r *adminv1.JoinRequest) (*adminv1.JoinResponse, error) {
	return atLeader(ctx, s, r.GetForwarded(), func() (*adminv1.JoinResponse, error) {
		id, err := s.node.Join(ctx, cluster.JoinRequest{ID: r.GetId(), Name: r.GetName(), RaftAddress: r.GetRaftAddress(),
			GRPCAddress: r.GetGrpcAddress(), Voter: r.GetVoter(), ClusterID: r.GetClusterId(),
			MaxLevel: r.GetMaxFormatLevel()})
		if err != nil {
			return nil, err
		}
		return &adminv1.JoinResponse{ClusterId: id}, nil
	}, func(c adminv1.AdminClient) (*adminv1.JoinResponse, error) {
		r.Forwarded = true
		return c.Join(ctx, r)
	})
}

// Leave takes this node itself out of the cluster.
func (s *Service) Leave(ctx context.Context, _ *adminv1.LeaveRequest) (*adminv1.LeaveResponse, error) {
	if _, err := s.Remove(ctx, &adminv1.RemoveRequest{Id: s.node.ID()}); err != nil {
		return nil, err
	}
	s.log.Info("left the cluster, as asked")
	return &adminv1.LeaveResponse{}, nil
}

// isSelf tells whether this node is meant: by its id, or by a name that only it has.
func (s *Service) isSelf(idOrName string) bool {
	var named []string
	for _, m := range s.node.Members() {
		if m.ID == idOrName || m.Name == idOrName {
			named = append(named, m.ID)
		}
	}
	return len(named) == 1 && named[0] == s.node.ID()
}

func (s *Service) hasOtherVoter() bool {
	return slices.ContainsFunc(s.node.Members(), func(m cluster.Member) bool { return m.Voter && m.ID != s.node.ID() })
}

// Remove takes a member out of the cluster. A leader that is to go first hands over to another voter, which then removes it.
func (s *Service) Remove(ctx context.Context, r *adminv1.RemoveRequest) (*adminv1.RemoveResponse, error) {
	return atLeader(ctx, s, r.GetForwarded(), func() (*adminv1.RemoveResponse, error) {
		if r.GetId() == "" {
			return nil, fmt.Errorf("%w: id is empty", cluster.ErrInvalid)
		}
		if s.isSelf(r.GetId()) && s.hasOtherVoter() {
			if _, err := s.node.TransferLeadership(ctx, ""); err != nil {
				return nil, fmt.Errorf("hand over leadership before %s is removed: %w", s.node.Name(), err)
			}
			return s.Remove(ctx, &adminv1.RemoveRequest{Id: s.node.ID()})
		}
		if err := s.node.Remove(ctx, r.GetId()); err != nil {
			return nil, err
		}
		return &adminv1.RemoveResponse{}, nil
	}, func(c adminv1.AdminClient) (*adminv1.RemoveResponse, error) {
		r.Forwarded = true
		return c.Remove(ctx, r)
	})
}

// TransferLeadership hands leadership to a voter.
func (s *Service) TransferLeadership(ctx context.Context, r *adminv1.TransferLeadershipRequest) (*adminv1.TransferLeadershipResponse, error) {
	return atLeader(ctx, s, r.GetForwarded(), func() (*adminv1.TransferLeadershipResponse, error) {
		m, err := s.node.TransferLeadership(ctx, r.GetTo())
		if err != nil {
			return nil, err
		}
		return &adminv1.TransferLeadershipResponse{Leader: cmp.Or(m.Name, m.ID)}, nil
	}, func(c adminv1.AdminClient) (*adminv1.TransferLeadershipResponse, error) {
		r.Forwarded = true
		return c.TransferLeadership(ctx, r)
	})
}
