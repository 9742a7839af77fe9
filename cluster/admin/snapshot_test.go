package admin

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/fsm"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// received reads what a call streams to its end; most is the longest piece.
func received(stream grpc.ServerStreamingClient[adminv1.SaveSnapshotResponse]) (all []byte, most int, err error) {
	for {
		r, err := stream.Recv()
		if err != nil {
			return all, most, err
		}
		all, most = append(all, r.GetData()...), max(most, len(r.GetData()))
	}
}

// TestSaveSnapshotAtAnyNode: what any node streams is whole, has what was acknowledged before, and is the same state.
func TestSaveSnapshotAtAnyNode(t *testing.T) {
	g := newGroup(t, 3)
	const n = 5000
	fill(g, n)
	for i := range 3 {
		stream, err := g.at(i).SaveSnapshot(patient(t), &adminv1.SaveSnapshotRequest{Consistent: true})
		if err != nil {
			t.Fatal(err)
		}
		all, most, err := received(stream)
		if !errors.Is(err, io.EOF) || most > snapshotPiece {
			t.Fatalf("node %d: pieces of %d octets, ended with %v", i, most, err)
		}
		if info, err := fsm.VerifySnapshot(bytes.NewReader(all)); err != nil || info.ClusterID != g.Leader().Node().ClusterID() {
			t.Errorf("node %d: %+v, %v", i, info, err)
		}
		machine := fsm.New(fsm.Config{})
		if err := machine.Restore(io.NopCloser(bytes.NewReader(all))); err != nil {
			t.Fatalf("node %d: %v", i, err)
		}
		v := machine.View()
		if v.Len() != n {
			t.Errorf("node %d saved %d bindings, want %d", i, v.Len(), n)
		}
		v.Release()
	}
	requireSavedWithoutQuorum(t, g)
}

// requireSavedWithoutQuorum: a node that reaches nobody saves what it has, when asked for just that.
func requireSavedWithoutQuorum(t *testing.T, g *group) {
	t.Helper()
	for i := 1; i < 3; i++ {
		g.Member(i).Kill()
	}
	stream, err := g.at(0).SaveSnapshot(patient(t), &adminv1.SaveSnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := received(stream)
	if _, verr := fsm.VerifySnapshot(bytes.NewReader(all)); !errors.Is(err, io.EOF) || verr != nil {
		t.Errorf("saved what the node has: %v, %v", err, verr)
	}
}

// Who asks for a snapshot and does not read it holds a file open only for so long.
func TestStalledReaderLosesItsSnapshot(t *testing.T) {
	g := newGroup(t, 1)
	fill(g, 20_000)
	g.services[0].stall = 50 * time.Millisecond
	stream, err := g.at(0).SaveSnapshot(patient(t), &adminv1.SaveSnapshotRequest{Consistent: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	until(t, "the node has ended the call", func() bool { return g.ended("DeadlineExceeded") == 1 })
	all, _, err := received(stream)
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "nothing of what is sent was taken") {
		t.Errorf("the call ended with %v, want DeadlineExceeded", err)
	}
	if _, err := fsm.VerifySnapshot(bytes.NewReader(all)); !errors.Is(err, fsm.ErrCorrupt) {
		t.Errorf("what came of it: %v, want it to be cut short", err)
	}
}
