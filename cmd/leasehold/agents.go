package main

import (
	"fmt"
	"io"
	"time"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// agentObject is what an agent reports, in milliseconds where it is a time; what was never so, or is not measured, is null.
type agentObject struct {
	Instance       string  `json:"instance"`
	Connected      bool    `json:"connected"`
	ReportAgeMS    uint64  `json:"report_age_ms"`
	LagMS          uint64  `json:"lag_ms"`
	ChangeAgeMS    *uint64 `json:"change_age_ms"`
	ResyncAgeMS    *uint64 `json:"resync_age_ms"`
	RefusedChanges uint64  `json:"refused_changes"`
	RefusedRecords uint64  `json:"refused_records"`
	AgentSkewMS    int64   `json:"agent_skew_ms"`
	ServerSkewMS   *int64  `json:"server_skew_ms"`
	Trouble        string  `json:"trouble"`
}

func agentsJSON(s *adminv1.Source) []agentObject {
	out := []agentObject{}
	for _, a := range s.GetAgents() {
		out = append(out, agentObject{Instance: a.GetInstance(), Connected: a.GetConnected(), ReportAgeMS: a.GetReportAgeMs(), LagMS: a.GetLagMs(),
			ChangeAgeMS: a.ChangeAgeMs, ResyncAgeMS: a.ResyncAgeMs, RefusedChanges: a.GetRefusedChanges(),
			RefusedRecords: a.GetRefusedRecords(), AgentSkewMS: a.GetAgentSkewMs(), ServerSkewMS: a.ServerSkewMs, Trouble: a.GetTrouble()})
	}
	return out
}

// printAgents writes what agents report, as a second table, if there is anything to say.
func printAgents(w io.Writer, r *adminv1.SourcesResponse) error {
	var rows [][]string
	for _, s := range r.GetSources() {
		for _, a := range s.GetAgents() {
			rows = append(rows, []string{s.GetName(), a.GetInstance(), agentState(a), period(a.GetLagMs()), ago(a.ChangeAgeMs, a), ago(a.ResyncAgeMs, a),
				fmt.Sprintf("%d+%d", a.GetRefusedChanges(), a.GetRefusedRecords()), signed(&a.AgentSkewMs), signed(a.ServerSkewMs), orDash(a.GetTrouble())})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		return printTable(w, []string{"SOURCE", "AGENT", "STATE", "LAG", "LAST CHANGE", "LAST RESYNC", "REFUSED", "SKEW", "SERVER SKEW", "TROUBLE"}, rows)
	}
	if why := r.GetAgentsMissing(); why != "" {
		fmt.Fprintf(w, "\nWhat agents report is not known: %s\n", why)
	}
	return nil
}

// agentSilent is how old a report may be of an agent that works, in milliseconds: several times what lies between two.
const agentSilent = 30_000

// agentState is whether an agent has a session, and if not, or if it says nothing, for how long nothing was heard of it.
func agentState(a *adminv1.Agent) string {
	switch heard := period(a.GetReportAgeMs()); {
	case !a.GetConnected():
		return "gone for " + heard
	case a.GetReportAgeMs() > agentSilent:
		return "silent for " + heard
	default:
		return "connected"
	}
}

// ago is how long ago something was by now that was so long ago when the agent reported.
func ago(ms *uint64, a *adminv1.Agent) string {
	if ms == nil {
		return "never"
	}
	return period(*ms+a.GetReportAgeMs()) + " ago"
}

// period writes a time in milliseconds for people.
func period(ms uint64) string {
	d := time.Duration(min(ms, 1<<52)) * time.Millisecond
	if d >= 10*time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}

// signed writes a difference between clocks in milliseconds for people; a dash for one that is not measured.
func signed(ms *int64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%+.3fs", float64(*ms)/1000)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
