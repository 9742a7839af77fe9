package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func joinCommand() *cobra.Command {
	var call adminCall
	var req adminv1.JoinRequest
	c := &cobra.Command{
		Use:   "join",
		Short: "Admit a node that gossip cannot introduce",
		Long: "Admit a node to the cluster, as a non-voter until it has caught up. Nodes that find the cluster by gossip are admitted\n" +
			"without this command.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
				r, err := admin.Join(ctx, &req)
				if err != nil {
					return err
				}
				return call.done(cmd, map[string]string{"cluster_id": r.GetClusterId()}, fmt.Sprintf("%s joined cluster %s", req.GetName(), r.GetClusterId()))
			})
		},
	}
	call.flags(c)
	c.Flags().StringVar(&req.Id, "id", "", "the node's id, from its data folder")
	c.Flags().StringVar(&req.Name, "name", "", "the node's name")
	c.Flags().StringVar(&req.RaftAddress, "raft", "", "the node's Raft address, host:port")
	c.Flags().StringVar(&req.GrpcAddress, "grpc", "", "the node's gRPC address, host:port")
	c.Flags().BoolVar(&req.Voter, "voter", true, "make it a voter when it has caught up")
	for _, name := range []string{"id", "name", "raft", "grpc"} {
		_ = c.MarkFlagRequired(name) // the flag was defined above
	}
	return c
}

func leaveCommand() *cobra.Command {
	var call adminCall
	c := &cobra.Command{
		Use:   "leave",
		Short: "Take the node at --cluster out of the cluster for good",
		Long: "Take the node that --cluster names out of the cluster for good, shrinking the quorum. To stop a node for a while just\n" +
			"stop it: it stays a member.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(call.cluster) != 1 {
				return fmt.Errorf("leave wants the address of the one node that leaves: --cluster host:port")
			}
			return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
				if _, err := admin.Leave(ctx, &adminv1.LeaveRequest{}); err != nil {
					return err
				}
				return call.done(cmd, map[string]bool{"left": true}, "the node has left the cluster")
			})
		},
	}
	call.flags(c)
	return c
}

func removeCommand() *cobra.Command {
	var call adminCall
	c := &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a member, by name or id, out of the cluster for good",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
				if _, err := admin.Remove(ctx, &adminv1.RemoveRequest{Id: args[0]}); err != nil {
					return err
				}
				return call.done(cmd, map[string]string{"removed": args[0]}, args[0]+" is no longer a member")
			})
		},
	}
	call.flags(c)
	return c
}

func transferCommand() *cobra.Command {
	var call adminCall
	c := &cobra.Command{
		Use:   "transfer-leadership [NODE]",
		Short: "Hand leadership to a voter, or to the most caught-up one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &adminv1.TransferLeadershipRequest{}
			if len(args) == 1 {
				req.To = args[0]
			}
			return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
				r, err := admin.TransferLeadership(ctx, req)
				if err != nil {
					return err
				}
				return call.done(cmd, map[string]string{"leader": r.GetLeader()}, "leader is "+r.GetLeader())
			})
		},
	}
	call.flags(c)
	return c
}

// done tells the outcome of a command that changed something.
func (a *adminCall) done(cmd *cobra.Command, object any, text string) error {
	if a.json {
		return printJSON(cmd.OutOrStdout(), object)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
