package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func sourcesCommand() *cobra.Command {
	var call adminCall
	c := &cobra.Command{
		Use:   "sources",
		Short: "List the DHCP servers that feed the cluster, and their agents",
		Long: "List what has fed the cluster, and what the agents that do so report, which the leader remembers until ten minutes after an\n" +
			"agent has gone. LAG is the age of the oldest change that the cluster had not acknowledged; REFUSED counts changes that the\n" +
			"cluster refused and, behind the plus, records of the server that could not be read. Skews are the clock of the agent's\n" +
			"machine, and of the DHCP server, minus the leader's: bindings' times are ages and do not depend on them.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
				r, err := admin.Sources(ctx, &adminv1.SourcesRequest{})
				if err != nil {
					return err
				}
				if call.json {
					return printJSON(cmd.OutOrStdout(), sourcesJSON(r))
				}
				rows := make([][]string, 0, len(r.GetSources()))
				for _, s := range r.GetSources() {
					rows = append(rows, []string{s.GetName(), fmt.Sprint(s.GetBindings()), instant(s.GetLastBatchMs()), instant(s.GetLastResyncMs()),
						yesNo(s.GetResyncing())})
				}
				if err := printTable(cmd.OutOrStdout(), []string{"SOURCE", "BINDINGS", "LAST NEWS", "LAST RESYNC", "RESYNCING"}, rows); err != nil {
					return err
				}
				return printAgents(cmd.OutOrStdout(), r)
			})
		},
	}
	call.flags(c)
	return c
}

type sourceObject struct {
	Name         string `json:"name"`
	Bindings     uint64 `json:"bindings"`
	Epoch        string `json:"epoch"`
	Sequence     uint64 `json:"sequence"`
	LastBatchMS  int64  `json:"last_batch_ms"`
	LastResyncMS int64  `json:"last_resync_ms"`
	Resyncing    bool   `json:"resyncing"`

	Agents []agentObject `json:"agents"`
}

type sourcesObject struct {
	Sources       []sourceObject `json:"sources"`
	AgentsMissing string         `json:"agents_missing,omitempty"` // why no agents are listed
}

func sourcesJSON(r *adminv1.SourcesResponse) sourcesObject {
	out := []sourceObject{}
	for _, s := range r.GetSources() {
		out = append(out, sourceObject{Name: s.GetName(), Bindings: s.GetBindings(), Epoch: fmt.Sprintf("%016x", s.GetEpoch()),
			Sequence: s.GetSequence(), LastBatchMS: s.GetLastBatchMs(), LastResyncMS: s.GetLastResyncMs(), Resyncing: s.GetResyncing(), Agents: agentsJSON(s)})
	}
	return sourcesObject{Sources: out, AgentsMissing: r.GetAgentsMissing()}
}

// instant writes milliseconds since 1970 for people; 0 is never.
func instant(ms int64) string {
	if ms == 0 {
		return "never"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}
