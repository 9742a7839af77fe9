package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// TestWrongArgumentsTellTheUsage: whoever calls a command wrongly is told how it is called.
func TestWrongArgumentsTellTheUsage(t *testing.T) {
	for _, args := range [][]string{{"remove"}, {"config", "check"}, {"status", "surplus"}, {"query", "--no-such-flag"}} {
		root := newRoot("test")
		root.SetArgs(args)
		root.SetOut(io.Discard)
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "\nusage: leasehold "+args[0]) {
			t.Errorf("%q: error %v, want one with the usage", args, err)
		}
	}
}

// statusServer is a node that answers status as told.
type statusServer struct {
	adminv1.UnimplementedAdminServer
	leader string
}

func (s *statusServer) Status(context.Context, *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	r := &adminv1.StatusResponse{Leader: s.leader}
	if s.leader != "" {
		r.Nodes = []*adminv1.NodeStatus{{Name: s.leader}}
	}
	return r, nil
}

func (s *statusServer) start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	adminv1.RegisterAdminServer(server, s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// TestStatusAsksOnWhereNoLeaderIsKnown: a node that has only just started does not answer for the cluster, unless it is all there is.
func TestStatusAsksOnWhereNoLeaderIsKnown(t *testing.T) {
	started, member := (&statusServer{}).start(t), (&statusServer{leader: "node2"}).start(t)
	for _, c := range []struct {
		cluster []string
		leader  string
	}{
		{[]string{started, member}, "node2"},
		{[]string{member, started}, "node2"},
		{[]string{started}, ""},
	} {
		r, err := askStatus(t.Context(), adminCall{cluster: c.cluster, timeout: time.Minute}, false)
		if err != nil {
			t.Fatalf("status: %v", err)
		}
		if r.GetLeader() != c.leader {
			t.Errorf("leader %q, want %q", r.GetLeader(), c.leader)
		}
	}
}
