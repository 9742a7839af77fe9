package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func statusCommand() *cobra.Command {
	var call adminCall
	var hash bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the state of every node",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := askStatus(cmd.Context(), call, hash)
			switch {
			case err != nil:
				return err
			case call.json:
				return printJSON(cmd.OutOrStdout(), statusJSON(r))
			}
			return printStatus(cmd.OutOrStdout(), r)
		},
	}
	call.flags(c)
	c.Flags().BoolVar(&hash, "state-hash", false, "compute the hash of each node's whole state: equal where the states are")
	return c
}

// askStatus asks the nodes in turn until one knows a leader: a node that has only just started knows of no member yet. Where
// none knows a leader, the answer that tells of the most nodes counts.
func askStatus(ctx context.Context, call adminCall, hash bool) (*adminv1.StatusResponse, error) {
	var best *adminv1.StatusResponse
	err := call.do(ctx, func(ctx context.Context, admin adminv1.AdminClient) error {
		r, err := admin.Status(ctx, &adminv1.StatusRequest{StateHash: hash})
		if err != nil {
			return err
		}
		if best == nil || r.GetLeader() != "" || len(r.GetNodes()) > len(best.GetNodes()) {
			best = r
		}
		if r.GetLeader() == "" {
			return errAskNext
		}
		return nil
	})
	if best != nil {
		return best, nil
	}
	return nil, err
}

// statusObject is what `status --json` prints.
type statusObject struct {
	ClusterID  string       `json:"cluster_id"`
	Leader     string       `json:"leader"`
	Term       uint64       `json:"term"`
	ServerDUID string       `json:"server_duid"`
	ClockMS    int64        `json:"clock_ms"`
	SinceMS    int64        `json:"history_since_ms"`
	Nodes      []nodeObject `json:"nodes"`
}

type nodeObject struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	State        string   `json:"state"`
	Voter        bool     `json:"voter"`
	AppliedIndex uint64   `json:"applied_index"`
	FreshMS      uint64   `json:"fresh_ms"`
	Bindings     uint64   `json:"bindings"`
	Ready        bool     `json:"ready"`
	Reasons      []string `json:"reasons,omitempty"`
	Version      string   `json:"version,omitempty"`
	RaftAddress  string   `json:"raft_address,omitempty"`
	GRPCAddress  string   `json:"grpc_address,omitempty"`
	StateHash    string   `json:"state_hash,omitempty"`
	Level        uint32   `json:"format_level,omitempty"`
	MaxLevel     uint32   `json:"max_format_level,omitempty"`
}

func statusJSON(r *adminv1.StatusResponse) statusObject {
	o := statusObject{ClusterID: r.GetClusterId(), Leader: r.GetLeader(), Term: r.GetTerm(), ServerDUID: fmt.Sprintf("%x", r.GetServerDuid()),
		ClockMS: r.GetClockMs(), SinceMS: r.GetHistorySinceMs(), Nodes: []nodeObject{}}
	for _, n := range r.GetNodes() {
		o.Nodes = append(o.Nodes, nodeObject{
			ID: n.GetId(), Name: n.GetName(), State: n.GetState(), Voter: n.GetVoter(), AppliedIndex: n.GetAppliedIndex(),
			FreshMS: n.GetFreshMs(), Bindings: n.GetBindings(), Ready: n.GetReady(), Reasons: n.GetReasons(), Version: n.GetVersion(),
			RaftAddress: n.GetRaftAddress(), GRPCAddress: n.GetGrpcAddress(), StateHash: n.GetStateHash(),
			Level: n.GetFormatLevel(), MaxLevel: n.GetMaxFormatLevel(),
		})
	}
	return o
}

func printStatus(w io.Writer, r *adminv1.StatusResponse) error {
	leader := r.GetLeader()
	if leader == "" {
		leader = "none"
	}
	fmt.Fprintf(w, "cluster %s  leader %s  term %d  server DUID %x\n\n", r.GetClusterId(), leader, r.GetTerm(), r.GetServerDuid())
	rows := make([][]string, 0, len(r.GetNodes()))
	for _, n := range r.GetNodes() {
		ready := yesNo(n.GetReady())
		if len(n.GetReasons()) > 0 {
			ready += " (" + strings.Join(n.GetReasons(), "; ") + ")"
		}
		row := []string{n.GetName(), n.GetState(), yesNo(n.GetVoter()), fmt.Sprint(n.GetAppliedIndex()), freshness(n.GetFreshMs()),
			fmt.Sprint(n.GetBindings()), ready}
		if n.GetState() == "unreachable" { // what it has is not known
			row[3], row[4], row[5] = "-", "-", "-"
		}
		if n.GetStateHash() != "" {
			row = append(row, n.GetStateHash()[:min(16, len(n.GetStateHash()))])
		}
		rows = append(rows, row)
	}
	return printTable(w, []string{"NODE", "STATE", "VOTER", "APPLIED", "FRESH", "BINDINGS", "READY"}, rows)
}

// freshness writes the age of the newest proof that a node was up to date.
func freshness(ms uint64) string {
	if ms == math.MaxUint64 {
		return "never"
	}
	return fmt.Sprintf("%d ms", ms)
}
