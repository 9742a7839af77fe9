package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

func recoverCommand() *cobra.Command {
	var file string
	var r cluster.Recovery
	var asJSON bool
	c := &cobra.Command{
		Use:   "recover --config FILE --lost NODE …",
		Short: "Go on from one survivor of a cluster that lost its quorum for good",
		Long: "Make one survivor of a cluster that lost its quorum for good a cluster of its own, which the others then join. It is never\n" +
			"needed while a majority of the voters can be brought back: bring them back instead.\n\n" +
			"Stop every survivor and compare what `leasehold recover inspect` says of each. Run this on the one with the highest term\n" +
			"of its newest entry and, among equals, the highest entry, and on no other. Name every other member with --lost. Then start\n" +
			"the node, and start the others with empty data directories.\n\n" +
			"What the node has counts as committed from then on, whether a quorum ever had it or not, and what only the lost members\n" +
			"had is gone. Feeders notice, and feed everything again; subscribers of active leasequery read everything again. For that the clock\n" +
			"of this machine must be right. The data directory keeps a copy of what was there before. The node has a new id afterwards, and no\n" +
			"member of before can disturb it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, log, err := stoppedNode(cmd, file)
			if err != nil {
				return err
			}
			if cfg.Cluster.NonVoter {
				return fmt.Errorf("%s says cluster.non_voter: true, but the node that goes on has a vote: set it to false first", file)
			}
			pool := rpc.NewPool()
			defer func() { err = errors.Join(err, pool.Close()) }()
			defer func() { err = errors.Join(err, giveBack(cfg.DataDir)) }()
			r.DataDir, r.Name, r.Peers = cfg.DataDir, cfg.Name, rpc.NewPeers(pool)
			r.RaftAddress, r.GRPCAddress = orElse(cfg.Raft.Advertise, cfg.Raft.Listen), orElse(cfg.GRPC.Advertise, cfg.GRPC.Listen)
			done, err := cluster.Recover(cmd.Context(), r, log)
			if err != nil {
				return recoverError(err, cfg.DataDir, log)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), recoveredJSON(done))
			}
			return printRecovered(cmd.OutOrStdout(), done)
		},
	}
	c.PersistentFlags().StringVar(&file, "config", "", "the node's configuration file")
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringArrayVar(&r.Lost, "lost", nil, "a member that does not go on, by name or id: every other one")
	_ = c.MarkPersistentFlagRequired("config") // the flag was defined above
	c.AddCommand(inspectCommand(&file, &asJSON))
	return c
}

func inspectCommand(file *string, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect --config FILE",
		Short: "Show what a stopped node has on disk",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, log, err := stoppedNode(cmd, *file)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, giveBack(cfg.DataDir)) }()
			i, err := cluster.Inspect(cfg.DataDir, log)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), inspectionJSON(i))
			}
			return printInspection(cmd.OutOrStdout(), i)
		},
	}
}

// stoppedNode is the configuration of a node that does not run, and a log for what is done to its files: only trouble is told.
func stoppedNode(cmd *cobra.Command, file string) (config.Config, *slog.Logger, error) {
	cfg, _, err := config.Load(file, nil)
	return cfg, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})), err
}

// recoverError adds to a refusal whom this node knows.
func recoverError(err error, dir string, log *slog.Logger) error {
	if !errors.Is(err, cluster.ErrInvalid) && !errors.Is(err, cluster.ErrNoMember) {
		return err
	}
	i, ierr := cluster.Inspect(dir, log)
	if ierr != nil {
		return err
	}
	var names []string
	for _, m := range i.Members {
		names = append(names, fmt.Sprintf("%s (%s)", m.Name, m.ID))
	}
	return fmt.Errorf("%w\nmembers: %s\nNothing was changed.", err, strings.Join(names, ", "))
}

func printInspection(w io.Writer, i cluster.Inspection) error {
	fmt.Fprintf(w, "node %s of cluster %s\n", i.NodeID, orElse(i.ClusterID, "none"))
	fmt.Fprintf(w, "newest entry %d of term %d, newest snapshot %d, newest term heard of %d\n", i.LastIndex, i.LastTerm, i.SnapshotIndex, i.Term)
	if i.BrokenOff {
		fmt.Fprintln(w, "a recovery was begun here and not ended: run leasehold recover again")
	}
	if i.Diverged {
		fmt.Fprintln(w, "THIS NODE HAS DIVERGED: its state is wrong, and nothing can be recovered from it")
	}
	fmt.Fprintf(w, "membership of entry %d:\n\n", i.MembersIndex)
	return printMembership(w, i.Members)
}

func printMembership(w io.Writer, members []cluster.Member) error {
	rows := make([][]string, 0, len(members))
	for _, m := range members {
		rows = append(rows, []string{m.Name, m.ID, yesNo(m.Voter), m.RaftAddress, m.GRPCAddress})
	}
	return printTable(w, []string{"NODE", "ID", "VOTER", "RAFT", "GRPC"}, rows)
}

func printRecovered(w io.Writer, r cluster.Recovered) error {
	fmt.Fprintf(w, "node %s is now %s; everything up to entry %d counts as committed\n", r.OldID, r.NewID, r.LastIndex)
	fmt.Fprintf(w, "copy of what was before: %s\n", r.Backup)
	fmt.Fprintf(w, "history begins at %s; feeders and subscribers are told, and read or send everything again\n", moment(r.HistorySince))
	fmt.Fprintln(w, "start this node, then the others, each with an empty data directory. The cluster from now on:")
	fmt.Fprintln(w)
	return printMembership(w, r.Members)
}

// inspectionObject is what `recover inspect --json` prints.
type inspectionObject struct {
	NodeID        string         `json:"node_id"`
	ClusterID     string         `json:"cluster_id"`
	Term          uint64         `json:"term"`
	LastIndex     uint64         `json:"last_index"`
	LastTerm      uint64         `json:"last_term"`
	SnapshotIndex uint64         `json:"snapshot_index"`
	MembersIndex  uint64         `json:"members_index"`
	Members       []memberObject `json:"members"`
	BrokenOff     bool           `json:"broken_off,omitempty"`
	Diverged      bool           `json:"diverged,omitempty"`
}

func inspectionJSON(i cluster.Inspection) inspectionObject {
	return inspectionObject{NodeID: i.NodeID, ClusterID: i.ClusterID, Term: i.Term, LastIndex: i.LastIndex, LastTerm: i.LastTerm,
		SnapshotIndex: i.SnapshotIndex, MembersIndex: i.MembersIndex, Members: offlineObjects(i.Members), BrokenOff: i.BrokenOff, Diverged: i.Diverged}
}

// recoveredObject is what `recover --json` prints.
type recoveredObject struct {
	OldID          string         `json:"old_id"`
	NewID          string         `json:"new_id"`
	Backup         string         `json:"backup"`
	LastIndex      uint64         `json:"last_index"`
	HistorySinceMS int64          `json:"history_since_ms"`
	Members        []memberObject `json:"members"`
}

func recoveredJSON(r cluster.Recovered) recoveredObject {
	return recoveredObject{OldID: r.OldID, NewID: r.NewID, Backup: r.Backup, LastIndex: r.LastIndex, HistorySinceMS: int64(r.HistorySince),
		Members: offlineObjects(r.Members)}
}

func offlineObjects(members []cluster.Member) []memberObject {
	out := []memberObject{}
	for _, m := range members {
		out = append(out, memberObject{ID: m.ID, Name: m.Name, RaftAddress: m.RaftAddress, GRPCAddress: m.GRPCAddress, Voter: m.Voter, Gossip: "unknown"})
	}
	return out
}
