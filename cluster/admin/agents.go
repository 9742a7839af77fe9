package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/forward"
	"github.com/leasehold/leasehold/cluster/ingest"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// Reports is what administration needs of ingest: *ingest.Service.
type Reports interface {
	// Reports is the newest report of every agent, as far as it came to this node while it led.
	Reports() []ingest.Report
}

// reportsTimeout is how long the leader may take to tell what agents have reported. A list goes without.
const reportsTimeout = 2 * time.Second

// addAgents adds the agents to the sources: those that reported here, if this node leads, else what the leader says. A source that
// agents report of, and nothing was fed of yet, is added. Where the leader cannot be asked the list says so.
func (s *Service) addAgents(ctx context.Context, forwarded bool, out *adminv1.SourcesResponse) {
	addr, ok := forward.Leader(s.node)
	switch {
	case !ok:
		out.AgentsMissing = cluster.ErrNoLeader.Error()
	case addr != "" && forwarded:
		out.AgentsMissing = cluster.ErrNotLeader.Error()
	case addr == "":
		if s.reports != nil {
			for _, r := range s.reports.Reports() {
				addAgent(out, r.Source, agent(r, time.Now()))
			}
		}
	default:
		theirs, err := s.leaderSources(ctx, addr)
		if err != nil {
			out.AgentsMissing = fmt.Sprintf("leader at %s: %v", addr, err)
			return
		}
		out.AgentsMissing = theirs.GetAgentsMissing()
		for _, x := range theirs.GetSources() {
			for _, a := range x.GetAgents() {
				addAgent(out, x.GetName(), a)
			}
		}
	}
}

func (s *Service) leaderSources(ctx context.Context, addr string) (*adminv1.SourcesResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, reportsTimeout)
	defer cancel()
	conn, err := s.dialer.Conn(addr)
	if err != nil {
		return nil, err
	}
	return adminv1.NewAdminClient(conn).Sources(ctx, &adminv1.SourcesRequest{Forwarded: true})
}

func addAgent(out *adminv1.SourcesResponse, source string, a *adminv1.Agent) {
	at, found := slices.BinarySearchFunc(out.Sources, source, func(x *adminv1.Source, name string) int { return cmp.Compare(x.GetName(), name) })
	if !found {
		out.Sources = slices.Insert(out.Sources, at, &adminv1.Source{Name: source})
	}
	out.Sources[at].Agents = append(out.Sources[at].Agents, a)
}

// agent is a report for operators. The agent's clock is compared with this node's at the report's receipt, so its skew has the
// time in it that the report was on its way.
func agent(r ingest.Report, now time.Time) *adminv1.Agent {
	x := r.Report
	skew := x.GetClockMs() - r.Received.UnixMilli()
	out := &adminv1.Agent{Instance: x.GetInstance(), Connected: r.Connected, ReportAgeMs: uint64(max(0, now.Sub(r.Received).Milliseconds())),
		LagMs: x.GetLagMs(), ChangeAgeMs: x.ChangeAgeMs, ResyncAgeMs: x.ResyncAgeMs, RefusedChanges: x.GetRefusedChanges(),
		RefusedRecords: x.GetRefusedRecords(), AgentSkewMs: skew, Trouble: x.GetTrouble()}
	if x.SkewMs != nil {
		total := skew + x.GetSkewMs()
		out.ServerSkewMs = &total
	}
	return out
}
