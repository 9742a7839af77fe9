package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// awaitHealth waits until a node says over HTTP and over gRPC that it is ready, or, if kind is not empty, that it is not for a
// reason of that kind. Whatever it says, it is alive.
func awaitHealth(t *testing.T, n *laptop.Node, kind string) {
	t.Helper()
	conn, err := grpc.NewClient(n.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	code, text, state := http.StatusOK, "ready\n", healthv1.HealthCheckResponse_SERVING
	if kind != "" {
		code, text, state = http.StatusServiceUnavailable, kind+": ", healthv1.HealthCheckResponse_NOT_SERVING
	}
	ctx := deadline(t, time.Minute)
	until(t, ctx, n.Name+" says "+text, func() bool {
		got, body := httpGet(ctx, n, "/readyz")
		if got != code || !strings.Contains(body, text) {
			return false
		}
		if alive, _ := httpGet(ctx, n, "/livez"); alive != http.StatusOK {
			t.Fatalf("/livez of %s says %d", n.Name, alive)
		}
		h, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		return err == nil && h.GetStatus() == state
	})
}

// httpGet is the answer of a node; 0 for none.
func httpGet(ctx context.Context, n *laptop.Node, path string) (code int, body string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+path, nil)
	if err != nil {
		return 0, ""
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(b)
}

// askOnce asks one node for an address that nobody has.
func askOnce(ctx context.Context, n *laptop.Node) error {
	conn, err := requestor.Dial(ctx, n.LeasequeryTCP, requestor.Config{ClientID: newDUID()})
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Query(ctx, nobody(), func(*requestor.Client) error { return nil })
}

func nobody() requestor.Query {
	return requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: []byte("nobody")}
}

// TestReadinessOfNodes takes nodes through everything that makes them not ready.
func TestReadinessOfNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "drain={delay: 10m, timeout: 10m}", "raft.heartbeat_timeout=500ms", "raft.election_timeout=500ms",
		"raft.leader_lease=300ms", "read.max_staleness=2s")
	ctx := deadline(t, 2*time.Minute)
	first, second, third := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	for _, n := range c.Nodes {
		awaitHealth(t, n, "")
	}
	signalNode(t, first, syscall.SIGTERM)
	awaitHealth(t, first, "draining")
	if err := askOnce(ctx, first); err != nil {
		t.Errorf("ask a node that drains: %v", err)
	}
	if _, metrics := httpGet(ctx, first, "/metrics"); !strings.Contains(metrics, "\n"+metricDrain+" ") || strings.Contains(metrics, "\n"+metricDrain+" 0\n") {
		t.Errorf("%s does not say that the node drains", metricDrain)
	}
	signalNode(t, first, syscall.SIGTERM) // ten minutes are not waited for
	awaitEnd(t, ctx, first)
	if err := second.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitHealth(t, third, "stale")
	if err := third.Kill(); err != nil {
		t.Fatal(err)
	}
	startNode(t, third)
	awaitHealth(t, third, "replaying")
	startNode(t, first)
	startNode(t, second)
	for _, n := range c.Nodes {
		awaitHealth(t, n, "")
	}
	until(t, ctx, "a member is removed", func() bool {
		_, err := adminOf(t, first).Remove(ctx, &adminv1.RemoveRequest{Id: second.Name})
		return err == nil || status.Code(err) == codes.NotFound // an attempt whose outcome was unknown has removed it
	})
	awaitHealth(t, second, "removed")
	for _, n := range c.Nodes { // the way to stop without ten minutes of drain
		signalNode(t, n, syscall.SIGTERM)
		awaitHealth(t, n, "draining")
		signalNode(t, n, syscall.SIGTERM)
		awaitEnd(t, ctx, n)
	}
}

func startNode(t *testing.T, n *laptop.Node) {
	t.Helper()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
}

func signalNode(t *testing.T, n *laptop.Node, s syscall.Signal) {
	t.Helper()
	if err := n.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func awaitEnd(t *testing.T, ctx context.Context, n *laptop.Node) {
	t.Helper()
	until(t, ctx, n.Name+" has ended", func() bool { return !n.Running() })
}

// TestStopBeforeReady stops a node that waits for others to found a cluster with: nobody has to move away from it.
func TestStopBeforeReady(t *testing.T) {
	t.Parallel()
	c, err := laptop.New(laptop.Config{Binary: builtBinary(t), Dir: t.TempDir(), Nodes: 3, Set: []string{"drain={delay: 10m, timeout: 10m}"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, c.Close()) })
	n := c.Nodes[0]
	startNode(t, n)
	defer n.Kill()
	awaitHealth(t, n, "joining")
	if err := askOnce(t.Context(), n); err == nil {
		t.Error("a node that knows nothing yet answered")
	}
	signalNode(t, n, syscall.SIGTERM)
	awaitEnd(t, deadline(t, time.Minute), n)
}

// TestStopTellsSystemd runs a node as systemd does, with a socket to be told.
func TestStopTellsSystemd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", socket)
	await := func(want string) {
		t.Helper()
		for b := make([]byte, 4096); ; {
			n, err := l.Read(b)
			if err != nil {
				t.Fatalf("wait for %q: %v", want, err)
			}
			if strings.Contains(string(b[:n]), want) {
				return
			}
		}
	}
	c, err := laptop.New(laptop.Config{Binary: builtBinary(t), Dir: t.TempDir(), Nodes: 1, Set: []string{"drain={delay: 10m, timeout: 2s}"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, c.Close()) })
	startNode(t, c.Nodes[0])
	defer c.Nodes[0].Kill()
	await("READY=1")
	await("STATUS=ready")
	signalNode(t, c.Nodes[0], syscall.SIGTERM)
	await("STOPPING=1\nEXTEND_TIMEOUT_USEC=642000000")
	signalNode(t, c.Nodes[0], syscall.SIGTERM)
	awaitEnd(t, deadline(t, time.Minute), c.Nodes[0])
}
