package main

import (
	"context"

	"github.com/spf13/cobra"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func membersCommand() *cobra.Command {
	var call adminCall
	c := &cobra.Command{
		Use:   "members",
		Short: "List the cluster's members",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
				r, err := admin.Members(ctx, &adminv1.MembersRequest{})
				if err != nil {
					return err
				}
				if len(r.GetMembers()) == 0 {
					return errAskNext
				}
				if call.json {
					return printJSON(cmd.OutOrStdout(), membersJSON(r))
				}
				rows := make([][]string, 0, len(r.GetMembers()))
				for _, m := range r.GetMembers() {
					rows = append(rows, []string{m.GetName(), m.GetId(), yesNo(m.GetVoter()), yesNo(m.GetLeader()), m.GetRaftAddress(),
						m.GetGrpcAddress(), m.GetGossip()})
				}
				return printTable(cmd.OutOrStdout(), []string{"NODE", "ID", "VOTER", "LEADER", "RAFT", "GRPC", "GOSSIP"}, rows)
			})
		},
	}
	call.flags(c)
	return c
}

type memberObject struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	RaftAddress string `json:"raft_address"`
	GRPCAddress string `json:"grpc_address"`
	Voter       bool   `json:"voter"`
	Leader      bool   `json:"leader"`
	Gossip      string `json:"gossip"`
}

func membersJSON(r *adminv1.MembersResponse) map[string][]memberObject {
	out := []memberObject{}
	for _, m := range r.GetMembers() {
		out = append(out, memberObject{ID: m.GetId(), Name: m.GetName(), RaftAddress: m.GetRaftAddress(), GRPCAddress: m.GetGrpcAddress(),
			Voter: m.GetVoter(), Leader: m.GetLeader(), Gossip: m.GetGossip()})
	}
	return map[string][]memberObject{"members": out}
}
