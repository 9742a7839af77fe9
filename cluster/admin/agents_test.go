package admin

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/feed"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// sits is a source that states one lease, and then sits.
type sits struct {
	lease     byte
	condition feed.Condition
}

// Run states the lease.
func (s *sits) Run(ctx context.Context, sink feed.Sink) error {
	l := &ingestv1.Lease{Address: []byte{0x20, 1, 0xd, 0xb8, 15: s.lease}, Duid: []byte{0, 3, 0, 1, s.lease}, Valid: 3600}
	// No resync: two agents share the source, and each would sweep the other's lease.
	err := errors.Join(sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: l}}), sink.Flush(ctx))
	if err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// Condition is as the test wants it.
func (s *sits) Condition() feed.Condition { return s.condition }

// agent runs an agent of the source at some nodes until it is stopped, or the test ends.
func (g *group) agent(source, instance string, s feed.Source, nodes ...int) (stop func()) {
	g.t.Helper()
	config := feed.Config{Source: source, Instance: instance, ReportEvery: 20 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}}
	for _, i := range nodes {
		config.Cluster = append(config.Cluster, g.addresses[i])
	}
	a, err := feed.New(config, s)
	if err != nil {
		g.t.Fatalf("make agent: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			g.t.Errorf("agent ended: %v", err)
		}
	})
	g.t.Cleanup(stop)
	return stop
}

// listed is the sources as node i lists them.
func (g *group) listed(i int) *adminv1.SourcesResponse {
	g.t.Helper()
	r, err := g.at(i).Sources(patient(g.t), &adminv1.SourcesRequest{})
	if err != nil {
		g.t.Fatalf("sources at node %d: %v", i, err)
	}
	return r
}

// TestAgentsAreListedAtAnyNode: what agents report through any node is listed at every node, also after another node has come to lead.
func TestAgentsAreListedAtAnyNode(t *testing.T) {
	g := newGroup(t, 3)
	lead := g.Leader().Index
	first, second := (lead+1)%3, (lead+2)%3
	g.agent("kea", "a", &sits{lease: 1, condition: feed.Condition{Refused: 4, Skew: -time.Hour, Measured: true}}, first, second, lead)
	stop := g.agent("kea", "b", &sits{lease: 2, condition: feed.Condition{Trouble: "the socket is gone"}}, second, lead, first)
	for i := range 3 {
		until(t, "the agents are listed", func() bool { return agentsAre(g.listed(i), "a connected", "b connected") })
		x := g.listed(i).GetSources()[0]
		a, b := x.GetAgents()[0], x.GetAgents()[1]
		off := a.GetServerSkewMs() - a.GetAgentSkewMs() + time.Hour.Milliseconds()
		if x.GetName() != "kea" || a.GetRefusedRecords() != 4 || off != 0 || a.GetTrouble() != "" || a.ChangeAgeMs == nil || a.ResyncAgeMs != nil ||
			time.Duration(a.GetAgentSkewMs())*time.Millisecond < -clustertest.Patience || a.GetAgentSkewMs() > 1 {
			t.Errorf("node %d lists %v", i, a)
		}
		if b.ServerSkewMs != nil || b.GetTrouble() != "the socket is gone" {
			t.Errorf("node %d lists %v", i, b)
		}
	}
	g.transfer(lead, g.Member(first).Node().Name())
	for i := range 3 {
		until(t, "the new leader has them", func() bool { return agentsAre(g.listed(i), "a connected", "b connected") })
	}
	stop()
	for i := range 3 {
		until(t, "one has gone", func() bool { return agentsAre(g.listed(i), "a connected", "b gone") })
	}
}

func agentsAre(r *adminv1.SourcesResponse, want ...string) bool {
	var got []string
	for _, s := range r.GetSources() {
		for _, a := range s.GetAgents() {
			got = append(got, a.GetInstance()+map[bool]string{true: " connected", false: " gone"}[a.GetConnected()])
		}
	}
	return r.GetAgentsMissing() == "" && strings.Join(got, ", ") == strings.Join(want, ", ")
}

// idle is a source that has stated nothing so far.
type idle struct{ sits }

// Run waits.
func (*idle) Run(ctx context.Context, _ feed.Sink) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestAgentOfNothingIsListed: an agent that cannot reach its server has fed nothing, and is what an operator looks for.
func TestAgentOfNothingIsListed(t *testing.T) {
	g := newGroup(t, 1)
	g.propose("kea", 1, has(0, "2001:db8::1/128", "client", nil))
	g.agent("isc", "x", &idle{sits{condition: feed.Condition{Trouble: "no such file"}}}, 0)
	until(t, "it is listed", func() bool { return len(g.listed(0).GetSources()) == 2 })
	x := g.listed(0).GetSources()[0]
	if x.GetName() != "isc" || x.GetBindings() != 0 || len(x.GetAgents()) != 1 || x.GetAgents()[0].GetTrouble() != "no such file" ||
		x.GetAgents()[0].ChangeAgeMs != nil {
		t.Errorf("listed %v", x)
	}
	if y := g.listed(0).GetSources()[1]; y.GetName() != "kea" || y.GetBindings() != 1 || len(y.GetAgents()) != 0 {
		t.Errorf("listed %v", y)
	}
}

// TestSourcesWithoutLeader: the list is there, and says what is missing.
func TestSourcesWithoutLeader(t *testing.T) {
	g := newGroup(t, 3)
	g.propose("kea", 1, has(0, "2001:db8::1/128", "client", nil))
	g.RequireSameState()
	for range 2 { // on a busy machine another node may come to lead meanwhile, and can be asked
		lead := g.Leader().Index
		g.hush(lead)
		r := g.listed((lead + 1) % 3)
		if g.Leader().Index != lead {
			continue
		}
		if len(r.GetSources()) != 1 || !strings.Contains(r.GetAgentsMissing(), "leader at "+g.addresses[lead]) {
			t.Errorf("listed %v", r)
		}
		return
	}
	t.Error("the leader changed twice")
}
