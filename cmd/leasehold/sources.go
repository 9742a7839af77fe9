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
		Short: "List the DHCP servers that have fed the cluster",
		Args:  cobra.NoArgs,
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
				return printTable(cmd.OutOrStdout(), []string{"SOURCE", "BINDINGS", "LAST NEWS", "LAST RESYNC", "RESYNCING"}, rows)
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
}

func sourcesJSON(r *adminv1.SourcesResponse) map[string][]sourceObject {
	out := []sourceObject{}
	for _, s := range r.GetSources() {
		out = append(out, sourceObject{Name: s.GetName(), Bindings: s.GetBindings(), Epoch: fmt.Sprintf("%016x", s.GetEpoch()),
			Sequence: s.GetSequence(), LastBatchMS: s.GetLastBatchMs(), LastResyncMS: s.GetLastResyncMs(), Resyncing: s.GetResyncing()})
	}
	return map[string][]sourceObject{"sources": out}
}

// instant writes milliseconds since 1970 for people; 0 is never.
func instant(ms int64) string {
	if ms == 0 {
		return "never"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}
