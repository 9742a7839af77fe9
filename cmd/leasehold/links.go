package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func linksCommand() *cobra.Command {
	var call adminCall
	c := &cobra.Command{
		Use:   "links",
		Short: "List the links that clients are on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
				r, err := admin.Links(ctx, &adminv1.LinksRequest{})
				if err != nil {
					return err
				}
				if call.json {
					return printJSON(cmd.OutOrStdout(), linksJSON(r))
				}
				rows := make([][]string, 0, len(r.GetLinks()))
				for _, l := range r.GetLinks() {
					labels := strings.Join(l.GetLabels(), ", ")
					if labels == "" {
						labels = "(made up)"
					}
					rows = append(rows, []string{l.GetRepresentative(), strings.Join(l.GetPrefixes(), ", "), strings.Join(l.GetRelays(), ", "), labels,
						fmt.Sprint(l.GetClients())})
				}
				return printTable(cmd.OutOrStdout(), []string{"LINK", "PREFIXES", "RELAYS", "DEFINED BY", "CLIENTS"}, rows)
			})
		},
	}
	call.flags(c)
	return c
}

type linkObject struct {
	Link     string   `json:"link"`
	Prefixes []string `json:"prefixes"`
	Relays   []string `json:"relays"`
	Labels   []string `json:"labels"`
	Clients  uint64   `json:"clients"`
}

func linksJSON(r *adminv1.LinksResponse) map[string][]linkObject {
	out := []linkObject{}
	for _, l := range r.GetLinks() {
		out = append(out, linkObject{Link: l.GetRepresentative(), Prefixes: orEmpty(l.GetPrefixes()), Relays: orEmpty(l.GetRelays()),
			Labels: orEmpty(l.GetLabels()), Clients: l.GetClients()})
	}
	return map[string][]linkObject{"links": out}
}

// orEmpty makes an absent list print as [] rather than null.
func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
