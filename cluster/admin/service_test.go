package admin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func TestClusterIsAdministeredAtAnyNode(t *testing.T) {
	g := newGroup(t, 3)
	g.propose("kea", 1, has(binding.NA, "2001:db8::1/128", "client", nil))
	ctx := patient(t)
	hash := g.RequireSameState()
	for i := range 3 {
		var r *adminv1.StatusResponse
		until(t, fmt.Sprintf("node %d tells of a leader and of three nodes that are ready", i), func() (ready bool) { // an election may be on
			var err error
			if r, err = g.at(i).Status(ctx, &adminv1.StatusRequest{StateHash: true}); err != nil {
				t.Fatalf("status at node %d: %v", i, err)
			}
			return r.GetLeader() == g.Leader().Node().Name() && len(r.GetNodes()) == 3 &&
				!slices.ContainsFunc(r.GetNodes(), func(n *adminv1.NodeStatus) bool { return !n.GetReady() || n.GetFreshMs() > 60_000 })
		})
		if r.GetTerm() == 0 || r.GetClusterId() == "" || len(r.GetServerDuid()) == 0 || r.GetClockMs() == 0 || r.GetStateHash() != hash {
			t.Errorf("status at node %d: %v", i, r)
		}
		for j, n := range r.GetNodes() {
			if n.GetName() != fmt.Sprintf("node-%d", j) || !n.GetVoter() || n.GetBindings() != 1 || n.GetStateHash() != hash {
				t.Errorf("status at node %d of node %d: %v", i, j, n)
			}
		}
		m, err := g.at(i).Members(ctx, &adminv1.MembersRequest{})
		if err != nil || len(m.GetMembers()) != 3 {
			t.Errorf("members at node %d: %v, %v", i, m, err)
		}
	}
	t.Run("transfer", func(t *testing.T) { testTransfer(t, g) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, g) })
	t.Run("leave", func(t *testing.T) { testLeave(t, g) })
	t.Run("dead member", func(t *testing.T) { testDeadMember(t, g) })
}

func testTransfer(t *testing.T, g *group) {
	target := g.Followers()[0]
	g.transfer(g.Followers()[1].Index, target.Node().Name())
	until(t, "the other leads", func() bool { return target.Node().IsLeader() })
}

func testRefusals(t *testing.T, g *group) {
	follower, ctx := g.at(g.Followers()[0].Index), patient(t)
	for what, tc := range map[string]struct {
		call func() error
		want error
		code codes.Code
	}{
		"remove nobody":     {func() error { _, err := follower.Remove(ctx, &adminv1.RemoveRequest{}); return err }, cluster.ErrInvalid, codes.InvalidArgument},
		"remove a stranger": {func() error { _, err := follower.Remove(ctx, &adminv1.RemoveRequest{Id: "x"}); return err }, cluster.ErrNoMember, codes.NotFound},
		"passed on to wrong": {func() error {
			_, err := follower.Remove(ctx, &adminv1.RemoveRequest{Id: "x", Forwarded: true})
			return err
		}, cluster.ErrNotLeader, codes.Unavailable},
		"transfer to a stranger": {func() error {
			_, err := follower.TransferLeadership(ctx, &adminv1.TransferLeadershipRequest{To: "x"})
			return err
		}, cluster.ErrNoMember, codes.NotFound},
		"join without an id": {func() error { _, err := follower.Join(ctx, &adminv1.JoinRequest{Name: "x"}); return err }, cluster.ErrInvalid, codes.InvalidArgument},
		"join of another cluster": {func() error {
			_, err := follower.Join(ctx, &adminv1.JoinRequest{Id: "b8d5c0a2-55a7-4b52-9a7c-0d5b3c3b1f11", Name: "x",
				RaftAddress: "127.0.0.1:1", GrpcAddress: "127.0.0.1:2", ClusterId: "other"})
			return err
		}, cluster.ErrWrongCluster, codes.FailedPrecondition},
	} {
		if err := tc.call(); status.Code(err) != tc.code || !errors.Is(rpc.FromStatus(err), tc.want) {
			t.Errorf("%s: %v, want %v as %v", what, err, tc.want, tc.code)
		}
	}
}

// The leader itself leaves: it hands over first.
func testLeave(t *testing.T, g *group) {
	leaver := g.Leader()
	until(t, "it leaves", func() bool { // the handover has an election timeout's time
		_, err := g.at(leaver.Index).Leave(patient(t), &adminv1.LeaveRequest{})
		if err != nil {
			t.Logf("leave: %v", err)
		}
		return err == nil || errors.Is(rpc.FromStatus(err), cluster.ErrNoMember) // an attempt whose outcome was unknown
	})
	until(t, "it is no member any more", func() bool {
		for i := range 3 {
			m, err := g.at(i).Members(patient(t), &adminv1.MembersRequest{})
			if i != leaver.Index && (err != nil || len(m.GetMembers()) != 2) {
				return false
			}
		}
		return true
	})
	until(t, "it knows that", func() bool { return leaver.Node().State() == "removed" })
}

// A member that does not answer is shown as such, and holds up nobody for long.
func testDeadMember(t *testing.T, g *group) {
	leader := g.Leader()
	var dead string
	for _, m := range leader.Node().Members() {
		if m.ID != leader.Node().ID() {
			dead = m.Name
			for i := range 3 {
				if g.Member(i).Node().ID() == m.ID {
					g.hush(i)
				}
			}
		}
	}
	r, err := g.at(leader.Index).Status(patient(t), &adminv1.StatusRequest{})
	if err != nil || len(r.GetNodes()) != 2 {
		t.Fatalf("status: %v, %v", r, err)
	}
	for _, n := range r.GetNodes() {
		if n.GetName() == dead && (n.GetState() != "unreachable" || len(n.GetReasons()) == 0 || n.GetFreshMs() != math.MaxUint64 || n.GetReady()) {
			t.Errorf("dead member: %v", n)
		}
		if n.GetName() != dead && n.GetState() != "leader" {
			t.Errorf("leader: %v", n)
		}
	}
}

func TestLastVoterStays(t *testing.T) {
	g := newGroup(t, 1)
	if _, err := g.at(0).Leave(patient(t), &adminv1.LeaveRequest{}); status.Code(err) != codes.FailedPrecondition || !errors.Is(rpc.FromStatus(err), cluster.ErrLastVoter) {
		t.Errorf("leave: %v, want ErrLastVoter as FailedPrecondition", err)
	}
}

func TestListBindings(t *testing.T) {
	g := newGroup(t, 1)
	one, two := chain("2001:db8:1::1", "relay-one", "\x00\x00\x00\x09one"), chain("2001:db8:2::1", "relay-two", "\x00\x00\x00\x09two")
	short := has(binding.NA, "2001:db8:1::99/128", "gone", one)
	short.Binding.Valid, short.Binding.Preferred, short.AgeMS = 10, 10, 20_000
	ta := has(binding.TA, "2001:db8:1::b/128", "bob", two)
	g.propose("kea", 1, has(binding.NA, "2001:db8:1::a/128", "alice", one), has(binding.PD, "2001:db8:f000::/48", "alice", one),
		has(binding.NA, "2001:db8:2::b/128", "bob", two), ta, short)
	g.propose("other", 2, has(binding.NA, "2001:db8:2::c/128", "carol", nil))
	addr := func(s string) []byte { return has(binding.NA, s+"/128", "x", nil).Binding.Prefix.Addr().AsSlice() }
	const a, pd, b, bt, c = "2001:db8:1::a", "2001:db8:f000::/48", "2001:db8:2::b", "2001:db8:1::b", "2001:db8:2::c"
	for name, tc := range map[string]struct {
		request *adminv1.ListBindingsRequest
		want    []string
	}{
		"everything":       {&adminv1.ListBindingsRequest{}, []string{a, pd, b, bt, c}},
		"consistent":       {&adminv1.ListBindingsRequest{Consistent: true}, []string{a, pd, b, bt, c}},
		"address":          {&adminv1.ListBindingsRequest{Address: addr(a)}, []string{a}},
		"in a prefix":      {&adminv1.ListBindingsRequest{Address: addr("2001:db8:f000:1::5")}, []string{pd}},
		"unknown address":  {&adminv1.ListBindingsRequest{Address: addr("2001:db8:3::1")}, nil},
		"client":           {&adminv1.ListBindingsRequest{Duid: []byte("bob")}, []string{b, bt}},
		"relay-id":         {&adminv1.ListBindingsRequest{RelayId: []byte("relay-one")}, []string{a, pd}},
		"remote-id":        {&adminv1.ListBindingsRequest{RemoteId: []byte("\x00\x00\x00\x09two")}, []string{b, bt}},
		"source":           {&adminv1.ListBindingsRequest{Source: "other"}, []string{c}},
		"client of source": {&adminv1.ListBindingsRequest{Source: "other", Duid: []byte("bob")}, nil},
		"unknown link":     {&adminv1.ListBindingsRequest{Link: "2001:db8:77::1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			all, index, err := list(t, g.at(0), tc.request)
			if !errors.Is(err, io.EOF) {
				t.Fatalf("list ended with %v", err)
			}
			got := map[string]bool{}
			for _, x := range all {
				got[x.GetAddress()+x.GetPrefix()] = true
				if x.GetIaid() != 9 || x.GetValid() != 3600 || x.GetRemainingValid() > 3600 || x.GetRemainingValid() < 3000 || x.GetState() != "active" ||
					x.GetTemporary() != (x.GetAddress() == bt) || x.GetLastTransactionMs() == 0 || x.GetLink() == "" || len(x.GetDuid()) < 3 {
					t.Errorf("binding %v", x)
				}
			}
			for _, w := range tc.want {
				if !got[w] {
					t.Errorf("%s is not listed", w)
				}
			}
			if len(all) != len(tc.want) || (index == 0 && len(all) > 0) {
				t.Errorf("listed %v, want %v", got, tc.want)
			}
		})
	}
	for name, r := range map[string]*adminv1.ListBindingsRequest{
		"short address": {Address: []byte{1}}, "IPv4": {Address: []byte{192, 0, 2, 1}}, "link": {Link: "eth0"}, "two subjects": {Duid: []byte("x"), RelayId: []byte("y")},
	} {
		if _, _, err := list(t, g.at(0), r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", name, err)
		}
	}
	t.Run("link", func(t *testing.T) {
		all, _, err := list(t, g.at(0), &adminv1.ListBindingsRequest{Link: "2001:db8:1::1"})
		if !errors.Is(err, io.EOF) || len(all) == 0 || len(all) >= 5 {
			t.Errorf("%d bindings on a link, %v", len(all), err)
		}
		for _, x := range all {
			if !bytes.Equal(x.GetDuid(), []byte("alice")) && !bytes.Equal(x.GetDuid(), []byte("bob")) {
				t.Errorf("binding %v is not on the link", x)
			}
		}
	})
}

// fill proposes n bindings of n clients.
func fill(g *group, n int) {
	for from := 0; from < n; from += fsm.MaxChanges {
		var changes []fsm.Change
		for i := from; i < min(n, from+fsm.MaxChanges); i++ {
			changes = append(changes, has(binding.NA, fmt.Sprintf("2001:db8:1::%x:%x/128", 1+i>>16, i&0xffff), fmt.Sprintf("client%06d", i), nil))
		}
		g.propose("kea", uint64(from+1), changes...)
	}
}

func TestLongListComesInPieces(t *testing.T) {
	g := newGroup(t, 1)
	const n = 5000
	fill(g, n)
	stream, err := g.at(0).ListBindings(patient(t), &adminv1.ListBindingsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	seen, index := 0, uint64(0)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(m.GetBindings()) > bindingsPerMessage || (index != 0 && m.GetIndex() != index) {
			t.Fatalf("message of %d bindings at index %d after %d", len(m.GetBindings()), m.GetIndex(), index)
		}
		seen, index = seen+len(m.GetBindings()), m.GetIndex()
	}
	if seen != n {
		t.Errorf("listed %d bindings, want %d", seen, n)
	}
}

// Who asks for a list and does not read it keeps its view only for so long.
func TestStalledReaderLosesItsList(t *testing.T) {
	g := newGroup(t, 1)
	fill(g, 20_000)
	g.services[0].stall = 50 * time.Millisecond
	stream, err := g.at(0).ListBindings(patient(t), &adminv1.ListBindingsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	until(t, "the node has ended the call", func() bool { return g.ended("DeadlineExceeded") == 1 })
	if _, _, err := drain(stream); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "nothing of what is sent was taken") {
		t.Errorf("list ended with %v, want DeadlineExceeded", err)
	}
}

func TestSourcesAndLinks(t *testing.T) {
	g := newGroup(t, 1)
	l := &binding.Link{Label: "lan", Names: []string{"5"}, Relays: nil}
	l.Prefixes = append(l.Prefixes, has(binding.PD, "2001:db8:1::/64", "x", nil).Binding.Prefix)
	g.propose("kea", 77, fsm.Change{Change: binding.Change{Event: binding.DefineLink, Link: l}}, has(binding.NA, "2001:db8:1::a/128", "alice", nil),
		has(binding.NA, "2001:db8:1::b/128", "bob", nil), has(binding.NA, "2001:db8:9::b/128", "carol", nil))
	ctx := patient(t)
	s, err := g.at(0).Sources(ctx, &adminv1.SourcesRequest{})
	if err != nil || len(s.GetSources()) != 1 {
		t.Fatalf("sources: %v, %v", s, err)
	}
	if x := s.GetSources()[0]; x.GetName() != "kea" || x.GetBindings() != 3 || x.GetEpoch() != 77 || x.GetSequence() != 1 || x.GetResyncing() ||
		x.GetLastBatchMs() == 0 || x.GetLastResyncMs() != 0 {
		t.Errorf("source %v", x)
	}
	r, err := g.at(0).Links(ctx, &adminv1.LinksRequest{})
	if err != nil || len(r.GetLinks()) != 2 {
		t.Fatalf("links: %v, %v", r, err)
	}
	for _, x := range r.GetLinks() {
		configured := len(x.GetLabels()) == 1 && x.GetLabels()[0] == "kea/lan" && x.GetClients() == 2 && x.GetPrefixes()[0] == "2001:db8:1::/64"
		madeUp := len(x.GetLabels()) == 0 && x.GetClients() == 1
		if (!configured && !madeUp) || x.GetRepresentative() == "" {
			t.Errorf("link %v", x)
		}
	}
}
