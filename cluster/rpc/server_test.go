package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	peerv1 "github.com/leasehold/leasehold/proto/peer/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a peer that answers what a test sets.
type node struct {
	adminv1.UnimplementedAdminServer
	err   error
	block chan struct{} // if not nil, Describe waits for it or its context
	asked chan struct{} // if not nil, told when Describe begins
}

func description() cluster.Description {
	return cluster.Description{NodeID: "id-1", Name: "node1", ClusterID: "c", State: "follower", Voter: true,
		AppliedIndex: 7, Fresh: 250 * time.Millisecond, Bindings: 3, Ready: true, Reasons: []string{"a", "b"}, Version: "v1",
		BootstrapExpect: 3, RaftAddress: "r:1", GRPCAddress: "g:1", HasState: true,
		Level: 2, MaxLevel: 3, Checkpoint: fsm.Checkpoint{Index: 5, Hash: 1<<64 - 1}}
}

func (n *node) ServeReadIndex(_ context.Context, clusterID string) (cluster.ReadIndex, error) {
	if clusterID != "c" {
		return cluster.ReadIndex{}, fmt.Errorf("cluster %q: %w", clusterID, cluster.ErrWrongCluster)
	}
	return cluster.ReadIndex{Index: 42, Term: 3}, n.err
}

func (n *node) ServeTerm(clusterID string) (cluster.TermReport, error) {
	if clusterID != "c" {
		return cluster.TermReport{}, fmt.Errorf("cluster %q: %w", clusterID, cluster.ErrWrongCluster)
	}
	return cluster.TermReport{NodeID: "id-1", Term: 3, Wall: time.UnixMilli(1234)}, n.err
}

func (n *node) Describe(ctx context.Context, stateHash bool) (cluster.Description, error) {
	if n.asked != nil {
		close(n.asked)
	}
	if n.block != nil {
		select {
		case <-n.block:
		case <-ctx.Done():
			return cluster.Description{}, context.Cause(ctx)
		}
	}
	d := description()
	if stateHash {
		d.StateHash = "beef"
	}
	return d, n.err
}

// Join answers like a leader.
func (n *node) Join(_ context.Context, r *adminv1.JoinRequest) (*adminv1.JoinResponse, error) {
	return &adminv1.JoinResponse{ClusterId: r.GetId() + r.GetName() + r.GetRaftAddress() + r.GetGrpcAddress() + r.GetClusterId() + fmt.Sprint(r.GetMaxFormatLevel())}, n.err
}

// start serves the node on the address and gives the listener's; stop ends it.
func start(t testing.TB, addr string, n *node, log *slog.Logger, m *Metrics) (at string, stop func()) {
	t.Helper()
	var l net.Listener
	var err error
	for deadline := time.Now().Add(10 * time.Second); ; {
		if l, err = net.Listen("tcp", addr); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("listen: %v", err)
		}
	}
	s := NewServer(log, m)
	peerv1.RegisterPeerServer(s, NewPeerService(n))
	adminv1.RegisterAdminServer(s, n)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	<-s.Ready()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server ended: %v", err)
		}
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func newPeers(t testing.TB) *Peers {
	t.Helper()
	p := NewPool()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close pool: %v", err)
		}
	})
	return NewPeers(p)
}

func timeout(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPeersAsk(t *testing.T) {
	addr, _ := start(t, "127.0.0.1:0", &node{}, nil, nil)
	p, ctx := newPeers(t), timeout(t)
	if got, err := p.ReadIndex(ctx, addr, "c"); err != nil || got != (cluster.ReadIndex{Index: 42, Term: 3}) {
		t.Errorf("read index %+v, %v", got, err)
	}
	if got, err := p.Term(ctx, addr, "c"); err != nil || got.NodeID != "id-1" || got.Term != 3 || got.Wall.UnixMilli() != 1234 {
		t.Errorf("term %+v, %v", got, err)
	}
	if got, err := p.Describe(ctx, addr, false); err != nil || !cmp.Equal(got, description()) {
		t.Errorf("description: %v %s", err, cmp.Diff(description(), got))
	}
	if got, err := p.Describe(ctx, addr, true); err != nil || got.StateHash != "beef" {
		t.Errorf("description %+v, %v", got, err)
	}
	j := cluster.JoinRequest{ID: "1", Name: "2", RaftAddress: "3", GRPCAddress: "4", ClusterID: "5", MaxLevel: 6}
	if got, err := p.Join(ctx, addr, j); err != nil || got != "123456" {
		t.Errorf("joined %q, %v", got, err)
	}
}

func TestPeersOfAnotherClusterAreRefused(t *testing.T) {
	addr, _ := start(t, "127.0.0.1:0", &node{}, nil, nil)
	p, ctx := newPeers(t), timeout(t)
	if _, err := p.ReadIndex(ctx, addr, "other"); !errors.Is(err, cluster.ErrWrongCluster) {
		t.Errorf("read index: %v, want ErrWrongCluster", err)
	}
	if _, err := p.Term(ctx, addr, "other"); !errors.Is(err, cluster.ErrWrongCluster) {
		t.Errorf("term: %v, want ErrWrongCluster", err)
	}
}

func TestErrorsOfPeersComeThrough(t *testing.T) {
	addr, _ := start(t, "127.0.0.1:0", &node{err: cluster.ErrRemoved}, nil, nil)
	p, ctx := newPeers(t), timeout(t)
	for what, call := range map[string]func() error{
		"read index": func() error { _, err := p.ReadIndex(ctx, addr, "c"); return err },
		"term":       func() error { _, err := p.Term(ctx, addr, "c"); return err },
		"describe":   func() error { _, err := p.Describe(ctx, addr, false); return err },
		"join":       func() error { _, err := p.Join(ctx, addr, cluster.JoinRequest{}); return err },
	} {
		if err := call(); !errors.Is(err, cluster.ErrRemoved) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v, want ErrRemoved and the node's address", what, err)
		}
	}
}

func TestNeverFreshStaysNever(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, time.Millisecond, 100 * 365 * 24 * time.Hour} {
		if got := freshAge(freshMS(d)); got != d {
			t.Errorf("%v came back as %v", d, got)
		}
	}
}

// A node that comes back is asked again within about a second, not after gRPC's two minutes.
func TestPeerThatComesBackIsFound(t *testing.T) {
	addr, stop := start(t, "127.0.0.1:0", &node{}, nil, nil)
	p, ctx := newPeers(t), timeout(t)
	if _, err := p.Term(ctx, addr, "c"); err != nil {
		t.Fatal(err)
	}
	stop()
	for range 5 {
		if _, err := p.Term(ctx, addr, "c"); status.Code(err) != codes.Unavailable {
			t.Fatalf("asked a node that is gone: %v, want Unavailable", err)
		}
	}
	start(t, addr, &node{}, nil, nil)
	for {
		_, err := p.Term(ctx, addr, "c")
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("node is back, and still %v", err)
		}
	}
}

func TestPoolIsBoundedAndCloses(t *testing.T) {
	p := NewPool()
	first, err := p.Conn("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := p.Conn("127.0.0.1:1"); again != first {
		t.Error("two connections to one address")
	}
	for i := range 2 * maxPool {
		if _, err := p.Conn(fmt.Sprintf("127.0.0.1:%d", 100+i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.conns) != maxPool {
		t.Errorf("%d connections, at most %d are kept", len(p.conns), maxPool)
	}
	if another, _ := p.Conn("127.0.0.1:1"); another == first {
		t.Error("the connection that was used longest ago is still there")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Conn("127.0.0.1:1"); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("closed pool: %v, want ErrPoolClosed", err)
	}
}

func TestHealthAndReflection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(nil, nil)
	ctx, cancel := context.WithCancel(timeout(t))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	conn, err := grpc.NewClient(l.Addr().String(), DialOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	health := healthv1.NewHealthClient(conn)
	for _, serving := range []bool{false, true, false} {
		s.SetServing(serving)
		want := healthv1.HealthCheckResponse_NOT_SERVING
		if serving {
			want = healthv1.HealthCheckResponse_SERVING
		}
		if r, err := health.Check(ctx, &healthv1.HealthCheckRequest{}); err != nil || r.GetStatus() != want {
			t.Errorf("health %v, %v, want %v", r, err, want)
		}
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || len(r.GetListServicesResponse().GetService()) != 2 {
		t.Errorf("reflection: %v, %v", r, err)
	}
	if err := errors.Join(stream.CloseSend(), conn.Close()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("server ended: %v", err)
	}
}

func TestServerCountsAndLogsOnce(t *testing.T) {
	var log bytes.Buffer
	r := prometheus.NewPedanticRegistry()
	n := &node{err: errors.New("disk on fire")}
	addr, stop := start(t, "127.0.0.1:0", n, slog.New(slog.NewTextHandler(&log, nil)), NewMetrics(r))
	p, ctx := newPeers(t), timeout(t)
	if _, err := p.Describe(ctx, addr, false); status.Code(err) != codes.Internal {
		t.Errorf("described: %v, want Internal", err)
	}
	if _, err := p.ReadIndex(ctx, addr, "other"); err == nil {
		t.Error("read index of another cluster")
	}
	stop()
	if got := strings.Count(log.String(), "disk on fire"); got != 1 || strings.Contains(log.String(), "ReadIndex") {
		t.Errorf("log has the failure %d times: %s", got, log.String())
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += " " + l.GetValue()
			}
			got[f.GetName()+labels] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		MetricCalls + " Internal /leasehold.peer.v1.Peer/Describe":            1,
		MetricCalls + " FailedPrecondition /leasehold.peer.v1.Peer/ReadIndex": 1,
		MetricRunning: 0,
	}
	if !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// The end of Run lets a call that is under way end.
func TestStopWaitsForCalls(t *testing.T) {
	n := &node{block: make(chan struct{}), asked: make(chan struct{})}
	addr, stop := start(t, "127.0.0.1:0", n, nil, nil)
	p, ctx := newPeers(t), timeout(t)
	answer := make(chan error, 1)
	go func() { _, err := p.Describe(ctx, addr, false); answer <- err }()
	<-n.asked
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("server stopped under a call")
	case err := <-answer:
		t.Errorf("call was cut: %v", err)
	default:
	}
	close(n.block)
	if err := <-answer; err != nil {
		t.Errorf("call was cut: %v", err)
	}
	<-stopped
}

func TestRunTellsWhyItCannotServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := NewServer(nil, nil).Run(timeout(t), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("served on a closed listener: %v", err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	addr, _ := start(t, "127.0.0.1:0", &node{}, nil, nil)
	p := newPeers(t)
	if _, err := p.Join(timeout(t), addr, cluster.JoinRequest{Name: strings.Repeat("x", maxMessage+1)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%d octets: %v, want ResourceExhausted", maxMessage+1, err)
	}
}
