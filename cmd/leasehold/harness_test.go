package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// built is the binary that the tests of whole processes run, built once.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
	out  []byte
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// builtBinary builds the program as its users do, without cgo.
func builtBinary(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("whole processes are left out of short runs")
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "leasehold-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "leasehold")
		cmd := exec.Command("go", "build", "-trimpath", "-o", built.path, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		built.out, built.err = cmd.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("build: %v\n%s", built.err, built.out)
	}
	return built.path
}

// startCluster runs a cluster of processes until the test ends.
func startCluster(t testing.TB, nodes int, set ...string) *laptop.Cluster {
	t.Helper()
	return startConfigured(t, laptop.Config{Binary: builtBinary(t), Dir: t.TempDir(), Nodes: nodes, Set: set})
}

// startConfigured is startCluster for another binary, or in a folder that has something in it.
func startConfigured(t testing.TB, cfg laptop.Config) *laptop.Cluster {
	t.Helper()
	c, err := laptop.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	if err := c.Start(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// deadline is a context that ends the test's waits when something hangs. No test depends on how long anything takes.
func deadline(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// newAgent makes a feeder of a source.
func newAgent(t testing.TB, c *laptop.Cluster, name string, s feed.Source) *feed.Agent {
	t.Helper()
	a, err := feed.New(feedConfig(name, c.GRPC(), 0, slog.New(slog.DiscardHandler), nil), s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// adminOf is a client of one node's administration.
func adminOf(t testing.TB, n *laptop.Node) adminv1.AdminClient {
	t.Helper()
	conn, err := grpc.NewClient(n.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return adminv1.NewAdminClient(conn)
}

// until waits for a condition. It looks often at first, and less often the longer it has waited: a look may be a process.
func until(t testing.TB, ctx context.Context, what string, condition func() bool) {
	t.Helper()
	begun := time.Now()
	for !condition() {
		select {
		case <-time.After(min(max(time.Since(begun)/8, 5*time.Millisecond), 100*time.Millisecond)):
		case <-ctx.Done():
			t.Fatalf("wait until %s: %v", what, context.Cause(ctx))
		}
	}
}

// whenLed calls a node until it answers: while the cluster has no leader, as on a busy machine it may for a moment, a node refuses. What it
// refuses for another reason ends the test.
func whenLed(t testing.TB, ctx context.Context, what string, call func() error) {
	t.Helper()
	var err error
	defer func() {
		if err != nil {
			t.Logf("%s: %v", what, err)
		}
	}()
	until(t, ctx, what, func() bool {
		if err = call(); err != nil && status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
		return err == nil
	})
}

// requireSameState waits until all nodes have applied the same and fails unless their states are equal. It returns how many
// bindings there are.
func requireSameState(t testing.TB, c *laptop.Cluster) uint64 {
	t.Helper()
	ctx := deadline(t, time.Minute)
	for _, n := range c.Nodes { // a read that begins now sees everything acknowledged, on every node
		admin := adminOf(t, n)
		whenLed(t, ctx, "read from "+n.Name, func() error {
			s, err := admin.ListBindings(ctx, &adminv1.ListBindingsRequest{Consistent: true, Source: "nobody"})
			if err == nil {
				_, err = s.Recv()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		})
	}
	var r *adminv1.StatusResponse
	admin := adminOf(t, c.Nodes[0])
	until(t, ctx, "every node tells its state", func() bool { // one that was restarted may not be connected to yet
		whenLed(t, ctx, "status of "+c.Nodes[0].Name, func() (err error) {
			r, err = admin.Status(ctx, &adminv1.StatusRequest{StateHash: true})
			return err
		})
		return !slices.ContainsFunc(r.GetNodes(), func(n *adminv1.NodeStatus) bool { return n.GetStateHash() == "" })
	})
	if len(r.GetNodes()) != len(c.Nodes) {
		t.Fatalf("%d nodes in the status, want %d", len(r.GetNodes()), len(c.Nodes))
	}
	for _, n := range r.GetNodes() {
		if n.GetStateHash() == "" || n.GetStateHash() != r.GetNodes()[0].GetStateHash() {
			t.Errorf("%s has state %q with %d bindings, %s has %q with %d", n.GetName(), n.GetStateHash(), n.GetBindings(),
				r.GetNodes()[0].GetName(), r.GetNodes()[0].GetStateHash(), r.GetNodes()[0].GetBindings())
		}
	}
	return r.GetNodes()[0].GetBindings()
}

// listed is everything that a node lists, by address or prefix: the client and IAID that have it.
func listed(t testing.TB, n *laptop.Node) (out map[string]string) {
	t.Helper()
	ctx, admin := deadline(t, time.Minute), adminOf(t, n)
	whenLed(t, ctx, "list bindings of "+n.Name, func() error {
		out = map[string]string{}
		s, err := admin.ListBindings(ctx, &adminv1.ListBindingsRequest{Consistent: true})
		for err == nil {
			var r *adminv1.ListBindingsResponse
			if r, err = s.Recv(); err != nil {
				break
			}
			for _, b := range r.GetBindings() {
				key := b.GetAddress() + b.GetPrefix()
				if _, twice := out[key]; twice {
					t.Errorf("%s lists %s twice", n.Name, key)
				}
				out[key] = string(b.GetDuid())
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
	return out
}

// requireRejoins wants the others to have everything while a node is out, and the node to have it too once it began anew.
func requireRejoins(t *testing.T, c *laptop.Cluster, n *laptop.Node, bindings int) {
	t.Helper()
	for _, other := range c.Nodes {
		if other == n {
			continue
		}
		if got := len(listed(t, other)); got != bindings {
			t.Errorf("%s lists %d bindings while %s is out, want %d", other.Name, got, n.Name, bindings)
		}
	}
	if err := n.Wipe(); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitReady(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	requireSameState(t, c)
}
