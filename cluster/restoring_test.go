package cluster_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/health"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/fsm"
)

// gatedMachine is a state machine that waits before it restores, and before it applies, until the gate is opened.
type gatedMachine struct {
	*fsm.FSM
	restore, apply chan struct{}
}

func (g *gatedMachine) Restore(from io.ReadCloser) error {
	<-g.restore
	return g.FSM.Restore(from)
}

func (g *gatedMachine) Apply(l *raft.Log) any {
	<-g.apply
	return g.FSM.Apply(l)
}

func (g *gatedMachine) ApplyBatch(l []*raft.Log) []any {
	<-g.apply
	return g.FSM.ApplyBatch(l)
}

// shown is a node of one with its HTTP and gRPC servers.
type shown struct {
	t          *testing.T
	node       *cluster.Node
	machine    *gatedMachine
	http, grpc string
	stop       func()
}

// show runs a node on a directory until stop is called.
func show(t *testing.T, dir string, restore, apply chan struct{}) *shown {
	t.Helper()
	clock, quiet := cluster.NewClock(), slog.New(slog.DiscardHandler)
	machine := &gatedMachine{fsm.New(fsm.Config{Applied: clock.Applied, Halt: func(err error) { panic(err) }}), restore, apply}
	c := cluster.DefaultConfig()
	c.Name, c.DataDir, c.GRPCAddress = "alone", dir, "127.0.0.1:1"
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLease = 100*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	c.SnapshotThreshold, c.SnapshotInterval, c.ProofInterval = 1, 10*time.Millisecond, 20*time.Millisecond
	node, err := cluster.Open(c, machine, cluster.Deps{Logger: quiet, Clock: clock, Listener: listen(t)})
	if err != nil {
		t.Fatal(err)
	}
	web, calls := health.New(node.Reasons, node.ReadinessChanged, prometheus.NewRegistry(), quiet), rpc.NewServer(quiet, nil)
	s := &shown{t: t, node: node, machine: machine}
	httpListener, grpcListener := listen(t), listen(t)
	s.http, s.grpc = httpListener.Addr().String(), grpcListener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 4)
	go func() { ended <- node.Run(ctx) }()
	go func() { ended <- web.Run(ctx, httpListener) }()
	go func() { ended <- calls.Run(ctx, grpcListener) }()
	go func() { ended <- serving(ctx, node, calls) }()
	s.stop = func() {
		cancel()
		for range 4 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	return s
}

// serving keeps the gRPC health service in step, as the node's process does.
func serving(ctx context.Context, node *cluster.Node, calls *rpc.Server) error {
	for {
		changed := node.ReadinessChanged()
		calls.SetServing(len(node.Reasons()) == 0)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// await waits until the node is ready (kind empty), or says over HTTP that it is not, for a reason of the kind, and NOT_SERVING over
// gRPC.
func (s *shown) await(kind string) {
	s.t.Helper()
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	code, text, state := http.StatusOK, "ready\n", healthv1.HealthCheckResponse_SERVING
	if kind != "" {
		code, text, state = http.StatusServiceUnavailable, kind+": ", healthv1.HealthCheckResponse_NOT_SERVING
	}
	clustertest.Until(s.t, "/readyz and gRPC health say "+text, func() bool {
		r, err := http.Get("http://" + s.http + "/readyz")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		h, errHealth := healthv1.NewHealthClient(conn).Check(deadline(s.t), &healthv1.HealthCheckRequest{})
		return err == nil && errHealth == nil && r.StatusCode == code && strings.Contains(string(body), text) && h.GetStatus() == state
	})
}

// TestNotReadyWhileRestoringAndReplaying holds a node in the restore of its snapshot, then in the replay of its log.
func TestNotReadyWhileRestoringAndReplaying(t *testing.T) {
	open := make(chan struct{})
	close(open)
	dir := t.TempDir()
	s := show(t, dir, open, open)
	s.await("")
	clustertest.Until(t, "there is a snapshot", func() bool {
		found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "meta.json"))
		return err == nil && len(found) > 0 && !strings.HasSuffix(filepath.Dir(found[0]), ".tmp")
	})
	s.stop()
	restore, apply := make(chan struct{}), make(chan struct{})
	s = show(t, dir, restore, apply)
	s.await("restoring")
	close(restore)
	s.await("replaying")
	close(apply)
	s.await("")
	s.node.Drain()
	s.await("draining")
	s.stop()
}
